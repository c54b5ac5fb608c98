//! The audit trail, as people and as programs read it.

use futures::{StreamExt as _, stream};
use lock_client::{ClientError, LockClient};
use serde_json::Value;

use super::support::{Lockctl, server};

/// Breaks the lock of this resource, which is taken for that.
async fn break_one(lockctl: &Lockctl, resource: &str, owner: &str, reason: &str) -> Value {
    let acquire = ["acquire", resource, "--owner", owner];
    let token = lockctl.json(&acquire).await["lock"]["fencing_token"].to_string();
    let force = ["force-release", resource, "--token", &token, "--reason", reason, "--yes"];
    lockctl.json(&force).await["lock"].take()
}

fn events(list: &Value) -> &Vec<Value> {
    list["events"].as_array().expect("a list")
}

fn reasons(list: &Value) -> Vec<&str> {
    events(list).iter().map(|event| event["reason"].as_str().expect("a reason")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_each_field_under_its_name() {
    let (server, lockctl) = server().await;
    assert_eq!(lockctl.json(&["events"]).await, serde_json::json!({"events": [], "more": false}));
    let lock = break_one(&lockctl, "plan/42", "a", "hangs").await;
    lockctl.json(&["acquire", "plan/1", "--owner", "gone", "--ttl", "100ms"]).await;
    lockctl.until_stale("plan/1").await;
    lockctl.json(&["purge"]).await;

    let list = lockctl.json(&["events"]).await;
    let [purged, broken] = &events(&list)[..] else { panic!("{list:#}") };
    assert_eq!(broken["kind"], "AUDIT_EVENT_KIND_FORCE_RELEASED");
    assert_eq!(broken["resource"], lock["resource"]);
    assert_eq!(broken["owner_id"], "a");
    assert_eq!(broken["fencing_token"], lock["fencing_token"]);
    assert_eq!(broken["reason"], "hangs");
    assert_eq!(broken["count"], 1);
    assert!(broken["actor"].as_str().unwrap().starts_with("127.0.0.1"), "{list:#}");
    assert!(broken["event_time"].as_str().unwrap().ends_with('Z'), "{list:#}");
    assert!(broken["event_id"].as_u64() < purged["event_id"].as_u64(), "{list:#}");
    assert_eq!(purged["kind"], "AUDIT_EVENT_KIND_PURGED");
    for field in ["resource", "owner_id", "fencing_token"] {
        assert!(purged[field].is_null(), "{field}: {list:#}");
    }
    assert_eq!(purged["count"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_a_table_in_which_nothing_is_hidden() {
    let (server, lockctl) = server().await;
    lockctl.run(&["events"]).await.ended_with(0).says(&["No events."]);
    break_one(&lockctl, "plan/a\u{202e}b", "me\u{200b}", "hangs\u{202e}\\").await;
    lockctl.json(&["acquire", "plan/1", "--owner", "gone", "--ttl", "100ms"]).await;
    lockctl.until_stale("plan/1").await;
    lockctl.json(&["purge"]).await;

    let table = lockctl.run(&["events"]).await.ended_with(0);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{table:#?}");
    let columns: Vec<_> = lines[0].split_whitespace().collect();
    let names = ["TIME", "EVENT", "RESOURCE", "OWNER", "TOKEN", "LOCKS", "BY", "REASON"];
    assert_eq!(columns, names);
    let words: Vec<_> = lines[1].split_whitespace().skip(1).take(5).collect();
    assert_eq!(words, ["purged", "-", "-", "-", "1"], "{table:#?}");
    for words in ["force-released", "plan/a\\u{202e}b", "me\\u{200b}", "hangs\\u{202e}\\\\"] {
        assert!(lines[2].contains(words), "{words:?} is missing: {table:#?}");
    }
    assert!(!table.stdout.contains(['\u{202e}', '\u{200b}']), "{table:#?}");
    let json = lockctl.run(&["events", "--output", "json"]).await.ended_with(0);
    assert!(!json.stdout.contains(['\u{202e}', '\u{200b}']), "{json:#?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_picked_by_resource_and_time_the_newest_first() {
    let (server, lockctl) = server().await;
    for (resource, reason) in [("plan/1", "one"), ("plan/2", "two"), ("plan/1", "three")] {
        break_one(&lockctl, resource, "a", reason).await;
    }
    let all = lockctl.json(&["events"]).await;
    assert_eq!(reasons(&all), ["three", "two", "one"]);
    assert_eq!(reasons(&lockctl.json(&["events", "plan/1"]).await), ["three", "one"]);
    assert_eq!(reasons(&lockctl.json(&["events", "--since", "1h"]).await).len(), 3);
    // Longer than there has been time to write in.
    assert_eq!(reasons(&lockctl.json(&["events", "--since", "1000000y"]).await).len(), 3);
    let second = events(&all)[1]["event_time"].as_str().unwrap();
    assert_eq!(reasons(&lockctl.json(&["events", "--from", second]).await), ["three", "two"]);
    assert_eq!(reasons(&lockctl.json(&["events", "--until", second]).await), ["one"]);
    let past = ["events", "--until", "2001-01-01T00:00:00+01:00"];
    lockctl.run(&past).await.ended_with(0).says(&["No events."]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_cuts_the_trail_off_and_says_so() {
    let (server, lockctl) = server().await;
    for reason in ["one", "two", "three"] {
        break_one(&lockctl, "plan/1", "a", reason).await;
    }
    let list = lockctl.json(&["events", "--limit", "2"]).await;
    assert_eq!((reasons(&list), &list["more"]), (vec!["three", "two"], &true.into()));
    lockctl.run(&["events", "--limit", "2"]).await.ended_with(0).says(&["There are more"]);
    assert_eq!(lockctl.json(&["events", "--limit", "3"]).await["more"], false);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_read() {
    let (server, lockctl) = server().await;
    let client = LockClient::connect(server.url()).unwrap();
    // A few at a time, as the server bounds what it takes on.
    let refused =
        stream::iter(0..1_100).map(|id| client.force_release(("plan", id.to_string()), 1, "x"));
    let refused = refused.buffer_unordered(32);
    refused
        .for_each(async |refused| {
            assert!(matches!(refused, Err(ClientError::NotFound { .. })), "{refused:?}");
        })
        .await;
    assert_eq!(events(&lockctl.json(&["events"]).await).len(), 1_100);
    assert_eq!(events(&lockctl.json(&["events", "--limit", "1050"]).await).len(), 1_050);
    server.stop().await;
}
