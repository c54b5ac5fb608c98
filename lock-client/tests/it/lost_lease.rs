//! Leases that are lost: that it is noticed in time, told at once, and final.

use std::time::Duration;

use lock_client::{AcquireOptions, ClientError, LostReason, Released, Resource};
use tokio::time::{Instant, timeout};

use crate::fake::{Asked, Fake, Mood, PATIENCE, StreamMood};

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

#[tokio::test]
async fn without_an_answer_a_lease_is_lost_at_the_end_of_trust_and_not_later() {
    let fake = Fake::start();
    fake.on_keep_alive(StreamMood::Silent);
    let before = Instant::now();
    let guard = fake.client().acquire(plan_a(), options(3_000)).await.unwrap();
    let token = guard.cancellation_token();
    let lost = timeout(PATIENCE, guard.lost()).await.unwrap();
    let after = Instant::now();
    assert_eq!(lost.reason, LostReason::Unconfirmed);
    assert!(after >= guard.trusted_until());
    // The lease itself cannot have run out yet.
    assert!(after < before + Duration::from_millis(3_000), "{:?}", after - before);
    assert_eq!(guard.check().unwrap_err(), lost);
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert!(token.is_cancelled());
    assert!(fake.renewals("a") >= 2, "tried more than once: {:?}", fake.asked());
}

#[tokio::test(flavor = "current_thread")]
async fn work_is_told_while_its_own_runtime_is_busy() {
    let fake = Fake::start();
    fake.on_keep_alive(StreamMood::Silent);
    let guard = fake.client().acquire(plan_a(), options(1_000)).await.unwrap();
    let token = guard.cancellation_token();
    let patience = std::time::Instant::now() + PATIENCE;
    // No await: nothing on this runtime gets a turn.
    while !token.is_cancelled() {
        assert!(std::time::Instant::now() < patience, "never told");
        std::hint::spin_loop();
    }
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Unconfirmed);
}

#[tokio::test]
async fn one_lost_lease_leaves_the_others_alone() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_keep_alive(StreamMood::Losing { ids: &["a"], reason: "LOCK_EXPIRED", holder: "" });
    let a = client.acquire(plan_a(), options(1_000)).await.unwrap();
    let b = client.acquire(("plan", "b"), options(1_000)).await.unwrap();
    let lost = timeout(PATIENCE, a.lost()).await.unwrap();
    assert_eq!((lost.reason, lost.holder), (LostReason::Expired, None));
    assert_eq!(lost.message, "plan/a is lost");
    fake.renewed("b", 3).await;
    b.check().unwrap();
    let renewals = fake.renewals("a");
    fake.renewed("b", 2).await;
    assert_eq!(fake.renewals("a"), renewals, "a lost lease is renewed no more");
}

#[tokio::test]
async fn a_lease_that_another_holds_says_who() {
    let fake = Fake::start();
    let mood = StreamMood::Losing { ids: &["a"], reason: "LOCK_NOT_HELD", holder: "worker-7" };
    fake.on_keep_alive(mood);
    let guard = fake.client().acquire(plan_a(), options(1_000)).await.unwrap();
    let lost = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!((lost.reason, lost.holder.as_deref()), (LostReason::NotHeld, Some("worker-7")));
    assert!(matches!(guard.release().await, Err(ClientError::Lost(_))));
    assert!(fake.holds(&plan_a()), "nothing is sent for what another holds");
}

#[tokio::test]
async fn a_lease_that_was_broken_says_by_whom_and_why() {
    let fake = Fake::start();
    fake.on_keep_alive(StreamMood::Broken);
    let guard = fake.client().acquire(plan_a(), options(1_000)).await.unwrap();
    let lost = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!((lost.reason, &lost.holder), (LostReason::NotHeld, &None));
    let forced = lost.forced.as_deref().expect("by force");
    assert_eq!((&*forced.released_by, &*forced.release_reason), ("10.0.0.7", "stuck since noon"));
    assert_eq!(guard.check().unwrap_err(), lost);
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.forced(), Some(forced));
}

#[tokio::test]
async fn a_lost_lease_stays_lost_and_can_be_acquired_again() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_keep_alive(StreamMood::Silent);
    let old = client.acquire(plan_a(), options(1_000)).await.unwrap();
    timeout(PATIENCE, old.lost()).await.unwrap();
    fake.on_keep_alive(StreamMood::Willing);
    // The server counts the lease as held, so this is the same grant to it.
    let new = client.acquire(plan_a(), options(1_000)).await.unwrap();
    assert_eq!(old.fencing_token(), new.fencing_token());
    fake.renewed("a", 2).await;
    new.check().unwrap();
    old.check().unwrap_err();
    assert!(matches!(old.release().await, Err(ClientError::Lost(_))));
    client.flush().await;
    assert!(fake.holds(&plan_a()), "the old guard does not release the new hold");
    assert_eq!(new.release().await.unwrap(), Released::Released);
}

#[tokio::test]
async fn the_server_is_told_of_a_lease_that_was_given_up() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_keep_alive(StreamMood::Silent);
    let guard = client.acquire(plan_a(), options(1_000)).await.unwrap();
    timeout(PATIENCE, guard.lost()).await.unwrap();
    assert!(matches!(guard.release().await, Err(ClientError::Lost(_))));
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn an_answer_that_took_longer_than_the_lease_lasts_is_no_lock() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let acquisition = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), options(100)).await }
    });
    fake.was_asked(Asked::Acquire("a".to_owned())).await;
    let asked_at = Instant::now();
    service_kit::testing::eventually("the lease's time to pass", PATIENCE, async || {
        (asked_at.elapsed() > Duration::from_millis(100)).then_some(())
    })
    .await;
    fake.on_acquire(Mood::Willing);
    let error = acquisition.await.unwrap().unwrap_err();
    let ClientError::Lost(lost) = error else { panic!("{error:?}") };
    assert_eq!(lost.reason, LostReason::Unconfirmed);
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}
