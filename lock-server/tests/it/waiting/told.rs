//! What those who wait are told, and that the largest of it stays readable.

use std::collections::HashMap;

use proto::lock::v1 as wire;
use service_kit::{grpc::wire_bytes, testing::eventually};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::scene::{Scene, line, until_waiting, wait_for, waiting};
use crate::support::{DEADLINE, Locks, acquire, failure, release, span, take};

const MOST_WIRE_BYTES: usize = 8 * 1024;

#[track_caller]
fn assert_readable(what: &str, status: &Status) {
    let bytes = wire_bytes(status);
    assert!(bytes < MOST_WIRE_BYTES, "{what}: {bytes} bytes on the wire: {}", status.message());
}

fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_error_details().error_info().unwrap().metadata.clone()
}

/// Names at their limits that end in a number.
fn longest(letter: &str, most: usize, number: usize) -> String {
    let number = number.to_string();
    let letters = (most - number.len()) / letter.len();
    letter.repeat(letters) + &number
}

async fn acquire_all(locks: &Locks, request: wire::AcquireRequest) -> wire::Lock {
    locks.clone().acquire(request).await.unwrap().into_inner().lock.unwrap()
}

/// Each of so many owners holds something and waits for what the next one holds;
/// the last one is refused.
async fn circle(locks: &Locks, letter: &str, size: usize) -> Status {
    let owner = |number| longest(letter, 256, number);
    let what = |number| Some(wire::Resource::new("t".repeat(63), longest(letter, 512, number)));
    for number in 0..size {
        let request = wire::AcquireRequest {
            resource: what(number),
            owner_id: owner(number),
            ..Default::default()
        };
        acquire_all(locks, request).await;
    }
    let mut calls = Vec::new();
    for number in 0..size {
        let request = wire::AcquireRequest {
            resource: what((number + 1) % size),
            owner_id: owner(number),
            wait: span(60, 0),
            ..Default::default()
        };
        calls.push(waiting(locks, request));
        let get = wire::GetLockRequest { resource: what((number + 1) % size) };
        eventually("it stands in line or is answered", DEADLINE, async || {
            let lock = locks.clone().get_lock(get.clone()).await.unwrap().into_inner().lock;
            let waits = lock.unwrap().queue_length > 0;
            (waits || calls.last().unwrap().is_answered()).then_some(())
        })
        .await;
    }
    let status = calls.pop().unwrap().refused().await;
    for number in 0..size {
        let all = wire::ReleaseAllRequest { owner_id: owner(number) };
        locks.clone().release_all(all).await.unwrap();
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_with_names_at_their_limits_is_readable() {
    Scene::on_each_store(&[], async |scene| {
        for letter in ["x", "é", "🔒", "%", "\"", "\u{202e}", "\u{fff9}"] {
            for size in [2, 12] {
                let what = format!("{}: {size} of {letter:?}", scene.engine());
                let status = circle(&scene.locks, letter, size).await;
                failure(&status, Code::FailedPrecondition, "DEADLOCK");
                assert_readable(&what, &status);
                let told = metadata(&status);
                let last = longest(letter, 256, size - 1);
                assert_eq!(told["owner_id"], last, "{what}");
                assert_eq!(told["holder"], longest(letter, 256, 0), "{what}");
                let wanted = format!("{}/{}", "t".repeat(63), longest(letter, 512, 0));
                assert_eq!(told["resource"], wanted, "{what}");
                let cycle = &told["cycle"];
                assert!(cycle.starts_with(&format!("{last} → {wanted} → ")), "{what}: {cycle}");
                // Shortened to fit, or whole: from the one who is told back to it.
                let is_whole = cycle.ends_with(&format!(" → {last}"));
                assert!(cycle.ends_with('…') || (is_whole && size == 2), "{what}: {cycle}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_was_taken_out_of_line_is_told_so_readably() {
    Scene::on_each_store(&[], async |scene| {
        for letter in ["x", "é", "🔒", "%", "\"", "\u{202e}"] {
            let (id, owner) = (longest(letter, 512, 7), longest(letter, 256, 7));
            let resource = wire::Resource::new("t".repeat(63), &id);
            let held = wire::AcquireRequest {
                resource: Some(resource.clone()),
                owner_id: "holder".into(),
                ..Default::default()
            };
            acquire_all(&scene.locks, held.clone()).await;
            let wait = span(60, 0);
            let call = waiting(
                &scene.locks,
                wire::AcquireRequest { owner_id: owner.clone(), wait, ..held },
            );
            until_waiting(&scene.locks, &resource.to_string(), 1).await;
            let all = wire::ReleaseAllRequest { owner_id: owner.clone() };
            scene.locks.clone().release_all(all).await.unwrap();
            let status = call.refused().await;
            failure(&status, Code::Aborted, "WAIT_CANCELLED");
            assert_readable(scene.engine(), &status);
            let told = metadata(&status);
            assert_eq!(told["owner_id"], owner, "{}", scene.engine());
            assert_eq!(told["resource"], resource.to_string(), "{}", scene.engine());
        }
    })
    .await;
}

/// The conflict after a wait is one as any other, and says no more and no less.
#[tokio::test]
async fn a_conflict_after_a_wait_says_what_one_without_says() {
    Scene::on_each_store(&[], async |scene| {
        let (engine, mut locks) = (scene.engine(), scene.locks.clone());
        let held = wire::AcquireRequest {
            metadata: [("host".to_owned(), "worker-7".to_owned())].into(),
            ..acquire("plan/42", "alice")
        };
        let held = acquire_all(&locks, held).await;
        let _others = line(&locks, "plan/42", ["carol", "dave"]).await;
        let short = wire::AcquireRequest { wait: span(0, 50_000_000), ..acquire("plan/42", "bob") };
        let after = waiting(&locks, short).refused().await;
        let at_once = locks.acquire(acquire("plan/42", "bob")).await.unwrap_err();
        failure(&after, Code::FailedPrecondition, "LOCK_CONFLICT");
        let [mut one, mut other] = [metadata(&after), metadata(&at_once)];
        for told in [&mut one, &mut other] {
            let left: u64 = told.remove("remaining_ms").unwrap().parse().unwrap();
            assert!((270_000..=300_000).contains(&left), "{engine}: {left}");
        }
        assert_eq!(one, other, "{engine}");
        assert_eq!(one["queue_length"], "2", "{engine}");
        assert_eq!(one["holder.host"], "worker-7", "{engine}");
        assert_eq!(one["expire_time"], held.expire_time.unwrap().to_string(), "{engine}");
        assert!(after.get_error_details().resource_info().is_some(), "{engine}");
        assert!(after.get_error_details().retry_info().is_some(), "{engine}");
    })
    .await;
}

/// The words of the message that another message of its kind does not have.
fn changing<'a>(one: &'a Status, other: &'a Status) -> Vec<&'a str> {
    let words = |status: &'a Status| -> Vec<&'a str> {
        let between = |letter: char| letter.is_whitespace() || "\"();:,".contains(letter);
        status.message().split(between).filter(|word| !word.is_empty()).collect()
    };
    let others = words(other);
    words(one).into_iter().filter(|word| !others.contains(word)).collect()
}

#[tokio::test]
async fn every_changing_word_of_a_message_is_in_the_metadata_too() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut found = Vec::new();
        for (one, other, whose) in [("plan/a", "plan/b", "ann"), ("job/c", "job/d", "carl")] {
            let next = format!("after-{whose}");
            take(locks, one, whose).await;
            take(locks, other, &next).await;
            let [call] = line(locks, other, [whose]).await;
            let deadlock = waiting(locks, wait_for(one, &next)).refused().await;
            failure(&deadlock, Code::FailedPrecondition, "DEADLOCK");
            let all = wire::ReleaseAllRequest { owner_id: whose.into() };
            locks.clone().release_all(all).await.unwrap();
            let cancelled = call.refused().await;
            failure(&cancelled, Code::Aborted, "WAIT_CANCELLED");
            locks.clone().release(release(other, &next)).await.unwrap();
            found.push([deadlock, cancelled]);
        }
        for (one, other) in found[0].iter().zip(&found[1]) {
            let words = changing(one, other);
            assert!(!words.is_empty(), "{}", one.message());
            let told = metadata(one);
            for word in words {
                assert!(
                    told.values().any(|value| value.contains(word)),
                    "{word:?} of {:?} is not in {told:?}",
                    one.message()
                );
            }
        }
    })
    .await;
}
