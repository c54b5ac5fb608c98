//! An instance of the service: the built binary as a process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use service_kit::testing::{Process, Signal};

use super::{DEADLINE, PLAN_SERVICE, Plans, repo::NO_CONFIGURATION};

/// How much of what an instance said is shown where a test fails.
const LAST_LINES: usize = 40;

/// A service that runs as a process and can be called.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) process: Process,
    flags: Vec<String>,
    data_dir: PathBuf,
    address: String,
}

impl Instance {
    /// Starts it with these flags on a free port, and waits until it says that
    /// it can be called.
    pub(crate) async fn start(data_dir: &Path, flags: &[&str]) -> Self {
        let mut all = vec!["--data-dir", data_dir.to_str().unwrap()];
        all.extend(flags);
        if !flags.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let flags: Vec<_> = all.into_iter().map(str::to_owned).collect();
        let (process, address) = begin(&flags).await;
        Self { process, flags, data_dir: data_dir.to_owned(), address }
    }

    /// Starts it once more with the same flags, after it has ended.
    pub(crate) async fn start_again(&mut self) {
        (self.process, self.address) = begin(&self.flags).await;
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A client on a connection of its own.
    pub(crate) fn plans(&self) -> Plans {
        Plans::connect(&self.url())
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it as a debugger does, and lets it go on.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Panics unless it ends by itself with 0 by then.
    pub(crate) async fn assert_ends_well(&mut self, deadline: Duration) {
        let status = self.process.wait(deadline).await;
        assert_eq!(status.code(), Some(0), "{status}; its output:\n{}", self.process.output());
    }

    /// What runs have in its folder.
    pub(crate) fn worktrees(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.data_dir.join("worktrees")) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// What it said last, where a test fails.
impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.process.output();
            let lines: Vec<_> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!("the instance at {}:\n{}\n", self.address, last.join("\n"));
        }
    }
}

async fn begin(flags: &[String]) -> (Process, String) {
    let mut process = Process::start(PLAN_SERVICE, flags, NO_CONFIGURATION);
    let listening = |line: &str| line.starts_with("plan-service listening on ");
    let line = process.wait_for_line(listening, DEADLINE).await;
    let address = line.split(' ').nth(3).unwrap().to_owned();
    (process, address)
}
