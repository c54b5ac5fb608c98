//! Requests that are wrong: each is refused with every wrong field named, and
//! the next one is carried out.

use std::collections::HashMap;

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use tonic::{Code, Status};

use super::support::{
    Locks, acquire, assert_serves, client, keep_alive, lease, renew, resource, span, take, wrong,
    wrong_fields,
};

async fn server() -> (TestServer, Locks) {
    let server = TestServer::start(&[]).await;
    let locks = client(&server.url());
    (server, locks)
}

/// A type, an id and an owner, wrong each in its own way.
fn wrong_names() -> Vec<(String, String, String)> {
    let all = |text: &str| (text.to_owned(), text.to_owned(), text.to_owned());
    vec![
        all(""),
        ("a".repeat(64), "x".repeat(513), "x".repeat(257)),
        // Bytes count, not letters.
        ("é".into(), "é".repeat(257), "é".repeat(129)),
        all("tab\tbed"),
        all("null\0"),
        all("next line\u{85}"),
        ("Plan".into(), "\u{7f}".into(), "\u{1b}[31m".into()),
        ("9plan".into(), "a\nb".into(), "a\rb".into()),
        ("plan ".into(), "\u{9f}".into(), "\u{80}".into()),
    ]
}

#[tokio::test]
async fn names_that_are_wrong_are_all_named_at_once() {
    let (_server, mut locks) = server().await;
    for (kind, id, owner) in wrong_names() {
        let request = wire::AcquireRequest {
            resource: Some(wire::Resource::new(&kind, &id)),
            owner_id: owner.clone(),
            ..Default::default()
        };
        let status = locks.acquire(request).await.unwrap_err();
        assert_eq!(wrong(&status), ["owner_id", "resource.id", "resource.type"], "{kind:?}");
        assert_serves(&mut locks).await;
    }
}

#[tokio::test]
async fn names_at_their_limits_are_right() {
    let (_server, mut locks) = server().await;
    for (kind, id, owner) in
        [("a", "x".repeat(512), "y".repeat(256)), ("a", "é".repeat(256), "🔒".repeat(64))]
    {
        let kind = kind.repeat(63);
        let request = wire::AcquireRequest {
            resource: Some(wire::Resource::new(&kind, &id)),
            owner_id: owner.clone(),
            ..Default::default()
        };
        let lock = locks.acquire(request).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(lock.resource, Some(wire::Resource::new(&kind, &id)));
        assert_eq!(lock.owner_id, owner);
    }
}

/// Every method with nothing in its request.
async fn empty_requests(locks: &mut Locks) -> Vec<(&'static str, Status)> {
    let leases = vec![wire::KeepAliveLease::default()];
    vec![
        ("Acquire", locks.acquire(wire::AcquireRequest::default()).await.unwrap_err()),
        ("Renew", locks.renew(wire::RenewRequest::default()).await.unwrap_err()),
        ("Release", locks.release(wire::ReleaseRequest::default()).await.unwrap_err()),
        ("ReleaseAll", locks.release_all(wire::ReleaseAllRequest::default()).await.unwrap_err()),
        ("GetLock", locks.get_lock(wire::GetLockRequest::default()).await.unwrap_err()),
        (
            "ForceRelease",
            locks.force_release(wire::ForceReleaseRequest::default()).await.unwrap_err(),
        ),
        (
            "KeepAlive",
            keep_alive(locks, wire::KeepAliveRequest { leases, ttl: None }).await.unwrap_err(),
        ),
    ]
}

#[tokio::test]
async fn what_is_missing_is_named_by_every_method() {
    let (_server, mut locks) = server().await;
    let found: Vec<_> = empty_requests(&mut locks)
        .await
        .into_iter()
        .map(|(method, status)| (method, wrong(&status).join(" ")))
        .collect();
    assert_eq!(
        found,
        [
            ("Acquire", "owner_id resource"),
            ("Renew", "fencing_token owner_id resource"),
            ("Release", "owner_id resource"),
            ("ReleaseAll", "owner_id"),
            ("GetLock", "resource"),
            ("ForceRelease", "fencing_token reason resource"),
            ("KeepAlive", "leases[0].fencing_token leases[0].owner_id leases[0].resource"),
        ]
        .map(|(method, fields)| (method, fields.to_owned()))
    );
    assert_serves(&mut locks).await;
}

#[tokio::test]
async fn a_resource_without_anything_in_it_lacks_both() {
    let (_server, mut locks) = server().await;
    let request = wire::GetLockRequest { resource: Some(wire::Resource::default()) };
    let status = locks.get_lock(request).await.unwrap_err();
    assert_eq!(wrong(&status), ["resource.id", "resource.type"]);
}

/// Times to live that no method takes, and a word of what is said about each.
fn wrong_spans() -> Vec<(Option<prost_types::Duration>, &'static str)> {
    vec![
        (span(0, 0), "shorter"),
        (span(4, 999_999_999), "shorter"),
        (span(3600, 1_000), "longer"),
        (span(3601, 0), "longer"),
        (span(315_576_000_000, 999_999_999), "longer"),
        (span(-1, 0), "negative"),
        (span(-5, -1), "negative"),
        (span(0, -1), "negative"),
        (span(10, -1), "sign"),
        (span(-10, 1), "sign"),
        (span(10, 1_000_000_000), "nanos"),
        (span(10, i32::MAX), "nanos"),
        (span(-10, i32::MIN), "nanos"),
        (span(i64::MAX, 0), "seconds"),
        (span(i64::MIN, 0), "seconds"),
        (span(i64::MAX, 999_999_999), "seconds"),
        (span(315_576_000_001, 0), "seconds"),
    ]
}

#[tokio::test]
async fn a_time_to_live_is_well_formed_and_within_the_limits() {
    let (_server, mut locks) = server().await;
    let lock = take(&locks, "plan/held", "owner").await;
    for (ttl, word) in wrong_spans() {
        let acquire = wire::AcquireRequest { ttl, ..acquire("plan/42", "owner") };
        let keep = wire::KeepAliveRequest { leases: vec![lease(&lock)], ttl };
        let renew = wire::RenewRequest { ttl, ..renew(&lock) };
        for status in [
            locks.acquire(acquire).await.unwrap_err(),
            locks.renew(renew).await.unwrap_err(),
            keep_alive(&mut locks, keep).await.unwrap_err(),
        ] {
            let fields = wrong_fields(&status);
            assert_eq!(wrong(&status), ["ttl"], "{ttl:?}");
            assert!(fields[0].1.contains(word), "{ttl:?}: {fields:?}");
        }
        assert_serves(&mut locks).await;
    }
    let untouched = wire::GetLockRequest { resource: lock.resource.clone() };
    let now = locks.get_lock(untouched).await.unwrap().into_inner().lock.unwrap();
    assert_eq!(now.expire_time, lock.expire_time);
}

#[tokio::test]
async fn a_time_to_live_at_the_limits_is_right() {
    let (_server, mut locks) = server().await;
    for seconds in [5, 3600] {
        let request = wire::AcquireRequest { ttl: span(seconds, 0), ..acquire("plan/42", "owner") };
        locks.acquire(request).await.unwrap();
        let renew = wire::RenewRequest {
            ttl: span(seconds, 0),
            ..renew(&take(&locks, "plan/42", "owner").await)
        };
        let lock = locks.renew(renew).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(lock.ttl, span(seconds, 0));
    }
}

fn entries<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn metadata_is_kept_to_its_limits() {
    let (_server, mut locks) = server().await;
    let (long_key, long_value, large) = ("k".repeat(64), "v".repeat(257), "v".repeat(250));
    let numbered: Vec<_> = (0..17).map(|number| format!("k{number}")).collect();
    let large_keys = ["a", "b", "c", "d", "e"];
    let cases = [
        (entries(numbered.iter().map(|key| (key.as_str(), ""))), "metadata", "17 entries"),
        (entries([("Host", "a")]), "metadata[\"Host\"]", "[a-z]"),
        (entries([("", "a")]), "metadata[\"\"]", "[a-z]"),
        (entries([("9", "a")]), "metadata[\"9\"]", "[a-z]"),
        (entries([("a b", "a")]), "metadata[\"a b\"]", "[a-z]"),
        (entries([(long_key.as_str(), "a")]), &format!("metadata[\"{long_key}\"]"), "[a-z]"),
        (entries([("a", long_value.as_str())]), "metadata[\"a\"]", "256"),
        (entries([("a", "one\ntwo")]), "metadata[\"a\"]", "U+000A"),
        (entries([("a", "\0")]), "metadata[\"a\"]", "U+0000"),
        (entries([("a", "\u{85}")]), "metadata[\"a\"]", "U+0085"),
        (entries(large_keys.map(|key| (key, large.as_str()))), "metadata", "1024"),
    ];
    for (metadata, field, word) in cases {
        let request = wire::AcquireRequest { metadata, ..acquire("plan/42", "owner") };
        let status = locks.acquire(request).await.unwrap_err();
        let fields = wrong_fields(&status);
        assert_eq!(wrong(&status), [field]);
        assert!(fields[0].1.contains(word), "{fields:?}");
        assert_serves(&mut locks).await;
    }
}

#[tokio::test]
async fn every_wrong_entry_of_metadata_is_named_beside_the_other_fields() {
    let (_server, mut locks) = server().await;
    let metadata = entries([("Host", "a"), ("ok", "fine"), ("note", "one\ntwo")]);
    let request =
        wire::AcquireRequest { ttl: span(1, 0), metadata, ..acquire("plan/42", "owner\n") };
    let status = locks.acquire(request).await.unwrap_err();
    assert_eq!(wrong(&status), ["metadata[\"Host\"]", "metadata[\"note\"]", "owner_id", "ttl"]);
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(details.error_info().unwrap().metadata["violation_count"], "4");
}

#[tokio::test]
async fn a_token_of_zero_is_no_token() {
    let (_server, mut locks) = server().await;
    let lock = take(&locks, "plan/42", "owner").await;
    let renew = wire::RenewRequest { fencing_token: 0, ..renew(&lock) };
    assert_eq!(wrong(&locks.renew(renew).await.unwrap_err()), ["fencing_token"]);
    let release = wire::ReleaseRequest {
        resource: lock.resource.clone(),
        owner_id: "owner".into(),
        fencing_token: Some(0),
    };
    assert_eq!(wrong(&locks.release(release).await.unwrap_err()), ["fencing_token"]);
    let get = wire::GetLockRequest { resource: resource("plan/42") };
    locks.get_lock(get).await.expect("it is still held");
}

#[tokio::test]
async fn an_unknown_method_gets_the_stacks_own_answer() {
    let (server, mut locks) = server().await;
    let mut grpc = tonic::client::Grpc::new(super::support::channel(&server.url()));
    grpc.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/lock.v1.LockService/Wait");
    let codec = tonic_prost::ProstCodec::<wire::AcquireRequest, wire::AcquireResponse>::default();
    let request = tonic::Request::new(acquire("plan/42", "owner"));
    let status = grpc.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.details().is_empty());
    assert_serves(&mut locks).await;
}

/// `AcquireRequest` for a client whose strings are any bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct RawAcquire {
    #[prost(bytes = "vec", tag = "2")]
    owner_id: Vec<u8>,
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_by_the_stack() {
    let (server, mut locks) = server().await;
    let mut grpc = tonic::client::Grpc::new(super::support::channel(&server.url()));
    grpc.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/lock.v1.LockService/Acquire");
    let codec = tonic_prost::ProstCodec::<RawAcquire, wire::AcquireResponse>::default();
    let request = tonic::Request::new(RawAcquire { owner_id: vec![0xff, 0xfe] });
    let status = grpc.unary(request, path, codec).await.unwrap_err();
    assert!(status.details().is_empty(), "{status:?}");
    assert!(matches!(status.code(), Code::Internal | Code::InvalidArgument), "{status:?}");
    assert_serves(&mut locks).await;
}
