//! The shell that owns a Postgres server.
//!
//! A test process can be killed at any time and can then clean nothing up. So the server belongs
//! to a small shell script, which waits on a pipe from the test process: the pipe's end is the end
//! of the server and its folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::binaries;

const SCRIPT: &str = include_str!("supervisor.sh");

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// One shell, its folder and, between start and kill, one server.
#[derive(Debug)]
pub(super) struct Supervisor {
    folder: PathBuf,
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// A shell with an empty folder, for a server with these options.
    pub(super) fn new(options: impl IntoIterator<Item = String>) -> Self {
        let temporary = tempfile::Builder::new().prefix("postgres-").tempdir();
        let folder = temporary.expect("make a temporary folder").keep();
        // A session of its own: Control-C at the terminal ends the test process only, and the pipe
        // with it. In the session of a test process that dies, the kernel would hang up on the
        // shell and continue a server that is stopped just then.
        let mut command = Command::new("setsid");
        if let Some((user, group)) = binaries::user() {
            chown(&folder, Some(user), Some(group)).expect("give the folder to postgres");
            command.uid(user).gid(group);
        }
        let mut shell = command
            .args(["sh", "-c", SCRIPT, "supervisor"])
            .args([&folder, &binaries::folder()])
            .args(options)
            .current_dir(&folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start setsid sh");
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("a piped stream"));
        Self { folder, shell, orders, answers }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives an order, waits until it is done and returns the server's process id, if it has one.
    pub(super) fn tell(&mut self, order: &str) -> Option<u32> {
        let mut answer = String::new();
        let orders = self.orders.as_mut().expect("orders go until the end");
        let told = writeln!(orders, "{order}").and_then(|()| self.answers.read_line(&mut answer));
        match answer.trim_end_matches('\n').split_once(' ') {
            Some(("0", id)) => id.parse().ok(),
            _ => panic!("postgres, {order}: {told:?} {answer:?}\n{}", self.log()),
        }
    }

    /// Takes over the data folder of another.
    pub(super) fn copy(&mut self, other: &Path) {
        self.tell(&format!("copy {}", other.display()));
    }

    /// Takes over a copy of the server on a port, to follow it as a standby.
    pub(super) fn backup(&mut self, port: u16) {
        self.tell(&format!("backup {port}"));
    }

    /// Starts the server and waits until it takes connections.
    pub(super) fn start(&mut self) {
        let id = self.tell("start").expect("a started server has an id");
        let latest = Instant::now() + START;
        while !self.ready(id) {
            let alive = Path::new(&format!("/proc/{id}/exe")).read_link().is_ok();
            assert!(alive, "postgres ended:\n{}", self.log());
            assert!(Instant::now() < latest, "postgres is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What `pg_ctl` looks at: the file names this server, and in line 8 its state.
    fn ready(&self, id: u32) -> bool {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let file = file.unwrap_or_default();
        let lines: Vec<&str> = file.lines().map(str::trim).collect();
        lines.first() == Some(&id.to_string().as_str())
            && matches!(lines.get(7), Some(&"ready" | &"standby"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.orders.take());
        // The shell removes the folder and ends; there is nobody to tell if it could not.
        let _ = self.shell.wait();
    }
}
