//! `lockctl run` under an owner that may hold the lock already.

use service_kit::testing::Signal;

use super::support::{DEADLINE, server};

const UNTIL_USR1: &str = "trap 'exit 5' USR1; echo up; while :; do :; done";

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_owner_do_not_run_at_the_same_time() {
    let (server, lockctl) = server().await;
    let run = ["run", "plan/42", "--owner", "me", "--ttl", "60s", "--"];
    let mut first = lockctl.start(&[&run[..], &["sh", "-c", UNTIL_USR1]].concat());
    first.wait_for_line(|line| line == "up", DEADLINE).await;
    let before = lockctl.json(&["get", "plan/42"]).await["lock"]["expire_time"].clone();

    let second = lockctl.run(&[&run[..], &["echo", "ran"]].concat()).await.ended_with(75);
    assert_eq!(second.stdout, "");
    second.complains(&["plan/42 is held by me already", "--reenter"]);
    let json = [&["--output", "json"], &run[..], &["echo", "ran"]].concat();
    let error = lockctl.run(&json).await.ended_with(75).only_error();
    assert_eq!(error["reason"], "HELD_ALREADY");
    assert_eq!(error["metadata"]["owner_id"], "me");
    // It is as the first one has it.
    assert_eq!(lockctl.json(&["get", "plan/42"]).await["lock"]["expire_time"], before);

    first.signal(Signal::SIGUSR1);
    assert_eq!(first.wait(DEADLINE).await.code(), Some(5), "{}", first.output());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_owner_holds_is_reentered_where_that_is_asked_for() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/42", "--owner", "me"]).await;
    let run = ["run", "plan/42", "--owner", "me", "--reenter", "--", "echo", "ran"];
    lockctl.run(&run).await.ended_with(0).says(&["ran"]);
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_stale_lock_is_not_in_the_way() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/42", "--owner", "me", "--ttl", "100ms"]).await;
    lockctl.until_stale("plan/42").await;
    let run = ["run", "plan/42", "--owner", "me", "--", "echo", "ran"];
    lockctl.run(&run).await.ended_with(0).says(&["ran"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_does_not_come_from_the_environment() {
    let (server, lockctl) = server().await;
    let run = ["run", "plan/42", "--", "sh", "-c", "echo $LOCK_OWNER_ID"];
    let answer = lockctl.run_with(&run, &[("LOCKCTL_OWNER", "from-env")]).await.ended_with(0);
    assert!(uuid::Uuid::parse_str(answer.stdout.trim()).is_ok(), "{answer:#?}");
    server.stop().await;
}
