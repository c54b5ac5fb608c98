//! Renewals: that they come, whatever the caller does, and that they stop.

use std::time::{Duration, Instant};

use lock_client::{AcquireOptions, Resource};

use crate::fake::{Asked, Fake, StreamMood, shutting_down};

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

#[tokio::test(flavor = "current_thread")]
async fn busy_work_on_the_callers_runtime_starves_no_renewal() {
    let fake = Fake::start();
    let guard = fake.client().acquire(plan_a(), options(2_000)).await.unwrap();
    // No await for longer than the lease lasts: that is the point.
    let busy_until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < busy_until {
        std::hint::spin_loop();
    }
    guard.check().unwrap();
    assert!(fake.renewals("a") >= 2, "{:?}", fake.asked());
}

#[tokio::test]
async fn nothing_is_renewed_once_its_release_was_sent() {
    let fake = Fake::start();
    let client = fake.client();
    let a = client.acquire(plan_a(), options(1_000)).await.unwrap();
    let _b = client.acquire(("plan", "b"), options(1_000)).await.unwrap();
    fake.renewed("a", 2).await;
    a.release().await.unwrap();
    fake.renewed("b", 5).await;
    let asked = fake.asked();
    let released = asked.iter().position(|asked| matches!(asked, Asked::Release(_))).unwrap();
    let late = asked[released..]
        .iter()
        .any(|asked| matches!(asked, Asked::KeepAlive(ids) if ids.contains(&"a".to_owned())));
    assert!(!late, "{asked:?}");
}

#[tokio::test]
async fn an_answer_for_a_lease_that_was_released_meanwhile_is_ignored() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_keep_alive(StreamMood::Silent);
    let a = client.acquire(plan_a(), options(5_000)).await.unwrap();
    let b = client.acquire(("plan", "b"), options(5_000)).await.unwrap();
    fake.renewed("a", 1).await;
    a.release().await.unwrap();
    fake.on_keep_alive(StreamMood::Willing);
    fake.renewed("b", 1).await;
    b.check().unwrap();
}

#[tokio::test]
async fn many_leases_go_in_few_requests_none_over_the_limit() {
    const MANY: usize = 1_300;
    let fake = Fake::start();
    let client = fake.client();
    let acquire = |id: usize| client.acquire(("plan", id.to_string()), options(3_000));
    let guards = futures::future::try_join_all((0..MANY).map(acquire)).await.unwrap();
    fake.renewed(&(MANY - 1).to_string(), 2).await;
    let sizes: Vec<usize> = fake
        .asked()
        .iter()
        .filter_map(|asked| match asked {
            Asked::KeepAlive(ids) => Some(ids.len()),
            _ => None,
        })
        .collect();
    assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
    assert!(sizes.iter().any(|size| *size > 1), "{sizes:?}");
    for guard in &guards {
        guard.check().unwrap();
    }
    assert_eq!(client.release_all().await.unwrap().count, MANY as u64);
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again() {
    let fake = Fake::start();
    let guard = fake.client().acquire(plan_a(), options(1_500)).await.unwrap();
    fake.renewed("a", 1).await;
    for mood in [StreamMood::Refusing(shutting_down), StreamMood::Garbled] {
        fake.on_keep_alive(mood);
        fake.renewed("a", 1).await;
        fake.on_keep_alive(StreamMood::Willing);
        fake.renewed("a", 2).await;
        guard.check().unwrap();
    }
}
