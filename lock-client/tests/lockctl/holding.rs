//! Taking, renewing, showing and giving back.

use super::support::server;

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_renewed_shown_and_given_back_as_json() {
    let (server, lockctl) = server().await;

    let taken = lockctl
        .json(&["acquire", "plan/42", "--owner", "a", "--ttl", "60s", "--metadata", "task=x=y"])
        .await;
    let lock = &taken["lock"];
    assert_eq!(taken["reentrant"], false);
    assert_eq!(lock["resource"]["type"], "plan");
    assert_eq!(lock["resource"]["id"], "42");
    assert_eq!(lock["owner_id"], "a");
    assert_eq!(lock["ttl"], "60s");
    assert_eq!(lock["metadata"]["task"], "x=y");
    assert_eq!(lock["state"], "LOCK_STATE_HELD");
    assert!(lock["remaining"].as_str().unwrap().ends_with('s'), "{lock}");
    for time in ["acquire_time", "renew_time", "expire_time"] {
        assert!(lock[time].as_str().unwrap().ends_with('Z'), "{lock}");
    }
    let token = lock["fencing_token"].as_u64().unwrap().to_string();

    let again = lockctl.json(&["acquire", "plan/42", "--owner", "a"]).await;
    assert_eq!(again["reentrant"], true);
    assert_eq!(again["lock"]["fencing_token"], lock["fencing_token"]);

    let renewed = lockctl
        .json(&["renew", "plan/42", "--owner", "a", "--token", &token, "--ttl", "10m"])
        .await;
    assert_eq!(renewed["lock"]["ttl"], "600s");

    let shown = lockctl.json(&["get", "plan/42"]).await;
    assert_eq!(shown["lock"]["expire_time"], renewed["lock"]["expire_time"]);

    let release = ["release", "plan/42", "--owner", "a", "--token", &token];
    assert_eq!(lockctl.json(&release).await["released"], true);
    assert_eq!(lockctl.json(&release).await["released"], false);

    let free = lockctl.run(&["get", "plan/42", "--output", "json"]).await.ended_with(3);
    assert!(free.json()["lock"].is_null());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_renewed_shown_and_given_back_in_words() {
    let (server, lockctl) = server().await;
    let acquire =
        ["acquire", "plan/42", "--owner", "a", "--ttl", "60s", "--metadata", "task=two words"];
    lockctl.run(&acquire).await.ended_with(0).says(&[
        "Acquired.",
        "plan/42",
        "owner     a",
        "held",
        "1m",
        "task=\"two words\"",
    ]);
    lockctl.run(&acquire).await.ended_with(0).says(&["Held already by this owner."]);
    let token = lockctl.json(&["get", "plan/42"]).await["lock"]["fencing_token"].to_string();
    lockctl
        .run(&["renew", "plan/42", "--owner", "a", "--token", &token])
        .await
        .ended_with(0)
        .says(&["Renewed.", &token]);
    lockctl.run(&["get", "plan/42"]).await.ended_with(0).says(&["expires", "(in ", &token]);
    let release = ["release", "plan/42", "--owner", "a"];
    lockctl.run(&release).await.ended_with(0).says(&["Released plan/42."]);
    lockctl.run(&release).await.ended_with(0).says(&["Nothing to release"]);
    lockctl.run(&["get", "plan/42"]).await.ended_with(3).says(&["plan/42 is free."]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_not_named_is_new_each_time() {
    let (server, lockctl) = server().await;
    let first = lockctl.json(&["acquire", "plan/1"]).await;
    let second = lockctl.json(&["acquire", "plan/2"]).await;
    let owner = first["lock"]["owner_id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(owner).unwrap().get_version_num(), 7);
    assert_ne!(first["lock"]["owner_id"], second["lock"]["owner_id"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_may_come_from_the_environment() {
    let (server, lockctl) = server().await;
    let env = [("LOCKCTL_OWNER", "from-env")];
    lockctl.run_with(&["acquire", "plan/1"], &env).await.ended_with(0).says(&["from-env"]);
    lockctl.run_with(&["release", "plan/1"], &env).await.ended_with(0).says(&["Released"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_an_owner_is_given_back() {
    let (server, lockctl) = server().await;
    for resource in ["plan/1", "plan/2", "project/1"] {
        lockctl.json(&["acquire", resource, "--owner", "a"]).await;
    }
    lockctl.json(&["acquire", "plan/3", "--owner", "b"]).await;
    let released = lockctl.json(&["release-all", "--owner", "a"]).await;
    assert_eq!(released["released_count"], 3);
    let release = ["release-all", "--owner", "a"];
    lockctl.run(&release).await.ended_with(0).says(&["Released 0 locks of a."]);
    assert!(!lockctl.is_free("plan/3").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_named_counts_more_than_the_environment() {
    let (server, lockctl) = server().await;
    let url = server.url();
    lockctl
        .run_with(&["get", "plan/1", "--addr", &url], &[("LOCKCTL_ADDR", "http://127.0.0.1:1")])
        .await
        .ended_with(3);
    // Of several servers, any that answers will do.
    let several = format!("http://127.0.0.1:1,{url}");
    lockctl.run(&["get", "plan/1", "--addr", &several]).await.ended_with(3);
    server.stop().await;
}
