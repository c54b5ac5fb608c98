//! `lockctl diagnostics`.

use super::support::{Lockctl, server};

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/1"]).await;
    let url = server.url();
    lockctl.run(&["diagnostics"]).await.ended_with(0).says(&[
        &url,
        "reachable  yes",
        "live       yes",
        "ready      yes",
        "store      sqlite\n",
        "version    ",
        "held       1 lock\n",
        "stale      0 locks",
        "All is well.",
    ]);
    let found = lockctl.json(&["diagnostics"]).await;
    assert_eq!(found["servers"][0]["address"], url.as_str());
    assert_eq!(found["servers"][0]["ready"], true);
    assert_eq!(found["servers"][0]["store"], "sqlite");
    assert_eq!(found["held_count"], 1);
    assert_eq!(found["stale_count"], 0);
    assert_eq!(found["needs_attention"].as_array().unwrap().len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_locks_need_attention_the_oldest_by_name() {
    let (server, lockctl) = server().await;
    for resource in ["plan/oldest", "plan/newer"] {
        lockctl.json(&["acquire", resource, "--owner", "gone", "--ttl", "100ms"]).await;
        lockctl.until_stale(resource).await;
    }
    lockctl.run(&["diagnostics"]).await.ended_with(2).says(&[
        "stale      2 locks",
        "oldest     plan/oldest of gone, expired ",
        "needs attention: 2 locks stale",
        "lockctl purge",
    ]);
    let answer = lockctl.run(&["diagnostics", "--output", "json"]).await.ended_with(2);
    assert_eq!(answer.json()["oldest_stale"]["resource"]["id"], "oldest");
    // Stale, but not for long enough to matter.
    lockctl.run(&["diagnostics", "--stale-after", "1h"]).await.ended_with(0).says(&["2 locks"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_two_that_is_not_there_needs_attention() {
    let (server, _) = server().await;
    let both = Lockctl::at(format!("http://127.0.0.1:1,{}", server.url()));
    both.run(&["diagnostics"]).await.ended_with(2).says(&[
        "reachable  no",
        "reachable  yes",
        "held       0 locks",
        "needs attention: http://127.0.0.1:1 cannot be reached",
    ]);
    server.stop().await;
}

#[tokio::test]
async fn no_server_at_all_ends_with_69() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    nowhere.run(&["diagnostics"]).await.ended_with(69).says(&["cannot be reached"]);
    let answer = nowhere.run(&["diagnostics", "--output", "json"]).await.ended_with(69);
    assert_eq!(answer.json()["servers"][0]["reachable"], false);
}
