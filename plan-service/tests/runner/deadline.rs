//! A step never outlives its lease.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use plan_service::runner::{Deadline, End};
use service_kit::testing::eventually;

use crate::support::{LONG, SOON, Step, far, file, folder, gone, is_alive, job, pid_in, sh};

const STUBBORN: &str = "trap '' TERM; echo $$ > pid; exec sleep 600";

#[tokio::test]
async fn at_the_deadline_a_step_is_over() {
    let folder = folder();
    let started = Instant::now();
    let lease = Duration::from_secs(2);
    let deadline = Deadline::after(lease);
    let mut step = Step::start_until(sh(folder.path(), STUBBORN), deadline).await;
    let pid = pid_in(folder.path().join("pid")).await;
    assert_eq!(step.end().await, End::DeadlinePassed);
    assert!(!is_alive(pid));
    assert!(started.elapsed() >= lease, "not before");
    assert_eq!(deadline.remaining(), Duration::ZERO);
}

#[tokio::test]
async fn shortly_before_the_deadline_a_step_is_asked() {
    let folder = folder();
    let script = "trap 'echo asked; exit 0' TERM; sleep 600 & wait";
    let deadline = Deadline::after(Duration::from_secs(6));
    let mut step = Step::start_until(sh(folder.path(), script), deadline).await;
    assert_eq!(step.finish().await, (b"asked\n".to_vec(), End::DeadlinePassed));
    assert!(deadline.remaining() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_renewed_lease_lets_a_step_go_on() {
    let folder = folder();
    let first = Deadline::after(Duration::from_secs(2));
    let script = "until [ -e go ]; do sleep 0.01; done; exit 4";
    let mut step = Step::start_until(sh(folder.path(), script), first).await;
    step.lease.send(Deadline::after(LONG)).unwrap();
    eventually("the first deadline", SOON, async || first.remaining().is_zero().then_some(()))
        .await;
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.end().await, End::Exited(4));
}

#[tokio::test]
async fn a_shortened_lease_counts() {
    let folder = folder();
    let mut step = Step::start(sh(folder.path(), STUBBORN), LONG).await;
    let pid = pid_in(folder.path().join("pid")).await;
    step.lease.send(Deadline::after(Duration::ZERO)).unwrap();
    assert_eq!(step.end().await, End::DeadlinePassed);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_lease_that_nobody_renews_any_more_still_ends() {
    let folder = folder();
    let Step { mut running, lease } =
        Step::start(sh(folder.path(), STUBBORN), Duration::from_millis(500)).await;
    drop(lease);
    assert_eq!(running.end().await, End::DeadlinePassed);
}

#[tokio::test]
async fn with_a_lease_that_is_over_nothing_is_started() {
    let folder = folder();
    // The system would refuse it, if it were asked: it is not.
    let program = folder.path().join("garbage");
    fs::write(&program, "no program").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut late = Step::start(job(folder.path(), &["./garbage"]), Duration::ZERO).await;
    assert_eq!(late.end().await, End::DeadlinePassed);
    let mut in_time = Step::start(job(folder.path(), &["./garbage"]), LONG).await;
    assert!(matches!(in_time.end().await, End::NotExecutable(_)));
}

#[tokio::test]
async fn a_step_whose_output_nobody_reads_is_over_at_its_deadline() {
    let folder = folder();
    let script = format!("{} touch full; exec yes", far("far"));
    let mut step = Step::start(sh(folder.path(), &script), Duration::from_secs(4)).await;
    file(folder.path().join("full")).await;
    let far = pid_in(folder.path().join("far")).await;
    // Nothing is read of it until it is over.
    gone(far, SOON).await;
    let (output, end) = step.finish().await;
    assert_eq!(end, End::DeadlinePassed);
    // What was in the two pipes and on the way between them: it had to wait.
    assert!(output.len() < 1024 * 1024, "{}", output.len());
    assert!(!output.is_empty());
}
