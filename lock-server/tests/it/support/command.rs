//! The built binary as a process.

use std::time::Duration;

use service_kit::testing::{Answer, Process};
use tokio::process::Command;

use super::{DEADLINE, Locks, client};

/// The binary.
pub(crate) const LOCK_SERVER: &str = env!("CARGO_BIN_EXE_lock-server");

/// No environment variables.
const NONE: [(&str, &str); 0] = [];

/// A server that runs as a process and can be called.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) process: Process,
    /// The line that it printed.
    pub(crate) line: String,
    address: String,
}

impl Serving {
    /// Starts a server with these flags, on a free port unless they name one,
    /// and waits until it says that it can be called.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &NONE).await
    }

    /// The same with these environment variables.
    pub(crate) async fn start_with(flags: &[&str], envs: &[(&str, &str)]) -> Self {
        let mut args = flags.to_vec();
        let names_port = envs.iter().any(|(name, _)| *name == "LOCK_SERVER_LISTEN");
        if !names_port && !flags.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        let mut process = Process::start(LOCK_SERVER, args, envs.iter().copied());
        let listening = |line: &str| line.starts_with("lock-server listening on ");
        let line = process.wait_for_line(listening, DEADLINE).await;
        let address = line.split(' ').nth(3).unwrap().to_owned();
        Self { process, line, address }
    }

    /// Waits until its log says that its locks are there.
    pub(crate) async fn keeps_locks_in(&mut self, place: &str) {
        let says = |line: &str| line.contains("keeping locks here") && line.contains(place);
        self.process.wait_for_line(says, DEADLINE).await;
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client on a connection of its own.
    pub(crate) fn locks(&self) -> Locks {
        client(&self.url())
    }

    /// Panics unless the server ends by itself with 0 by then.
    pub(crate) async fn assert_ends_well(&mut self, deadline: Duration) {
        let status = self.process.wait(deadline).await;
        assert_eq!(status.code(), Some(0), "{status}; its output:\n{}", self.process.output());
    }
}

/// Runs the binary to its end.
pub(crate) async fn run(args: &[&str], envs: &[(&str, &str)]) -> Answer {
    let mut command = Command::new(LOCK_SERVER);
    command.args(args).envs(envs.iter().copied());
    Answer::of(command, "", DEADLINE).await.in_utf8()
}
