//! What errors carry, and that the largest of them stay readable: default
//! clients drop a status of more than 8 KiB.

use std::collections::HashMap;

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::grpc::wire_bytes;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::support::{
    Locks, acquire, client, failure, force, keep_alive, on_each_store, renew, resource, span, take,
    until_stale, wrong_fields,
};

const MOST_WIRE_BYTES: usize = 8 * 1024;

#[track_caller]
fn assert_readable(what: &str, status: &Status) {
    let bytes = wire_bytes(status);
    assert!(bytes < MOST_WIRE_BYTES, "{what}: {bytes} bytes on the wire: {}", status.message());
}

/// As much metadata as is allowed: 16 entries, 1 KiB.
fn full_metadata(letter: &str) -> HashMap<String, String> {
    let value = letter.repeat(60 / letter.len());
    (0..16).map(|number| (format!("k{number:03}"), value.clone())).collect()
}

/// Names at their limits, of letters that are long on the wire in their own
/// ways: in UTF-8, percent-encoded, escaped.
fn longest_names() -> Vec<(String, String, String)> {
    let mut names = vec![("t".repeat(63), "🔒é".repeat(85) + "xy", "🔒".repeat(64))];
    for letter in ["x", "é", "🔒", "%", "\"", "\u{202e}", "\u{fff9}"] {
        let (id, owner) = (letter.repeat(512 / letter.len()), letter.repeat(256 / letter.len()));
        names.push(("t".into(), id.clone(), owner.clone()));
        names.push(("t".repeat(63), id, owner));
    }
    names
}

#[tokio::test]
async fn a_conflict_with_everything_at_its_limits_is_readable_and_complete() {
    on_each_store(&[], async |engine, mut locks| {
        for (kind, id, owner) in longest_names() {
            for metadata in [full_metadata("x"), full_metadata("🔒"), full_metadata("\u{202e}")] {
                let request = wire::AcquireRequest {
                    resource: Some(wire::Resource::new(&kind, &id)),
                    owner_id: owner.clone(),
                    metadata: metadata.clone(),
                    ..Default::default()
                };
                locks.acquire(request.clone()).await.unwrap();
                let other = wire::AcquireRequest { owner_id: "other".into(), ..request };
                let status = locks.acquire(other).await.unwrap_err();
                assert_readable(engine, &status);
                let details = failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
                let info = details.error_info().unwrap();
                assert_eq!(info.metadata["holder"], owner, "{engine}");
                assert_eq!(info.metadata["resource"], format!("{kind}/{id}"), "{engine}");
                for (key, value) in metadata {
                    assert_eq!(info.metadata[&format!("holder.{key}")], value, "{engine}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_other_errors_with_the_longest_names_are_readable() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        for (kind, id, owner) in longest_names() {
            let resource = Some(wire::Resource::new(&kind, &id));
            let get = wire::GetLockRequest { resource: resource.clone() };
            let status = locks.get_lock(get).await.unwrap_err();
            failure(&status, Code::NotFound, "LOCK_NOT_FOUND");
            assert_readable(engine, &status);
            let short = wire::AcquireRequest {
                resource: resource.clone(),
                owner_id: owner.clone(),
                ttl: span(0, 100_000_000),
                wait: None,
                ..Default::default()
            };
            let lock = locks.acquire(short.clone()).await.unwrap().into_inner().lock.unwrap();
            until_stale(&locks, &format!("{kind}/{id}")).await;
            let status = locks.renew(renew(&lock)).await.unwrap_err();
            failure(&status, Code::Aborted, "LOCK_EXPIRED");
            assert_readable(engine, &status);

            let long = wire::AcquireRequest { ttl: None, ..short };
            let lock = locks.acquire(long).await.unwrap().into_inner().lock.unwrap();
            let foreign = wire::RenewRequest { owner_id: "🔓".repeat(64), ..renew(&lock) };
            let status = locks.renew(foreign).await.unwrap_err();
            let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
            assert_eq!(details.error_info().unwrap().metadata["holder"], owner, "{engine}");
            assert_readable(engine, &status);
        }
    })
    .await;
}

#[tokio::test]
async fn a_broken_hold_with_everything_at_its_limits_is_readable_and_complete() {
    on_each_store(&[], async |engine, mut locks| {
        for (kind, id, owner) in longest_names() {
            for letter in ["x", "é", "🔒", "%", "\"", "\u{202e}", "\u{fff9}"] {
                let reason = letter.repeat(512 / letter.len());
                let request = wire::AcquireRequest {
                    resource: Some(wire::Resource::new(&kind, &id)),
                    owner_id: owner.clone(),
                    metadata: full_metadata("🔒"),
                    ..Default::default()
                };
                let lock = locks.acquire(request.clone()).await.unwrap().into_inner().lock.unwrap();
                locks.force_release(force(&lock, &reason)).await.unwrap();
                let holder = "🔓".repeat(64);
                let other = wire::AcquireRequest { owner_id: holder.clone(), ..request };
                let now = locks.acquire(other).await.unwrap().into_inner().lock.unwrap();

                let status = locks.renew(renew(&lock)).await.unwrap_err();
                assert_readable(engine, &status);
                let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
                let metadata = &details.error_info().unwrap().metadata;
                assert_eq!(metadata["release_reason"], reason, "{engine}");
                assert_eq!(metadata["released_by"], "127.0.0.1", "{engine}");
                assert_eq!(metadata["owner_id"], owner, "{engine}");
                assert_eq!(metadata["holder"], holder, "{engine}");
                assert_eq!(metadata["resource"], format!("{kind}/{id}"), "{engine}");

                let moved_on = locks.force_release(force(&lock, &reason)).await.unwrap_err();
                assert_readable(engine, &moved_on);
                let details = failure(&moved_on, Code::Aborted, "LOCK_NOT_HELD");
                let metadata = &details.error_info().unwrap().metadata;
                assert_eq!(metadata["holder"], holder, "{engine}");
                assert_eq!(metadata["fencing_token"], now.fencing_token.to_string(), "{engine}");
                assert_eq!(metadata["asked_token"], lock.fencing_token.to_string(), "{engine}");

                locks.force_release(force(&now, &reason)).await.unwrap();
                let free = locks.force_release(force(&now, &reason)).await.unwrap_err();
                assert_readable(engine, &free);
                failure(&free, Code::NotFound, "LOCK_NOT_FOUND");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_wrong_field_at_once_is_readable() {
    let server = TestServer::start(&[]).await;
    let mut locks = client(&server.url());
    for letter in ["X", "é", "🔒", "\u{202e}", "\u{1}", "\"", "%"] {
        let metadata = (0..200).map(|at| (letter.repeat(64) + &at.to_string(), letter.repeat(99)));
        let request = wire::AcquireRequest {
            resource: Some(wire::Resource::new(letter.repeat(999), letter.repeat(999))),
            owner_id: letter.repeat(999),
            ttl: span(i64::MIN, i32::MIN),
            wait: None,
            metadata: metadata.collect(),
        };
        let status = locks.acquire(request).await.unwrap_err();
        assert_readable("Acquire", &status);
        // The keys stand in the paths, so that forty of them may not fit.
        assert!(wrong_fields(&status).len() > 10, "Acquire, {letter:?}: {status:?}");
        let lease = wire::KeepAliveLease {
            resource: Some(wire::Resource::new(letter.repeat(999), letter.repeat(999))),
            owner_id: letter.repeat(999),
            fencing_token: 0,
        };
        let request = wire::KeepAliveRequest { leases: vec![lease; 200], ttl: None };
        let status = keep_alive(&mut locks, request).await.unwrap_err();
        assert_readable("KeepAlive", &status);
        assert_eq!(wrong_fields(&status).len(), 40, "KeepAlive, {letter:?}");
        let request = wire::ForceReleaseRequest {
            resource: Some(wire::Resource::new(letter.repeat(999), letter.repeat(999))),
            fencing_token: 0,
            reason: letter.repeat(999),
        };
        let status = locks.force_release(request).await.unwrap_err();
        assert_readable("ForceRelease", &status);
        assert_eq!(wrong_fields(&status).len(), 4, "ForceRelease, {letter:?}");
    }
}

#[tokio::test]
async fn a_conflict_says_who_since_when_and_until_when() {
    on_each_store(&[], async |engine, mut locks| {
        let held = wire::AcquireRequest {
            metadata: [("host".to_owned(), "worker-7".to_owned())].into(),
            ..acquire("plan/42", "alice")
        };
        let held = locks.acquire(held).await.unwrap().into_inner().lock.unwrap();
        let status = locks.acquire(acquire("plan/42", "bob")).await.unwrap_err();
        let details = failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["resource"], "plan/42", "{engine}");
        assert_eq!(metadata["holder"], "alice", "{engine}");
        assert_eq!(metadata["holder.host"], "worker-7", "{engine}");
        assert_eq!(metadata["queue_length"], "0", "{engine}");
        assert_eq!(metadata["acquire_time"], held.acquire_time.unwrap().to_string(), "{engine}");
        assert_eq!(metadata["expire_time"], held.expire_time.unwrap().to_string(), "{engine}");
        let left: u64 = metadata["remaining_ms"].parse().unwrap();
        assert!((270_000..=300_000).contains(&left), "{engine}: {left}");
        let resource = details.resource_info().unwrap();
        assert_eq!(
            (resource.resource_type.as_str(), resource.resource_name.as_str(), &*resource.owner),
            ("plan", "42", "alice"),
            "{engine}"
        );
        assert!(!details.retry_info().unwrap().retry_delay.unwrap().is_zero(), "{engine}");
    })
    .await;
}

#[tokio::test]
async fn each_lost_lease_has_its_reason() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire("a/b", "alice") };
        let lock = locks.acquire(short).await.unwrap().into_inner().lock.unwrap();
        until_stale(&locks, "a/b").await;
        let status = locks.renew(renew(&lock)).await.unwrap_err();
        let details = failure(&status, Code::Aborted, "LOCK_EXPIRED");
        let expired = lock.expire_time.unwrap().to_string();
        assert_eq!(details.error_info().unwrap().metadata["expire_time"], expired, "{engine}");

        let wrong_token = wire::RenewRequest { fencing_token: u64::MAX, ..renew(&lock) };
        failure(&locks.renew(wrong_token).await.unwrap_err(), Code::Aborted, "LOCK_NOT_HELD");

        take(&locks, "a/b", "bob").await;
        let status = locks.renew(renew(&lock)).await.unwrap_err();
        let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        assert_eq!(details.error_info().unwrap().metadata["holder"], "bob", "{engine}");
        let release = wire::ReleaseRequest {
            resource: resource("a/b"),
            owner_id: "alice".into(),
            fencing_token: None,
        };
        let status = locks.release(release).await.unwrap_err();
        let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        assert_eq!(details.error_info().unwrap().metadata["holder"], "bob", "{engine}");

        let never = wire::RenewRequest { resource: resource("a/never"), ..renew(&lock) };
        let status = locks.renew(never).await.unwrap_err();
        let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        assert!(!details.error_info().unwrap().metadata.contains_key("holder"), "{engine}");
    })
    .await;
}

/// Two errors of each kind about different things.
async fn pairs(locks: &mut Locks) -> Vec<(Status, Status)> {
    let mut found = Vec::new();
    for (id, owner, bad) in [("plan/one", "alice", "A B"), ("plan/two", "bob", "\t")] {
        let lock = take(locks, id, owner).await;
        let foreign = wire::RenewRequest { owner_id: format!("not-{owner}"), ..renew(&lock) };
        let free = wire::GetLockRequest { resource: resource(&format!("{id}-free")) };
        let wrong = wire::GetLockRequest { resource: Some(wire::Resource::new(bad, "42")) };
        let broken = take(locks, &format!("{id}-broken"), &format!("once-{owner}")).await;
        locks.force_release(force(&broken, &format!("because-of-{owner}"))).await.unwrap();
        let now = take(locks, &format!("{id}-broken"), &format!("now-{owner}")).await;
        assert_ne!(now.fencing_token, broken.fencing_token);
        found.push([
            locks.acquire(acquire(id, "carol")).await.unwrap_err(),
            locks.renew(foreign).await.unwrap_err(),
            locks.get_lock(free).await.unwrap_err(),
            locks.get_lock(wrong).await.unwrap_err(),
            locks.renew(renew(&broken)).await.unwrap_err(),
            locks.force_release(force(&broken, "stuck")).await.unwrap_err(),
        ]);
    }
    let [one, two]: [_; 2] = found.try_into().unwrap();
    one.into_iter().zip(two).collect()
}

/// The words of the message that another message of its kind does not have.
fn changing<'a>(status: &'a Status, other: &'a Status) -> Vec<&'a str> {
    let others = words(other.message());
    words(status.message()).into_iter().filter(|word| !others.contains(word)).collect()
}

/// The words of a text, without what may stand around them.
fn words(text: &str) -> Vec<&str> {
    let between = |letter: char| letter.is_whitespace() || "\"();:".contains(letter);
    text.split(between).filter(|word| !word.is_empty()).collect()
}

#[tokio::test]
async fn every_changing_word_of_a_message_is_in_the_metadata_too() {
    on_each_store(&[], async |engine, mut locks| {
        for (one, two) in pairs(&mut locks).await {
            let metadata = one.get_error_details().error_info().unwrap().metadata.clone();
            let words = changing(&one, &two);
            assert!(!words.is_empty(), "{engine}: {}", one.message());
            for word in words {
                assert!(
                    metadata.values().any(|value| value.contains(word)),
                    "{engine}: {word:?} of {:?} is not in {metadata:?}",
                    one.message()
                );
            }
        }
    })
    .await;
}
