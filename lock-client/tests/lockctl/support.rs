//! Starts servers and the binary, and reads what it says.

use std::{net::SocketAddr, time::Duration};

use lock_server::testing::TestServer;
use serde_json::Value;
use service_kit::testing::{Answer, Process, eventually};
use tokio::process::Command;

/// The binary.
pub(crate) const LOCKCTL: &str = env!("CARGO_BIN_EXE_lockctl");

/// What nothing here takes as long as.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A server with leases short enough to watch them run out.
pub(crate) async fn server() -> (TestServer, Lockctl) {
    let server = TestServer::start(&["--min-ttl", "100ms"]).await;
    let lockctl = Lockctl::at(server.url());
    (server, lockctl)
}

/// Where the server is, for a proxy in front of it.
pub(crate) fn address(server: &TestServer) -> SocketAddr {
    server.url().trim_start_matches("http://").parse().expect("the server's address")
}

/// The command, for one server.
#[derive(Debug, Clone)]
pub(crate) struct Lockctl {
    url: String,
}

impl Lockctl {
    pub(crate) fn at(url: impl ToString) -> Self {
        Self { url: url.to_string() }
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, &[]).await
    }

    /// Runs it to its end with these environment variables.
    pub(crate) async fn run_with(&self, arguments: &[&str], envs: &[(&str, &str)]) -> Answer {
        let mut command = Command::new(LOCKCTL);
        command.args(arguments).env("LOCKCTL_ADDR", &self.url).env_remove("LOCKCTL_OWNER");
        command.envs(envs.iter().copied());
        Answer::of(command, "", DEADLINE).await.in_utf8()
    }

    /// Runs it with JSON output; it must end with 0.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.run(&arguments).await.ended_with(0).json()
    }

    /// Starts it and lets it go on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(LOCKCTL, arguments, [("LOCKCTL_ADDR", &self.url)])
    }

    /// Waits until the resource's lease has run out.
    pub(crate) async fn until_stale(&self, resource: &str) {
        eventually("the lease runs out", DEADLINE, async || {
            let lock = self.json(&["get", resource]).await;
            (lock["lock"]["state"] == "LOCK_STATE_STALE").then_some(())
        })
        .await;
    }

    /// Whether the resource is free.
    pub(crate) async fn is_free(&self, resource: &str) -> bool {
        self.run(&["get", resource]).await.code == 3
    }
}
