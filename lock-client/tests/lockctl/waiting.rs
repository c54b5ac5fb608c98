//! `--wait`: waiting in line, what is shown meanwhile, and how it ends.

use service_kit::testing::{Process, Signal, eventually};

use super::{
    support::{DEADLINE, Lockctl, server},
    terminal::session,
};

/// Waits until so many are in line for `plan/42`.
async fn in_line(lockctl: &Lockctl, count: u64) {
    eventually(&format!("{count} in line"), DEADLINE, async || {
        let lock = lockctl.json(&["get", "plan/42"]).await;
        (lock["lock"]["queue_length"] == count).then_some(())
    })
    .await;
}

async fn hold(lockctl: &Lockctl, resource: &str, owner: &str) {
    lockctl.json(&["acquire", resource, "--owner", owner, "--ttl", "60s"]).await;
}

async fn release(lockctl: &Lockctl, resource: &str, owner: &str) {
    lockctl.json(&["release", resource, "--owner", owner]).await;
}

/// Waits for `plan/42` in the name of this owner.
fn wait(lockctl: &Lockctl, owner: &str) -> Process {
    lockctl.start(&["acquire", "plan/42", "--owner", owner, "--ttl", "60s", "--wait", "60s"])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_who_is_in_the_way_and_gets_the_lock_when_it_is_given_back() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let mut second = wait(&lockctl, "second");
    in_line(&lockctl, 1).await;
    let told = "lockctl: waiting for plan/42: held by first until ";
    let line = second.wait_for_line(|line| line.starts_with(told), DEADLINE).await;
    assert!(line.ends_with(", 1 in line") && line.contains(" (in "), "{line}");
    release(&lockctl, "plan/42", "first").await;
    assert_eq!(second.wait(DEADLINE).await.code(), Some(0), "{}", second.output());
    let output = second.output();
    assert!(output.contains("Acquired."), "{output}");
    // Once, where nobody looks at a terminal.
    assert_eq!(output.matches("waiting for").count(), 1, "{output}");
    assert_eq!(lockctl.json(&["get", "plan/42"]).await["lock"]["owner_id"], "second");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_in_the_order_of_arrival_and_its_length_is_shown() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let mut second = wait(&lockctl, "second");
    in_line(&lockctl, 1).await;
    let mut third = wait(&lockctl, "third");
    in_line(&lockctl, 2).await;
    let list = lockctl.run(&["list"]).await.ended_with(0).says(&["WAITING"]);
    let column = list.stdout.find("WAITING").unwrap();
    let row = list.stdout.lines().nth(1).unwrap();
    assert!(row[column..].starts_with("2 "), "{list:#?}");
    lockctl.run(&["get", "plan/42"]).await.ended_with(0).says(&["waiting   2\n"]);
    let refused = lockctl.run(&["acquire", "plan/42", "--owner", "fourth"]).await.ended_with(75);
    refused.complains(&["waiting   2\n", "--wait"]);
    release(&lockctl, "plan/42", "first").await;
    assert_eq!(second.wait(DEADLINE).await.code(), Some(0), "{}", second.output());
    in_line(&lockctl, 1).await;
    release(&lockctl, "plan/42", "second").await;
    assert_eq!(third.wait(DEADLINE).await.code(), Some(0), "{}", third.output());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_ends_with_75_and_the_holder_of_then() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let acquire = ["acquire", "plan/42", "--owner", "second", "--wait", "200ms"];
    lockctl.run(&acquire).await.ended_with(75).complains(&["held by first", "expires"]);
    let run = ["run", "plan/42", "--wait", "200ms", "--", "echo", "ran"];
    let answer = lockctl.run(&run).await.ended_with(75);
    assert_eq!(answer.stdout, "");
    let json = [&acquire[..], &["--output", "json"]].concat();
    let error = lockctl.run(&json).await.ended_with(75).only_error();
    assert_eq!(error["metadata"]["queue_length"], "0");
    in_line(&lockctl, 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_the_lock_is_granted() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let mut run = lockctl.start(&["run", "plan/42", "--wait", "60s", "--", "echo", "ran"]);
    in_line(&lockctl, 1).await;
    release(&lockctl, "plan/42", "first").await;
    assert_eq!(run.wait(DEADLINE).await.code(), Some(0), "{}", run.output());
    assert!(run.output().contains("ran"));
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_end_gives_its_place_up() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut run = lockctl.start(&["run", "plan/42", "--wait", "60s", "--", "echo", "ran"]);
        in_line(&lockctl, 1).await;
        run.signal(signal);
        assert_eq!(run.wait(DEADLINE).await.code(), Some(code), "{}", run.output());
        in_line(&lockctl, 0).await;
    }
    let mut acquire = wait(&lockctl, "second");
    in_line(&lockctl, 1).await;
    acquire.kill();
    in_line(&lockctl, 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_ends_with_79_and_is_shown() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    hold(&lockctl, "plan/43", "second").await;
    let _waits = wait(&lockctl, "second");
    in_line(&lockctl, 1).await;
    let acquire = ["acquire", "plan/43", "--owner", "first", "--wait", "30s"];
    let cycle = "first → plan/43 → second → plan/42 → first";
    lockctl.run(&acquire).await.ended_with(79).complains(&[cycle, "same order"]);
    let json = [&acquire[..], &["--output", "json"]].concat();
    let error = lockctl.run(&json).await.ended_with(79).only_error();
    assert_eq!(
        (&error["reason"], &error["metadata"]["cycle"]),
        (&"DEADLOCK".into(), &cycle.into())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_cancelled_ends_with_80() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let mut second = wait(&lockctl, "second");
    in_line(&lockctl, 1).await;
    lockctl.json(&["release-all", "--owner", "second"]).await;
    assert_eq!(second.wait(DEADLINE).await.code(), Some(80), "{}", second.output());
    in_line(&lockctl, 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_none_says_what_would_be_right() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    for (wait, words) in [
        ("30", "30s, 5m or 1h"),
        ("soon", "30s, 5m or 1h"),
        ("-5s", "negative"),
        ("", "30s, 5m or 1h"),
    ] {
        for arguments in [
            &["acquire", "plan/42", "--wait", wait][..],
            &["run", "plan/42", "--wait", wait, "--", "echo"],
        ] {
            nowhere.run(arguments).await.ended_with(64).complains(&[words, "--wait"]);
        }
    }
    let (server, lockctl) = server().await;
    let acquire = ["acquire", "plan/42", "--wait", "2h"];
    lockctl.run(&acquire).await.ended_with(64).complains(&["wait is 2h", "at most 1h"]);
    lockctl.run(&["acquire", "plan/42", "--wait", "0s"]).await.ended_with(0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_one_line_that_goes_away_again() {
    let script =
        "export TERM=xterm; read x; $LOCKCTL run plan/42 --wait 60s -- echo ran; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    hold(&lockctl, "plan/42", "first").await;
    session.types("go\n");
    session.shows("waiting for plan/42: held by first until ").await;
    session.shows(", 1 in line").await;
    // It is looked at again.
    let mut second = wait(&lockctl, "second");
    session.shows(", 2 in line").await;
    release(&lockctl, "plan/42", "first").await;
    session.shows("ended 0").await;
    session.ends().await;
    let screen = session.screen();
    let (before, after) = screen.split_once("ran\r\n").unwrap();
    assert!(before.ends_with("\r\u{1b}[K"), "{screen:?}");
    assert!(!after.contains("waiting"), "{screen:?}");
    assert_eq!(second.wait(DEADLINE).await.code(), Some(0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_nothing_while_they_wait() {
    let (server, lockctl) = server().await;
    hold(&lockctl, "plan/42", "first").await;
    let arguments = ["acquire", "plan/42", "--wait", "1500ms", "--output", "json"];
    let error = lockctl.run(&arguments).await.ended_with(75).only_error();
    assert_eq!(error["reason"], "LOCK_CONFLICT");
    server.stop().await;
}
