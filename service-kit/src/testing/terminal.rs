//! A terminal to run a program on.
//!
//! `setsid` gives a shell a terminal of its own, as a terminal emulator does;
//! the test holds the other end.

use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::pty::openpty;

use super::eventually::within;

/// A shell with job control on a terminal. It is killed when this is dropped.
pub struct Terminal {
    shell: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    deadline: Duration,
}

impl Terminal {
    /// Starts a shell script with more environment variables than the test's own. What a test
    /// waits for must come by the deadline, counted from when it begins to wait.
    pub fn start(
        script: &str,
        envs: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
        deadline: Duration,
    ) -> Self {
        let pty = openpty(None, None).expect("a terminal");
        let terminal = || Stdio::from(pty.slave.try_clone().expect("the terminal"));
        let shell = Command::new("setsid")
            .args(["--ctty", "sh", "-m", "-c", script])
            .envs(envs)
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .expect("setsid, of util-linux");
        let keyboard = File::from(pty.master);
        let screen = Arc::<Mutex<String>>::default();
        let (mut from, to) = (keyboard.try_clone().expect("the terminal"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // Ends with an error once the last program has closed it.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                to.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { shell, keyboard, screen, deadline }
    }

    /// Presses these keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    /// Waits until this is shown. Panics with the screen when it is not.
    pub async fn shows(&self, words: &str) {
        let shown =
            within(self.deadline, async || self.screen().contains(words).then_some(())).await;
        assert!(shown.is_some(), "{words:?} is not on {:?}", self.screen());
    }

    /// Everything that was shown so far, with what moves the cursor in it.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the shell has ended. Panics with the screen when it does not.
    pub async fn ends(&mut self) -> ExitStatus {
        let deadline = self.deadline;
        let ended =
            within(deadline, async || self.shell.try_wait().expect("ask for the shell")).await;
        ended.unwrap_or_else(|| panic!("still runs after {deadline:?}: {:?}", self.screen()))
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("shell", &self.shell.id()).finish_non_exhaustive()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
