//! Servers inside a test: the production path, on a free port of loopback and
//! a database of their own.

use service_kit::{shutdown::Stop, testing::InProcess};
use tempfile::TempDir;

use crate::{Config, Server, StartError};

/// A running server, on threads of its own: a test that blocks its runtime does
/// not block the server, and a server can be killed with all its connections.
#[derive(Debug)]
pub struct TestServer {
    server: InProcess<StartError>,
    _folder: TempDir,
}

impl TestServer {
    /// Starts a server with these flags, on a free port and, unless they name
    /// a database, on a new SQLite file.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(flags: &[&str]) -> Self {
        Self::try_start(flags).await.unwrap_or_else(|error| panic!("{}", error.report()))
    }

    /// As [`Self::start`].
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When a flag is wrong.
    pub async fn try_start(flags: &[&str]) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().expect("a folder for the test's database");
        let database = format!("sqlite://{}", folder.path().join("locks.db").display());
        let mut args = vec!["lock-server"];
        args.extend(flags);
        if !flags.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        if !flags.contains(&"--database-url") {
            args.extend(["--database-url", &database]);
        }
        let config = Config::parse_from_args(args).unwrap_or_else(|error| panic!("{error}"));
        let start = Server::start(config);
        let run = |server: Server, stop: Stop| server.run(stop.asked());
        let server = InProcess::start(start, Server::address, run).await?;
        Ok(Self { server, _folder: folder })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Asks it to stop, as SIGTERM does, without waiting.
    pub fn begin_stop(&mut self) {
        self.server.begin_stop();
    }

    /// Stops it gracefully.
    ///
    /// # Panics
    /// When it did not run well.
    pub async fn stop(self) {
        self.server.stop().await.unwrap_or_else(|error| panic!("{}", error.report()));
    }

    /// Ends it with all its connections, in the middle of whatever it does.
    pub fn kill(self) {
        drop(self);
    }
}
