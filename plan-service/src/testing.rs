//! Services inside a test: the production path, on a free port of loopback, with
//! a data folder and a database of their own.

use std::path::{Path, PathBuf};

use service_kit::{shutdown::Stop, testing::InProcess};
use tempfile::TempDir;

use crate::{Config, Server, StartError};

/// A running service, on threads of its own. Its steps run under a supervisor,
/// which is a program of its own: the built `plan-service`, in an integration
/// test `env!("CARGO_BIN_EXE_plan-service")`.
#[derive(Debug)]
pub struct TestPlanService {
    server: InProcess<StartError>,
    data_dir: PathBuf,
    _folder: TempDir,
}

impl TestPlanService {
    /// Starts a service with these flags, on a free port and, unless they name
    /// one, with a new data folder.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(supervisor: &Path, flags: &[&str]) -> Self {
        let started = Self::try_start(supervisor, flags).await;
        started.unwrap_or_else(|error| panic!("{}", error.report()))
    }

    /// As [`Self::start`].
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When a flag is wrong.
    pub async fn try_start(supervisor: &Path, flags: &[&str]) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().expect("a folder for the service's data");
        let data_dir = folder.path().join("data");
        let mut args = vec!["plan-service"];
        args.extend(flags);
        if !is_given("--listen", flags) {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        let own = data_dir.to_str().expect("a temporary folder has a name in UTF-8");
        if !is_given("--data-dir", flags) {
            args.extend(["--data-dir", own]);
        }
        let config = Config::parse_from_args(args).unwrap_or_else(|error| panic!("{error}"));
        let data_dir = config.work.data_dir.clone().unwrap_or(data_dir);
        let start = Server::start_with(config, supervisor.to_owned());
        let run = |server: Server, stop: Stop| server.run(stop.asked());
        let server = InProcess::start(start, Server::address, run).await?;
        Ok(Self { server, data_dir, _folder: folder })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Its data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
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

    /// Ends it with all its connections, in the middle of whatever it does, and
    /// waits until its data folder is free. Its leases are given back all the
    /// same, since the guards are dropped: for a crash, kill a process.
    pub async fn kill(self) {
        self.server.kill().await;
    }
}

fn is_given(flag: &str, flags: &[&str]) -> bool {
    flags.iter().any(|given| {
        given.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}
