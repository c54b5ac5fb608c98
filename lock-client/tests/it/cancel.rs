//! Futures that are dropped half way: nothing stays behind.

use std::time::Duration;

use lock_client::{AcquireOptions, Resource};
use service_kit::testing::eventually;

use crate::fake::{Asked, Fake, Mood, PATIENCE};

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

#[tokio::test]
async fn an_acquisition_dropped_while_it_is_under_way_leaves_no_lock() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    tokio::select! {
        _ = client.acquire(plan_a(), options()) => panic!("nothing was answered"),
        () = fake.was_asked(Asked::Acquire("a".to_owned())) => {}
    }
    fake.on_acquire(Mood::Willing);
    fake.was_asked(Asked::Release("a".to_owned())).await;
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn an_acquisition_dropped_before_its_turn_sends_nothing() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), options()).await }
    });
    fake.was_asked(Asked::Acquire("a".to_owned())).await;
    let mut second = Box::pin(client.acquire(plan_a(), options()));
    assert!(futures::poll!(&mut second).is_pending());
    drop(second);
    fake.on_acquire(Mood::Willing);
    let guard = first.await.unwrap().unwrap();
    guard.release().await.unwrap();
    client.flush().await;
    let acquisitions = fake.count(|asked| matches!(asked, Asked::Acquire(_)));
    assert_eq!(acquisitions, 1, "{:?}", fake.asked());
}

#[tokio::test]
async fn a_call_dropped_half_way_leaves_the_client_working() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let asked = async || (!fake.asked().is_empty()).then_some(());
    tokio::select! {
        _ = client.get(plan_a()) => panic!("nothing was answered"),
        () = eventually("a call", PATIENCE, asked) => {}
    }
    fake.on_acquire(Mood::Willing);
    assert!(client.get(plan_a()).await.unwrap().is_some());
}

#[tokio::test]
async fn release_all_dropped_half_way_goes_on() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Silent);
    tokio::select! {
        _ = client.release_all() => panic!("nothing was answered"),
        () = fake.was_asked(Asked::ReleaseAll(client.owner_id().to_owned())) => {}
    }
    guard.check().unwrap_err();
    fake.on_release(Mood::Willing);
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}
