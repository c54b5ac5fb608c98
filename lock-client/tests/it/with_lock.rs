//! Work under a lock: done and released, or stopped.

use std::time::Duration;

use lock_client::{AcquireOptions, ClientError, LostReason, Resource};
use tokio::{sync::oneshot, time::timeout};

use crate::fake::{Asked, Fake, Mood, PATIENCE, StreamMood, conflict, not_held};

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

#[tokio::test]
async fn the_value_of_the_work_comes_back_and_the_lock_is_released() {
    let fake = Fake::start();
    let work = |guard: lock_client::LockGuard| async move {
        guard.check().unwrap();
        guard.fencing_token()
    };
    let token = fake.client().with_lock(plan_a(), options(60_000), work).await.unwrap();
    assert_eq!(token, 1);
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn it_can_be_spawned() {
    let fake = Fake::start();
    let client = fake.client();
    let task = tokio::spawn(async move {
        client.with_lock(plan_a(), options(60_000), |guard| async move { guard.check() }).await
    });
    task.await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_lease_drops_the_work_where_it_stands() {
    let fake = Fake::start();
    fake.on_keep_alive(StreamMood::Silent);
    let (running, dropped) = oneshot::channel::<()>();
    let work = |_guard| async move {
        let _running = running;
        std::future::pending::<()>().await;
    };
    let client = fake.client();
    let outcome = client.with_lock(plan_a(), options(1_000), work);
    let error = timeout(PATIENCE, outcome).await.unwrap().unwrap_err();
    let ClientError::Lost(lost) = &error else { panic!("{error:?}") };
    assert_eq!(lost.reason, LostReason::Unconfirmed);
    assert_eq!(error.reason(), None);
    assert_eq!(error.to_string(), lost.to_string());
    dropped.await.unwrap_err();
}

#[tokio::test]
async fn a_lease_that_was_lost_under_work_that_did_not_look_is_told_at_its_end() {
    let fake = Fake::start();
    fake.on_keep_alive(StreamMood::Silent);
    let work = |guard: lock_client::LockGuard| async move {
        while guard.remaining() > Duration::ZERO {
            std::hint::spin_loop();
        }
    };
    let error = fake.client().with_lock(plan_a(), options(1_000), work).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn a_release_that_fails_does_not_undo_the_work() {
    let fake = Fake::start();
    fake.on_release(Mood::Refusing(not_held));
    let client = fake.client();
    let value = client.with_lock(plan_a(), options(60_000), |_guard| async { 7 }).await.unwrap();
    assert_eq!(value, 7);
}

#[tokio::test]
async fn without_the_lock_there_is_no_work() {
    let fake = Fake::start();
    fake.on_acquire(Mood::Refusing(conflict));
    let work = |_guard| async { panic!("not without the lock") };
    let error = fake.client().with_lock(plan_a(), options(60_000), work).await.unwrap_err();
    assert!(matches!(error, ClientError::Conflict(_)), "{error:?}");
}

#[tokio::test]
async fn dropping_it_releases_the_lock() {
    let fake = Fake::start();
    let client = fake.client();
    let (started, begun) = oneshot::channel();
    let work = |_guard| async move {
        started.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = client.with_lock(plan_a(), options(60_000), work) => panic!("it never ends"),
        begun = begun => begun.unwrap(),
    }
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
    assert_eq!(fake.count(|asked| matches!(asked, Asked::Release(_))), 1);
}

#[tokio::test]
async fn work_that_panics_releases_the_lock() {
    let fake = Fake::start();
    let client = fake.client();
    let task = tokio::spawn({
        let client = client.clone();
        async move {
            let work = |_guard| async { panic!("on purpose") };
            client.with_lock(plan_a(), options(60_000), work).await
        }
    });
    assert!(task.await.unwrap_err().is_panic());
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}
