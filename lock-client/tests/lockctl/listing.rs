//! Lists of what is held and what is stale, and purging.

use super::support::{Lockctl, server};

/// An id that turns the line around, holds a zero-width space and is one id.
const TRICKY: &str = "a\u{202e}b\u{200b}c\\d";

async fn acquire(lockctl: &Lockctl, resource: &str, owner: &str, ttl: &str) {
    lockctl.json(&["acquire", resource, "--owner", owner, "--ttl", ttl]).await;
}

fn ids(list: &serde_json::Value) -> Vec<String> {
    let locks = list["locks"].as_array().expect("a list");
    let id = |lock: &serde_json::Value| lock["resource"]["id"].as_str().map(str::to_owned);
    locks.iter().map(|lock| id(lock).expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn held_locks_are_listed_by_type_prefix_and_owner() {
    let (server, lockctl) = server().await;
    lockctl.run(&["list"]).await.ended_with(0).says(&["No locks are held."]);
    for (resource, owner) in
        [("plan/a1", "x"), ("plan/a2", "y"), ("plan/b1", "x"), ("project/a1", "x")]
    {
        acquire(&lockctl, resource, owner, "60s").await;
    }
    let list = async |filter: &[&str]| ids(&lockctl.json(&[&["list"], filter].concat()).await);
    assert_eq!(list(&[]).await, ["a1", "a2", "b1", "a1"]);
    assert_eq!(list(&["--type", "plan"]).await, ["a1", "a2", "b1"]);
    assert_eq!(list(&["--type", "plan", "--prefix", "a"]).await, ["a1", "a2"]);
    assert_eq!(list(&["--owner", "y"]).await, ["a2"]);

    let table = lockctl.run(&["list", "--type", "plan"]).await.ended_with(0);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{table:#?}");
    assert!(lines[0].starts_with("RESOURCE  OWNER  TOKEN"), "{table:#?}");
    assert!(lines[1].starts_with("plan/a1   x      "), "{table:#?}");
    let column = lines[0].find("STATE").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("held")), "{table:#?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_cuts_a_list_off_and_says_so() {
    let (server, lockctl) = server().await;
    for id in ["plan/1", "plan/2", "plan/3"] {
        acquire(&lockctl, id, "x", "60s").await;
    }
    let list = lockctl.json(&["list", "--limit", "2"]).await;
    assert_eq!(ids(&list), ["1", "2"]);
    assert_eq!(list["more"], true);
    lockctl.run(&["list", "--limit", "2"]).await.ended_with(0).says(&["There are more"]);
    assert_eq!(lockctl.json(&["list", "--limit", "3"]).await["more"], false);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_read() {
    let (server, lockctl) = server().await;
    let client = lock_client::LockClient::connect(server.url()).unwrap();
    let taken = (0..1_100).map(|id| {
        client.acquire_unguarded(("plan", format!("{id:04}")), lock_client::AcquireOptions::new())
    });
    futures::future::try_join_all(taken).await.unwrap();
    assert_eq!(ids(&lockctl.json(&["list"]).await).len(), 1_100);
    assert_eq!(ids(&lockctl.json(&["list", "--limit", "1050"]).await).len(), 1_050);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_locks_are_listed_counted_and_purged() {
    let (server, lockctl) = server().await;
    lockctl.run(&["stale"]).await.ended_with(0).says(&["No locks are stale."]);
    for resource in ["plan/1", "plan/2", "project/1"] {
        acquire(&lockctl, resource, "gone", "100ms").await;
        lockctl.until_stale(resource).await;
    }
    acquire(&lockctl, "plan/live", "here", "60s").await;

    let stale = lockctl.json(&["stale"]).await;
    assert_eq!(ids(&stale), ["1", "2", "1"]);
    assert_eq!(stale["total_count"], 3);
    assert_eq!(stale["locks"][0]["remaining"], "0s");
    let one = lockctl.json(&["stale", "--limit", "1"]).await;
    assert_eq!((ids(&one).len(), &one["total_count"]), (1, &3.into()));
    assert_eq!(lockctl.json(&["stale", "--older-than", "1h"]).await["total_count"], 0);
    lockctl.run(&["stale", "--type", "plan"]).await.ended_with(0).says(&[
        "EXPIRED AGO",
        "plan/1",
        "stale",
        "2 locks stale in all.",
    ]);
    lockctl.run(&["get", "plan/1"]).await.ended_with(0).says(&["stale", "expired", "ago)"]);

    assert_eq!(lockctl.json(&["purge", "--older-than", "1h"]).await["purged_count"], 0);
    assert_eq!(lockctl.json(&["purge", "--type", "project"]).await["purged_count"], 1);
    lockctl.run(&["purge"]).await.ended_with(0).says(&["Purged 2 locks"]);
    assert_eq!(ids(&lockctl.json(&["list"]).await), ["live"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_shown_as_they_are_to_programs_and_escaped_to_people() {
    let (server, lockctl) = server().await;
    let resource = format!("plan/{TRICKY}");
    acquire(&lockctl, &resource, "x", "60s").await;

    assert_eq!(ids(&lockctl.json(&["list"]).await), [TRICKY]);
    let escaped = "plan/a\\u{202e}b\\u{200b}c\\\\d";
    for arguments in [&["list"][..], &["get", &resource]] {
        let answer = lockctl.run(arguments).await.ended_with(0).says(&[escaped]);
        assert!(!answer.stdout.contains('\u{202e}'), "{answer:#?}");
    }
    let conflict = lockctl.run(&["acquire", &resource, "--owner", "y"]).await.ended_with(75);
    assert!(!conflict.stderr.contains('\u{202e}'), "{conflict:#?}");
    let json = lockctl.run(&["get", &resource, "--output", "json"]).await.ended_with(0);
    assert!(!json.stdout.contains('\u{202e}'), "{json:#?}");
    server.stop().await;
}
