//! Starts servers and the binary, and reads what it says.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use lock_server::testing::TestServer;
use serde_json::Value;
use service_kit::testing::{Process, eventually};
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
        command.envs(envs.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = output.expect("lockctl ends in time").expect("lockctl starts");
        Answer {
            code: output.status.code().expect("lockctl ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
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

/// What it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Panics unless it ended with this code.
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Panics unless these words are on standard output.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }

    /// Panics unless these words are on standard error.
    #[track_caller]
    pub(crate) fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The one document on standard error, which must be an error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.stdout, "", "{self:#?}");
        let mut document: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert!(document["error"]["message"].is_string(), "{self:#?}");
        document["error"].take()
    }
}
