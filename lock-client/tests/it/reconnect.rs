//! Servers that do not answer, and the way to those that do.

use std::time::Duration;

use lock_client::{AcquireOptions, ClientError, LockClient, Resource};
use service_kit::testing::{TcpProxy, free_port};

use crate::fake::{Asked, Fake, Mood, PATIENCE, StreamMood, invalid, overloaded, shutting_down};

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

#[tokio::test]
async fn no_server_at_all_is_unavailable_after_the_time_that_was_given() {
    let client = LockClient::builder()
        .endpoint(format!("http://127.0.0.1:{}", free_port()))
        .timeout(Duration::from_millis(400))
        .build()
        .unwrap();
    let error = client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    let ClientError::Unavailable { reason: None, attempts, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(*attempts > 1, "{error}");
    assert!(error.to_string().starts_with("no answer from the lock service after "), "{error}");
}

#[tokio::test]
async fn a_call_goes_to_the_next_server_when_one_is_down() {
    let fake = Fake::start();
    let down = format!("http://127.0.0.1:{}", free_port());
    let client = LockClient::builder().endpoints([down, fake.url()]).build().unwrap();
    client.acquire(plan_a(), options(60_000)).await.unwrap().check().unwrap();
}

#[tokio::test]
async fn a_call_goes_to_the_next_server_when_one_is_silent() {
    let (silent, fake) = (Fake::start(), Fake::start());
    silent.on_acquire(Mood::Silent);
    let client = LockClient::builder()
        .endpoints([silent.url(), fake.url()])
        .attempt_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    client.acquire(plan_a(), options(60_000)).await.unwrap().check().unwrap();
    // Everything asks the other one from now on.
    client.acquire(("plan", "b"), options(60_000)).await.unwrap();
    assert_eq!(silent.count(|asked| matches!(asked, Asked::Acquire(_))), 1);
}

#[tokio::test]
async fn a_call_goes_to_the_next_server_when_one_is_stopping() {
    let (stopping, fake) = (Fake::start(), Fake::start());
    stopping.on_acquire(Mood::Refusing(shutting_down));
    let client = LockClient::builder().endpoints([stopping.url(), fake.url()]).build().unwrap();
    client.acquire(plan_a(), options(60_000)).await.unwrap().check().unwrap();
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_asked_again() {
    let fake = Fake::start();
    fake.on_acquire(Mood::Refusing(overloaded));
    let client = fake.client();
    let acquisition = tokio::spawn(async move { client.acquire(plan_a(), options(60_000)).await });
    fake.was_asked(Asked::Acquire("a".to_owned())).await;
    fake.on_acquire(Mood::Willing);
    acquisition.await.unwrap().unwrap().check().unwrap();
}

#[tokio::test]
async fn a_server_that_stays_too_busy_says_so_in_the_end() {
    let fake = Fake::start();
    fake.on_acquire(Mood::Refusing(overloaded));
    let client = fake.builder().timeout(Duration::from_millis(200)).build().unwrap();
    let error = client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    assert_eq!(error.reason(), Some("OVERLOADED"));
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_wrong_is_not_tried_again() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Refusing(invalid));
    client.acquire_unguarded(plan_a(), options(1)).await.unwrap_err();
    assert_eq!(fake.asked().len(), 1);
    let error = client.list(lock_client::ListFilter::default(), 0, "").await.unwrap_err();
    assert_eq!(error.to_string(), "the lock service answered Unimplemented: not here");
    assert_eq!(error.reason(), None);
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_so() {
    let fake = Fake::start();
    let health = fake.client().health("lock.v1.LockService").await.unwrap();
    assert_eq!(health, lock_client::Health::NotServing);
}

#[tokio::test]
async fn renewals_move_to_another_server_in_time() {
    let (first, second) = (Fake::start(), Fake::start());
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    let guard = client.acquire(plan_a(), options(2_000)).await.unwrap();
    first.on_keep_alive(StreamMood::Silent);
    second.renewed("a", 3).await;
    guard.check().unwrap();
}

#[tokio::test]
async fn renewals_survive_a_server_that_goes_away() {
    let (first, second) = (Fake::start(), Fake::start());
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    let guard = client.acquire(plan_a(), options(2_000)).await.unwrap();
    first.renewed("a", 1).await;
    drop(first);
    second.renewed("a", 2).await;
    guard.check().unwrap();
}

#[tokio::test]
async fn a_network_that_was_dead_for_a_while_is_no_loss() {
    let fake = Fake::start();
    let proxy = TcpProxy::start(fake.address()).await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    let guard = client.acquire(plan_a(), options(3_000)).await.unwrap();
    fake.renewed("a", 1).await;
    let trusted = guard.trusted_until();
    proxy.stall().await;
    // Until a renewal is overdue by far.
    let half = trusted - Duration::from_millis(1_300);
    tokio::time::timeout_at(half, std::future::pending::<()>()).await.unwrap_err();
    proxy.resume().await;
    fake.renewed("a", 2).await;
    guard.check().unwrap();
}

#[tokio::test]
async fn a_dead_network_is_noticed_at_the_end_of_trust() {
    let fake = Fake::start();
    let proxy = TcpProxy::start(fake.address()).await;
    let client = LockClient::builder()
        .endpoint(format!("http://{}", proxy.address()))
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let guard = client.acquire(plan_a(), options(1_000)).await.unwrap();
    proxy.stall().await;
    let lost = tokio::time::timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(lost.reason, lock_client::LostReason::Unconfirmed);
}
