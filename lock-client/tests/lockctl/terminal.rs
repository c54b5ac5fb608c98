//! A terminal to run `lockctl` on.
//!
//! `setsid` gives a shell a terminal of its own, as a terminal emulator does;
//! the test holds the other end.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use lock_server::testing::TestServer;
use nix::pty::openpty;
use service_kit::testing::eventually;

use super::support::{DEADLINE, LOCKCTL, Lockctl, server};

/// A shell with job control on a terminal.
pub(crate) struct Session {
    shell: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Session {
    /// Starts a shell script that finds `lockctl` as `$LOCKCTL`.
    pub(crate) fn start(url: &str, script: &str) -> Self {
        let pty = openpty(None, None).expect("a terminal");
        let terminal = || Stdio::from(pty.slave.try_clone().expect("the terminal"));
        let shell = Command::new("setsid")
            .args(["--ctty", "sh", "-m", "-c", script])
            .env("LOCKCTL", LOCKCTL)
            .env("LOCKCTL_ADDR", url)
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .expect("setsid, of util-linux");
        let keyboard = File::from(pty.master);
        let screen = Arc::<Mutex<String>>::default();
        let (mut from, to) = (keyboard.try_clone().expect("the terminal"), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // Ends with an error once the last program has closed it.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                to.lock()
                    .expect("the screen")
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { shell, keyboard, screen }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    pub(crate) async fn shows(&self, words: &str) {
        let shown = tokio::time::timeout(DEADLINE, async {
            eventually("it is shown", DEADLINE * 2, async || {
                self.screen.lock().expect("the screen").contains(words).then_some(())
            })
            .await;
        });
        let shown = shown.await;
        assert!(shown.is_ok(), "{words:?} is not on {:?}", self.screen.lock().expect("the screen"));
    }

    /// Everything that was shown so far.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().expect("the screen").clone()
    }

    pub(crate) async fn ends(&mut self) {
        eventually("the shell ends", DEADLINE, async || {
            self.shell.try_wait().expect("ask for the shell")
        })
        .await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A server, and a shell script that finds it.
pub(crate) async fn session(script: &str) -> (TestServer, Lockctl, Session) {
    let (server, lockctl) = server().await;
    let session = Session::start(&server.url(), script);
    (server, lockctl, session)
}
