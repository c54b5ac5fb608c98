//! Nobody gets away.

use std::{
    fs::{self, OpenOptions},
    time::{Duration, Instant},
};

use nix::unistd::Pid;
use plan_service::runner::{End, Stop};
use service_kit::testing::eventually;

use crate::support::{
    LONG, SOON, Step, all_in, far, file, folder, gone, is_alive, pid_in, run, sh, stat,
};

/// A child of the group, one in a session of its own, and one whose parent has
/// ended before it got there. They do not act on `SIGTERM`.
fn spread() -> String {
    let near = "sh -c 'trap \"\" TERM; echo $$ > near; exec sleep 600' & \
                until [ -s near ]; do sleep 0.01; done; ";
    format!(
        "{near} {} (({}) & true); until [ -s lost ]; do sleep 0.01; done; ",
        far("far"),
        far("lost")
    )
}

async fn spread_of(folder: &std::path::Path) -> [Pid; 3] {
    let mut found = [Pid::this(); 3];
    for (pid, name) in found.iter_mut().zip(["near", "far", "lost"]) {
        *pid = pid_in(folder.join(name)).await;
    }
    found
}

#[tokio::test]
async fn all_are_gone_at_the_deadline() {
    let folder = folder();
    let script = format!("{} wait", spread());
    let mut step = Step::start(sh(folder.path(), &script), Duration::from_secs(4)).await;
    let all = spread_of(folder.path()).await;
    let [_, _, lost] = all;
    let adopted = [step.supervisor().as_raw(), lost.as_raw(), lost.as_raw()];
    eventually("one that has left its session, and whose parent has ended", SOON, async || {
        stat(lost).is_some_and(|(_, found)| found == adopted).then_some(())
    })
    .await;
    assert_eq!(step.end().await, End::DeadlinePassed);
    assert!(all.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn all_are_gone_when_a_step_is_stopped() {
    for (how, least) in [(Stop::Gently, Duration::from_millis(500)), (Stop::AtOnce, Duration::ZERO)]
    {
        let folder = folder();
        let mut step = Step::start(sh(folder.path(), &format!("{} wait", spread())), LONG).await;
        let all = spread_of(folder.path()).await;
        let asked = Instant::now();
        step.running.stop(how);
        assert_eq!(step.end().await, End::Stopped);
        assert!(all.iter().all(|pid| !is_alive(*pid)));
        assert!(asked.elapsed() >= least, "{how:?}");
    }
}

#[tokio::test]
async fn all_are_gone_when_the_step_is_dropped() {
    let folder = folder();
    let step = Step::start(sh(folder.path(), &format!("{} wait", spread())), LONG).await;
    let all = spread_of(folder.path()).await;
    let supervisor = step.supervisor();
    drop(step);
    for pid in all {
        gone(pid, Duration::from_secs(1)).await;
    }
    // Not even as a zombie.
    eventually("no supervisor", SOON, async || stat(supervisor).is_none().then_some(())).await;
}

#[tokio::test]
async fn a_step_that_keeps_starting_others_is_ended_with_all_of_them() {
    let folder = folder();
    // Not for ever, or a defect would be felt by the whole machine.
    let spawner =
        "i=0; while [ $i -lt 2000 ]; do setsid sleep 60 & sleep 0.002; i=$((i+1)); done; wait";
    let script = format!("setsid sh -c '{spawner}' & {spawner}");
    let mut step = Step::start(sh(folder.path(), &script), LONG).await;
    eventually("many", SOON, async || (all_in(folder.path()).len() > 100).then_some(())).await;
    step.running.stop(Stop::AtOnce);
    assert_eq!(step.end().await, End::Stopped);
    assert_eq!(all_in(folder.path()), [] as [&str; 0]);
}

#[tokio::test]
async fn what_a_step_leaves_behind_is_ended_and_its_own_code_is_told() {
    let folder = folder();
    let (_, end) = run(sh(folder.path(), &format!("{} exit 6", spread()))).await;
    assert_eq!(end, End::Exited(6));
    let all = spread_of(folder.path()).await;
    assert!(all.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn what_a_step_leaves_behind_is_asked_first() {
    let folder = folder();
    let script = "setsid sh -c 'trap \"echo bye > left; exit\" TERM; touch there; \
                  sleep 600 & wait' & until [ -e there ]; do sleep 0.01; done; exit 2";
    let started = Instant::now();
    assert_eq!(run(sh(folder.path(), script)).await.1, End::Exited(2));
    assert_eq!(fs::read_to_string(folder.path().join("left")).unwrap(), "bye\n");
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn orphans_that_end_leave_no_zombies_while_the_step_runs() {
    let folder = folder();
    let script = "i=0; while [ $i -lt 100 ]; do (true & true); i=$((i+1)); done; touch forked; \
                  until [ -e go ]; do sleep 0.01; done";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    file(folder.path().join("forked")).await;
    let supervisor = step.supervisor().as_raw();
    let zombies = || {
        let ids = fs::read_dir("/proc").unwrap().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|id| stat(Pid::from_raw(id)))
            .filter(|(state, [parent, ..])| state == "Z" && *parent == supervisor)
            .count()
    };
    eventually("no zombies", SOON, async || (zombies() == 0).then_some(())).await;
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.end().await, End::Exited(0));
}

#[tokio::test]
async fn whoever_else_holds_the_output_is_not_waited_for() {
    let folder = folder();
    let script = "echo $$ > pid; until [ -e go ]; do sleep 0.01; done; echo last";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    let pid = pid_in(folder.path().join("pid")).await;
    // The pipe stays open beyond the step's end: here, in no descendant of it.
    let pipe = OpenOptions::new().write(true).open(format!("/proc/{pid}/fd/1")).unwrap();
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.finish().await, (b"last\n".to_vec(), End::Exited(0)));
    drop(pipe);
}
