//! `lockctl run` on a terminal: who may read from it, and what Ctrl-C and
//! Ctrl-Z do.
//!
//! `setsid` gives a shell a terminal of its own, as a terminal emulator does;
//! the test holds the other end.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use nix::pty::openpty;
use service_kit::testing::eventually;

use super::support::{DEADLINE, LOCKCTL, Lockctl, server};

/// A shell with job control on a terminal.
struct Session {
    shell: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Session {
    /// Starts a shell script that finds `lockctl` as `$LOCKCTL`.
    fn start(url: &str, script: &str) -> Self {
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

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    async fn shows(&self, words: &str) {
        let shown = tokio::time::timeout(DEADLINE, async {
            eventually("it is shown", DEADLINE * 2, async || {
                self.screen.lock().expect("the screen").contains(words).then_some(())
            })
            .await;
        });
        let shown = shown.await;
        assert!(shown.is_ok(), "{words:?} is not on {:?}", self.screen.lock().expect("the screen"));
    }

    async fn ends(&mut self) {
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

async fn session(script: &str) -> (lock_server::testing::TestServer, Lockctl, Session) {
    let (server, lockctl) = server().await;
    let session = Session::start(&server.url(), script);
    (server, lockctl, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_may_read_from_the_terminal() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'echo up; read x; echo got $x'; echo ended $?; \
                  read y; echo then $y";
    let (server, _, mut session) = session(script).await;
    session.shows("up").await;
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended 0").await;
    // And the shell has it back.
    session.types("more\n");
    session.shows("then more").await;
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_pipeline_gets_the_terminal_when_it_asks() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'read x </dev/tty; echo got $x' | cat; echo ended";
    let (server, _, mut session) = session(script).await;
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended").await;
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_and_frees_the_lock() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'echo up; sleep 60'; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{3}");
    session.shows("ended 130").await;
    assert!(lockctl.is_free("plan/42").await);
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_z_suspends_both_and_fg_goes_on_with_both() {
    let script = "$LOCKCTL run plan/42 --ttl 60s -- sh -c 'echo up; read x; echo got $x'; \
                  echo suspended $?; read y; fg; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{1a}");
    session.shows("suspended").await;
    assert!(!lockctl.is_free("plan/42").await);
    session.types("go\n");
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended 0").await;
    assert!(lockctl.is_free("plan/42").await);
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_lease_ran_out_while_suspended_does_not_go_on() {
    let script = "$LOCKCTL run plan/42 --ttl 500ms -- sh -c 'echo up; read x; echo ran$((1))'; \
                  echo suspended; read y; fg; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{1a}");
    session.shows("suspended").await;
    lockctl.until_stale("plan/42").await;
    session.types("go\n");
    session.shows("ended 76").await;
    session.ends().await;
    assert!(!session.screen.lock().unwrap().contains("ran1"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_a_terminal_that_wants_them() {
    let script = "$LOCKCTL acquire plan/1; NO_COLOR=1 $LOCKCTL list; echo done";
    let (server, _, mut session) = session(&format!("export TERM=xterm; {script}")).await;
    session.shows("done").await;
    session.ends().await;
    let screen = session.screen.lock().unwrap().clone();
    let (first, list) = screen.split_once("RESOURCE").unwrap();
    assert!(first.contains('\u{1b}'), "{screen:?}");
    assert!(!list.contains('\u{1b}'), "{screen:?}");
    server.stop().await;
}
