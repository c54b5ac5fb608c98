//! The calls against the real server.

use std::time::Duration;

use lock_client::{
    AcquireOptions, ClientError, Health, ListFilter, LockClient, Released, Resource, StaleFilter,
};
use lock_server::testing::TestServer;
use service_kit::testing::{eventually, free_port};

use crate::fake::PATIENCE;

const FLAGS: [&str; 2] = ["--min-ttl", "100ms"];

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

async fn server() -> (TestServer, LockClient) {
    let server = TestServer::start(&FLAGS).await;
    let client = LockClient::builder().endpoint(server.url()).owner_id("me").build().unwrap();
    (server, client)
}

#[tokio::test]
async fn a_lock_is_taken_seen_renewed_and_released_without_a_guard() {
    let (_server, client) = server().await;
    let options = options(60_000).metadata("job", "nightly");
    let taken = client.acquire_unguarded(plan_a(), options.clone()).await.unwrap();
    assert!(!taken.reentrant);
    let again = client.acquire_unguarded(plan_a(), options).await.unwrap();
    assert!(again.reentrant);
    assert_eq!(taken.lock.fencing_token, again.lock.fencing_token);

    let seen = client.get(plan_a()).await.unwrap().unwrap();
    assert_eq!((&seen.resource, seen.owner_id.as_str()), (&plan_a(), "me"));
    assert_eq!(seen.metadata.get("job").map(String::as_str), Some("nightly"));
    assert!(!seen.stale && seen.remaining > Duration::from_secs(30));

    let token = seen.fencing_token;
    let ttl = Duration::from_secs(90);
    let renewed = client.renew(plan_a(), "me", token, Some(ttl)).await.unwrap();
    assert_eq!(renewed.ttl, ttl);
    assert!(renewed.expire_time.to_string().ends_with('Z'));
    let error = client.renew(plan_a(), "me", token + 1, None).await.unwrap_err();
    assert!(matches!(error, ClientError::NotHeld(_)), "{error:?}");

    let error = client.release(plan_a(), "you", None).await.unwrap_err();
    let ClientError::NotHeld(not_held) = &error else { panic!("{error:?}") };
    assert_eq!((not_held.holder.as_deref(), &not_held.forced), (Some("me"), &None));
    assert!(client.release(plan_a(), "me", Some(token)).await.unwrap().released);
    assert!(!client.release(plan_a(), "me", None).await.unwrap().released);
    assert_eq!(client.get(plan_a()).await.unwrap(), None);
}

#[tokio::test]
async fn live_locks_are_listed_page_by_page() {
    let (_server, client) = server().await;
    for id in ["a", "b", "c"] {
        client.acquire_unguarded(("plan", id), options(60_000)).await.unwrap();
    }
    let all = ListFilter { resource_type: Some("plan".to_owned()), ..ListFilter::default() };
    let first = client.list(all.clone(), 2, "").await.unwrap();
    assert_eq!(first.locks.len(), 2);
    let second = client.list(all, 2, first.next_page_token).await.unwrap();
    assert_eq!(second.locks[0].resource, Resource::new("plan", "c"));
    assert_eq!(second.next_page_token, "");
    let none = ListFilter { owner_id: Some("you".to_owned()), ..ListFilter::default() };
    assert!(client.list(none, 0, "").await.unwrap().locks.is_empty());
    assert_eq!(client.release_all_of("me").await.unwrap().count, 3);
}

#[tokio::test]
async fn stale_locks_are_listed_and_purged_and_refuse_a_renewal() {
    let (_server, client) = server().await;
    let lock = client.acquire_unguarded(plan_a(), options(100)).await.unwrap().lock;
    let stale = eventually("a stale lock", PATIENCE, async || {
        let page = client.list_stale(StaleFilter::default(), 0, "").await.unwrap();
        (page.total_count == 1).then_some(page)
    })
    .await;
    assert!(stale.locks[0].stale);
    assert_eq!(stale.locks[0].remaining, Duration::ZERO);
    let error = client.renew(plan_a(), "me", lock.fencing_token, None).await.unwrap_err();
    assert!(matches!(error, ClientError::Expired { expire_time: Some(_), .. }), "{error:?}");
    let young = StaleFilter { older_than: Some(Duration::from_secs(3600)), ..Default::default() };
    assert_eq!(client.purge_stale(young).await.unwrap().count, 0);
    assert_eq!(client.purge_stale(StaleFilter::default()).await.unwrap().count, 1);
}

#[tokio::test]
async fn what_is_wrong_is_named_field_by_field() {
    let (_server, client) = server().await;
    let error = client.acquire(("Plan", ""), options(1)).await.unwrap_err();
    let ClientError::Invalid { violations, .. } = &error else { panic!("{error:?}") };
    let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["resource.type", "resource.id", "ttl"]);
    assert_eq!(error.reason(), Some("INVALID_REQUEST"));
    let forever = AcquireOptions::new().ttl(Duration::MAX);
    let error = client.acquire(plan_a(), forever).await.unwrap_err();
    assert!(error.to_string().contains("ttl is longer than any clock counts"), "{error}");
}

#[tokio::test]
async fn the_server_says_how_it_is() {
    let (_server, client) = server().await;
    assert_eq!(client.health("").await.unwrap(), Health::Serving);
    assert_eq!(client.health("lock.v1.LockService").await.unwrap(), Health::Serving);
    assert_eq!(client.health("nobody").await.unwrap(), Health::Unknown);
}

#[tokio::test]
async fn health_of_no_server_is_an_error() {
    let client = LockClient::builder()
        .endpoint(format!("http://127.0.0.1:{}", free_port()))
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = client.health("").await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_guard_keeps_a_short_lease_for_many_times_its_length() {
    let (_server, client) = server().await;
    let guard = client.acquire(plan_a(), options(1_000)).await.unwrap();
    let first = client.get(plan_a()).await.unwrap().unwrap();
    let later = eventually("renewals", PATIENCE, async || {
        guard.check().unwrap();
        let lock = client.get(plan_a()).await.unwrap().unwrap();
        let longer = lock.expire_time.seconds >= first.expire_time.seconds + 3;
        longer.then_some(lock)
    })
    .await;
    assert_eq!(later.fencing_token, guard.fencing_token());
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_eq!(client.get(plan_a()).await.unwrap(), None);
}

#[tokio::test]
async fn a_guard_outlives_a_restart_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("locks.db").display());
    let address = format!("127.0.0.1:{}", free_port());
    let flags = ["--listen", &address, "--database-url", &database];
    let server = TestServer::start(&flags).await;
    let client = LockClient::connect(server.url()).unwrap();
    let guard = client.acquire(plan_a(), options(10_000)).await.unwrap();
    server.stop().await;
    let _server = TestServer::start(&flags).await;
    let trusted = guard.trusted_until();
    eventually("a renewal", PATIENCE, async || (guard.trusted_until() > trusted).then_some(()))
        .await;
    guard.check().unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
}
