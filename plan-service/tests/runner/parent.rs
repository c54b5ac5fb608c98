//! The service is stopped, or dies: its steps are over all the same.
//!
//! The service is played by this very program, started once more with
//! [`helper`] as the only test, so that it is a process that can be stopped.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use plan_service::runner::{Deadline, End};
use service_kit::testing::eventually;

use crate::support::{LONG, SOON, Step, far, folder, gone, pid_in, sh, stat};

const FOLDER: &str = "RUNNER_TEST_FOLDER";
const SCRIPT: &str = "RUNNER_TEST_SCRIPT";
const LEASE: &str = "RUNNER_TEST_LEASE_MS";

/// What the helper process does: runs a script, and writes how it ended.
#[tokio::test]
#[ignore = "the other tests here start it as a process of its own"]
async fn helper() {
    let setting = |name| std::env::var(name).expect("started by the tests here");
    let folder = PathBuf::from(setting(FOLDER));
    let lease = Duration::from_millis(setting(LEASE).parse().unwrap());
    let job = sh(&folder, &setting(SCRIPT));
    let mut step = Step::start_until(job, Deadline::after(lease)).await;
    let (output, end) = step.finish().await;
    fs::write(folder.join("output"), output).unwrap();
    fs::write(folder.join("end.new"), format!("{end:?}")).unwrap();
    fs::rename(folder.join("end.new"), folder.join("end")).unwrap();
}

/// The helper, in a group of its own.
struct Service(Child);

impl Service {
    fn start(folder: &Path, script: &str, lease: Duration) -> Self {
        Self::start_with(folder, script, lease, &[])
    }

    fn start_with(folder: &Path, script: &str, lease: Duration, env: &[(&str, &str)]) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "parent::helper", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(SCRIPT, script)
            .env(LEASE, lease.as_millis().to_string())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// As a terminal does it: to the whole group.
    fn signal(&self, signal: Signal) {
        killpg(self.id(), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn end_in(folder: &Path) -> String {
    let file = folder.join("end");
    eventually("the end, as the helper tells it", SOON, async || fs::read_to_string(&file).ok())
        .await
}

fn stubborn() -> String {
    format!("trap '' TERM; {} echo $$ > pid; exec sleep 600", far("far"))
}

#[tokio::test]
async fn a_stopped_service_does_not_keep_its_step_alive() {
    let folder = folder();
    let service = Service::start(folder.path(), &stubborn(), Duration::from_secs(5));
    let pid = pid_in(folder.path().join("pid")).await;
    let far = pid_in(folder.path().join("far")).await;
    service.signal(Signal::SIGSTOP);
    gone(pid, SOON).await;
    gone(far, SOON).await;
    let (state, _) = stat(service.id()).unwrap();
    assert_eq!(state, "T", "it was not the service that did it");
    service.signal(Signal::SIGCONT);
    assert_eq!(end_in(folder.path()).await, format!("{:?}", End::DeadlinePassed));
}

#[tokio::test]
async fn a_stopped_service_does_not_stop_its_step() {
    let folder = folder();
    let script = "echo $$ > pid; until [ -e go ]; do sleep 0.01; done; echo $$ > after; exit 8";
    let service = Service::start(folder.path(), script, LONG);
    pid_in(folder.path().join("pid")).await;
    service.signal(Signal::SIGSTOP);
    fs::write(folder.path().join("go"), "").unwrap();
    pid_in(folder.path().join("after")).await;
    service.signal(Signal::SIGCONT);
    assert_eq!(end_in(folder.path()).await, format!("{:?}", End::Exited(8)));
}

#[tokio::test]
async fn a_service_that_dies_takes_its_step_along() {
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let folder = folder();
        let service = Service::start(folder.path(), &stubborn(), LONG);
        let pid = pid_in(folder.path().join("pid")).await;
        let far = pid_in(folder.path().join("far")).await;
        let supervisor = Pid::from_raw(stat(pid).unwrap().1[0]);
        service.signal(signal);
        for process in [pid, far, supervisor] {
            gone(process, Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test]
async fn a_step_gets_the_service_s_environment_without_its_settings() {
    let folder = folder();
    let env = [
        ("PLAN_SERVICE_DATABASE_URL", "postgres://user:secret@host/"),
        ("PLANCTL_ADDR", "secret"),
        ("LOCK_SERVER_LISTEN", "secret"),
        ("LOCKCTL_ADDR", "secret"),
        ("GIT_DIR", "/secret"),
        ("CARRIED_ALONG", "yes"),
    ];
    // What the step is given, and what it can read of the supervisor.
    let script = "env; tr '\\0' '\\n' < /proc/$PPID/environ";
    let _service = Service::start_with(folder.path(), script, LONG, &env);
    assert_eq!(end_in(folder.path()).await, format!("{:?}", End::Exited(0)));
    let output = fs::read_to_string(folder.path().join("output")).unwrap();
    assert_eq!(output.matches("CARRIED_ALONG=yes").count(), 2, "{output}");
    assert!(!output.contains("secret"), "{output}");
}
