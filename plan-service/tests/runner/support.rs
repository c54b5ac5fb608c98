//! A folder, a runner, and eyes for processes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use plan_service::runner::{Deadline, End, Job, Runner, Running};
use service_kit::testing::eventually;
use tempfile::TempDir;
use tokio::sync::watch;

/// For what should take no time at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// For leases and limits that must not end during a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A runner of the real binary.
pub(crate) fn runner() -> Runner {
    Runner::new(env!("CARGO_BIN_EXE_plan-service"))
}

/// A folder to run in.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A command of these arguments.
pub(crate) fn job(folder: &Path, argv: &[&str]) -> Job {
    Job {
        argv: argv.iter().map(OsString::from).collect(),
        cwd: folder.to_owned(),
        env: BTreeMap::new(),
        time_limit: LONG,
    }
}

/// A script.
pub(crate) fn sh(folder: &Path, script: &str) -> Job {
    job(folder, &["sh", "-c", script])
}

/// A running command and its lease.
pub(crate) struct Step {
    pub(crate) running: Running,
    pub(crate) lease: watch::Sender<Deadline>,
}

impl Step {
    pub(crate) async fn start(job: Job, lease: Duration) -> Self {
        Self::start_until(job, Deadline::after(lease)).await
    }

    pub(crate) async fn start_until(job: Job, deadline: Deadline) -> Self {
        let (lease, deadline) = watch::channel(deadline);
        let running = runner().start(job, deadline).await.unwrap();
        Self { running, lease }
    }

    /// Everything that it writes, and how it ends.
    pub(crate) async fn finish(&mut self) -> (Vec<u8>, End) {
        let all = async {
            let mut output = Vec::new();
            while let Some(part) = self.running.output().await {
                output.extend(part);
            }
            (output, self.running.end().await)
        };
        tokio::time::timeout(6 * SOON, all).await.expect("an end")
    }

    pub(crate) async fn end(&mut self) -> End {
        tokio::time::timeout(SOON, self.running.end()).await.expect("an end")
    }

    pub(crate) fn supervisor(&self) -> Pid {
        Pid::from_raw(self.running.supervisor().cast_signed())
    }
}

/// Runs a command that should end by itself.
pub(crate) async fn run(job: Job) -> (String, End) {
    let (output, end) = Step::start(job, LONG).await.finish().await;
    (String::from_utf8(output).unwrap(), end)
}

/// The process id that a script has written into a file.
pub(crate) async fn pid_in(file: PathBuf) -> Pid {
    let what = format!("a process id in {}", file.display());
    eventually(&what, SOON, async || {
        let text = fs::read_to_string(&file).ok()?;
        // Not a half of it.
        text.strip_suffix('\n')?.parse().ok().map(Pid::from_raw)
    })
    .await
}

/// Waits for a file.
pub(crate) async fn file(path: PathBuf) {
    eventually(&format!("{}", path.display()), SOON, async || path.exists().then_some(())).await;
}

/// Whether the process runs: not one that has ended and is not waited for yet.
pub(crate) fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state.as_str(), "Z" | "X"))
}

/// Waits until the process is gone.
pub(crate) async fn gone(pid: Pid, within: Duration) {
    eventually(&format!("the end of {pid}"), within, async || (!is_alive(pid)).then_some(())).await;
}

/// State, then parent, group and session.
pub(crate) fn stat(pid: Pid) -> Option<(String, [i32; 3])> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    let mut number = || fields.next()?.parse().ok();
    Some((state, [number()?, number()?, number()?]))
}

pub(crate) fn signal(pid: Pid, signal: Signal) {
    kill(pid, signal).expect("signal a process that is there");
}

/// Part of a script: starts a process in a session of its own that ignores
/// `SIGTERM`, and goes on when its id is in the file.
pub(crate) fn far(file: &str) -> String {
    format!(
        "setsid sh -c 'trap \"\" TERM; echo $$ > {file}; exec sleep 600' & \
         until [ -s {file} ]; do sleep 0.01; done; "
    )
}

/// Every process that works in the folder.
pub(crate) fn all_in(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .map(|entry| entry.file_name().display().to_string())
        .collect()
}
