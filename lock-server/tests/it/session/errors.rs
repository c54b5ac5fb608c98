//! What a command fails with: what the call would have failed with, in every
//! detail, and the stream goes on.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::lock::v1::{self as wire, session_request::Command as Asked};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::support::{
    Locks, OpenSession, acquire, failure, force, lease, lock_of, on_each_store, refusal, release,
    renew, resource, span, take, unary, until_stale, wrong,
};

/// The text without how long a lease has left: the next call finds less.
fn timeless(text: &str) -> &str {
    match text.rsplit_once(" (") {
        Some((before, left)) if left.ends_with(" ms left)") => before,
        _ => text,
    }
}

/// A detail, as far as it is the same each time: its type, what stands in a map
/// in no order, and all other bytes.
type Detail = (String, BTreeMap<String, String>, Vec<u8>);

fn details(status: &Status) -> Vec<Detail> {
    let inside = pb::Status::decode(status.details()).unwrap();
    let same_each_time = |any: prost_types::Any| {
        if !any.type_url.ends_with("google.rpc.ErrorInfo") {
            return (any.type_url, BTreeMap::new(), any.value);
        }
        let mut info = pb::ErrorInfo::decode(any.value.as_slice()).unwrap();
        let mut metadata: BTreeMap<_, _> = std::mem::take(&mut info.metadata).into_iter().collect();
        metadata.remove("remaining_ms");
        (any.type_url, metadata, info.encode_to_vec())
    };
    inside.details.into_iter().map(same_each_time).collect()
}

#[track_caller]
fn assert_same(what: &str, one: &Status, other: &Status) {
    assert_eq!(one.code(), other.code(), "{what}: {one:?}, {other:?}");
    assert_eq!(timeless(one.message()), timeless(other.message()), "{what}");
    assert_eq!(details(one), details(other), "{what}");
    assert!(!details(one).is_empty(), "{what}: {one:?}");
}

/// Sends a command that fails both ways, and another one after it.
async fn fails(locks: &Locks, session: &mut OpenSession, what: &str, command: Asked) -> Status {
    let by_call = unary(locks, command.clone()).await.unwrap_err();
    let by_message = refusal(&session.ask(command).await);
    assert_same(what, &by_message, &by_call);
    let next = session.ask(Asked::Acquire(acquire("plan/goes-on", "alice"))).await;
    assert_eq!(lock_of(&next).owner_id, "alice", "{what}: the stream goes on");
    by_message
}

#[tokio::test]
async fn what_the_lock_says_no_to_is_told_as_by_a_call() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        let mut session = OpenSession::open(&locks).await;
        let held = wire::AcquireRequest {
            metadata: [("host".to_owned(), "worker-7".to_owned())].into(),
            ..acquire("plan/42", "bob")
        };
        let held = locks.acquire(held).await.unwrap().into_inner().lock.unwrap();
        let conflict = Asked::Acquire(acquire("plan/42", "alice"));
        let status = fails(&locks, &mut session, engine, conflict).await;
        let details = failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["holder.host"], "worker-7", "{engine}");
        let left: u64 = metadata["remaining_ms"].parse().unwrap();
        assert!((270_000..=300_000).contains(&left), "{engine}: {left}");

        let foreign = Asked::Release(release("plan/42", "alice"));
        let status = fails(&locks, &mut session, engine, foreign).await;
        failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        let other_token = held.fencing_token + 1;
        for lost in [
            wire::RenewRequest { owner_id: "alice".into(), ..renew(&held) },
            wire::RenewRequest { fencing_token: other_token, ..renew(&held) },
            wire::RenewRequest { resource: resource("plan/never"), ..renew(&held) },
        ] {
            let status = fails(&locks, &mut session, engine, Asked::Renew(lost)).await;
            failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        }
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire("a/b", "alice") };
        let short = locks.acquire(short).await.unwrap().into_inner().lock.unwrap();
        until_stale(&locks, "a/b").await;
        let status = fails(&locks, &mut session, engine, Asked::Renew(renew(&short))).await;
        failure(&status, Code::Aborted, "LOCK_EXPIRED");

        let stuck = take(&locks, "plan/stuck", "alice").await;
        locks.force_release(force(&stuck, "stuck since noon")).await.unwrap();
        take(&locks, "plan/stuck", "bob").await;
        let give_back = wire::ReleaseRequest {
            fencing_token: Some(stuck.fencing_token),
            ..release("plan/stuck", "alice")
        };
        for lost in [Asked::Renew(renew(&stuck)), Asked::Release(give_back)] {
            let status = fails(&locks, &mut session, engine, lost).await;
            let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
            let metadata = &details.error_info().unwrap().metadata;
            assert_eq!(metadata["released_by"], "127.0.0.1", "{engine}");
            assert_eq!(metadata["release_reason"], "stuck since noon", "{engine}");
            assert_eq!(metadata["holder"], "bob", "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_told_as_by_a_call() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        let bad = Some(wire::Resource::new("Plan", "tab\t"));
        let wrong_acquire = wire::AcquireRequest {
            resource: bad.clone(),
            owner_id: String::new(),
            ttl: span(1, -1),
            wait: None,
            metadata: [("A B".to_owned(), "\t".to_owned())].into(),
        };
        let wrong_renew = wire::RenewRequest { resource: bad.clone(), ..Default::default() };
        let wrong_release = wire::ReleaseRequest {
            resource: bad,
            owner_id: "x".repeat(257),
            fencing_token: Some(0),
        };
        let cases: [(Asked, &[&str]); 4] = [
            (
                Asked::Acquire(wrong_acquire),
                &["metadata", "metadata", "owner_id", "resource.id", "resource.type", "ttl"],
            ),
            (
                Asked::Renew(wrong_renew),
                &["fencing_token", "owner_id", "resource.id", "resource.type"],
            ),
            (
                Asked::Release(wrong_release),
                &["fencing_token", "owner_id", "resource.id", "resource.type"],
            ),
            (Asked::Acquire(wire::AcquireRequest::default()), &["owner_id", "resource"]),
        ];
        for (command, fields) in cases {
            let status = fails(&locks, &mut session, engine, command).await;
            let paths = wrong(&status);
            assert_eq!(paths.len(), fields.len(), "{engine}: {paths:?}");
            for (path, field) in paths.iter().zip(fields) {
                assert!(path.starts_with(field), "{engine}: {path}, not {field}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_keep_alive_that_would_end_its_own_stream_is_an_error_here() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        let lock = take(&locks, "plan/42", "alice").await;
        let wrong_id = wire::KeepAliveLease {
            resource: Some(wire::Resource::new("plan", "tab\t")),
            ..lease(&lock)
        };
        let leases = vec![lease(&lock), lease(&lock), wrong_id];
        let request = wire::KeepAliveRequest { leases, ttl: span(0, 0) };
        let status = fails(&locks, &mut session, engine, Asked::KeepAlive(request)).await;
        assert_eq!(wrong(&status), ["leases[2].resource.id", "ttl"], "{engine}");
        let get = wire::GetLockRequest { resource: lock.resource.clone() };
        let now = locks.clone().get_lock(get).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(now.renew_time, lock.renew_time, "{engine}: none is renewed");

        for count in [10_001, 100_000] {
            let leases = vec![lease(&lock); count];
            let request = wire::KeepAliveRequest { leases, ttl: None };
            let status = fails(&locks, &mut session, engine, Asked::KeepAlive(request)).await;
            assert_eq!(wrong(&status), ["leases"], "{engine}");
            assert!(status.message().contains(&count.to_string()), "{engine}: {status:?}");
        }
        let most = wire::KeepAliveRequest { leases: vec![lease(&lock); 10_000], ttl: None };
        let answer = session.ask(Asked::KeepAlive(most)).await;
        let proto::lock::v1::session_response::Outcome::KeepAlive(kept) = answer else {
            panic!("{engine}: {answer:?}");
        };
        assert_eq!(kept.results.len(), 10_000, "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_command_is_an_error_and_not_the_end() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        for id in [5, 5, 6] {
            session.send_as(id, None).await;
            let (answered, outcome) = session.answer().await;
            assert_eq!(answered, id, "{engine}");
            assert_eq!(wrong(&refusal(&outcome)), ["command"], "{engine}");
        }
        session.ask(Asked::Acquire(acquire("plan/42", "alice"))).await;
    })
    .await;
}

/// Wrong ones, refused ones and right ones, all at once.
#[tokio::test]
async fn one_bad_command_fails_no_neighbour() {
    on_each_store(&[], async |engine, locks| {
        let theirs = take(&locks, "plan/theirs", "bob").await;
        let mut session = OpenSession::open(&locks).await;
        let mut right = Vec::new();
        for at in 0..200 {
            session.send(Asked::Acquire(acquire("plan/theirs", "alice"))).await;
            session.send(Asked::Acquire(acquire("plan/x\t", "alice"))).await;
            right.push(session.send(Asked::Acquire(acquire(&format!("new/{at}"), "alice"))).await);
            session
                .send(Asked::Renew(wire::RenewRequest { fencing_token: 1, ..renew(&theirs) }))
                .await;
            session.send_as(1_000_000 + at, None).await;
        }
        let answers = session.answers(5 * 200).await;
        for (id, outcome) in answers {
            if right.contains(&id) {
                assert_eq!(lock_of(&outcome).owner_id, "alice", "{engine}");
            } else {
                refusal(&outcome);
            }
        }
    })
    .await;
}
