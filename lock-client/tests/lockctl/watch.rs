//! `lockctl watch`.

use serde_json::Value;
use service_kit::testing::{Process, Signal, TcpProxy};

use super::support::{DEADLINE, Lockctl, address, server};

async fn line(watch: &mut Process, start: &str) -> String {
    watch.wait_for_line(|line| line.starts_with(start), DEADLINE).await
}

/// The first object of this kind.
async fn object(watch: &mut Process, kind: &str) -> Value {
    let kind = format!("\"kind\":\"{kind}\"");
    let line = watch.wait_for_line(|line| line.contains(&kind), DEADLINE).await;
    serde_json::from_str(&line).expect("one object a line")
}

async fn ends_well(watch: &mut Process) {
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait(DEADLINE).await.code(), Some(0), "{}", watch.output());
}

async fn hold(lockctl: &Lockctl, resource: &str) -> String {
    let arguments = ["acquire", resource, "--owner", "me", "--ttl", "60s"];
    lockctl.json(&arguments).await["lock"]["fencing_token"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_what_is_held_and_then_a_line_for_each_event() {
    let (server, lockctl) = server().await;
    let token = hold(&lockctl, "plan/1").await;
    let mut watch = lockctl.start(&["watch"]);
    let held = line(&mut watch, "held ").await;
    assert!(held.contains(&format!("  plan/1  owner me  token {token}  until 2")), "{held}");
    line(&mut watch, "-- ").await;
    hold(&lockctl, "plan/2").await;
    line(&mut watch, "acquired        plan/2  owner me  token ").await;
    lockctl.json(&["release", "plan/1", "--owner", "me"]).await;
    line(&mut watch, &format!("released        plan/1  owner me  token {token}")).await;
    ends_well(&mut watch).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_an_object_for_each_event() {
    let (server, lockctl) = server().await;
    let token = hold(&lockctl, "plan/1").await;
    let mut watch = lockctl.start(&["watch", "plan/1", "--renewals", "--output", "json"]);
    let held = object(&mut watch, "LOCK_EVENT_KIND_SNAPSHOT").await;
    assert_eq!(held["lock"]["resource"]["id"], "1");
    assert_eq!(held["lock"]["queue_length"], 0);
    let complete = object(&mut watch, "LOCK_EVENT_KIND_SNAPSHOT_COMPLETE").await;
    assert!(complete["lock"].is_null());
    lockctl.json(&["renew", "plan/1", "--owner", "me", "--token", &token, "--ttl", "9m"]).await;
    let renewed = object(&mut watch, "LOCK_EVENT_KIND_RENEWED").await;
    assert_eq!(renewed["lock"]["ttl"], "540s");
    hold(&lockctl, "plan/2").await;
    lockctl.json(&["release", "plan/1", "--owner", "me"]).await;
    let released = object(&mut watch, "LOCK_EVENT_KIND_RELEASED").await;
    assert_eq!(released["lock"]["fencing_token"].to_string(), token);
    assert!(!watch.output().contains("\"id\":\"2\""), "{}", watch.output());
    ends_well(&mut watch).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_asked_for_is_shown() {
    let (server, lockctl) = server().await;
    let mut watch = lockctl.start(&["watch", "--type", "plan", "--prefix", "a"]);
    line(&mut watch, "-- ").await;
    for resource in ["plan/b1", "project/a1", "plan/a1"] {
        hold(&lockctl, resource).await;
    }
    line(&mut watch, "acquired        plan/a1 ").await;
    let output = watch.output();
    assert!(!output.contains("b1") && !output.contains("project"), "{output}");
    ends_well(&mut watch).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_told_and_it_begins_anew_when_it_is_back() {
    let (server, direct) = server().await;
    let proxy = TcpProxy::start(address(&server)).await;
    let lockctl = Lockctl::at(format!("http://{}", proxy.address()));
    let mut watch = lockctl.start(&["watch"]);
    let mut program = lockctl.start(&["watch", "--output", "json"]);
    line(&mut watch, "-- ").await;
    object(&mut program, "LOCK_EVENT_KIND_SNAPSHOT_COMPLETE").await;
    proxy.cut().await;
    line(&mut watch, "lockctl: interrupted: ").await;
    assert!(object(&mut program, "INTERRUPTED").await["message"].is_string());
    hold(&direct, "plan/1").await;
    proxy.resume().await;
    line(&mut watch, "held            plan/1  owner me").await;
    object(&mut program, "LOCK_EVENT_KIND_SNAPSHOT").await;
    ends_well(&mut watch).await;
    ends_well(&mut program).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_at_all_ends_with_69() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    let watch = ["watch", "--timeout", "300ms"];
    nowhere.run(&watch).await.ended_with(69).complains(&["http://127.0.0.1:1", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_wrong_ends_with_64() {
    let (server, lockctl) = server().await;
    lockctl.run(&["watch", "--type", "No Type"]).await.ended_with(64).complains(&["type"]);
    lockctl.run(&["watch", "--prefix", "a"]).await.ended_with(64).complains(&["--type"]);
    server.stop().await;
}
