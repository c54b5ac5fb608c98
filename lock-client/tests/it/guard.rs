//! Guards: what they tell, how they are counted, and how they go.

use std::time::Duration;

use lock_client::{AcquireOptions, ClientError, LostReason, Released, Resource, TryAcquire};

use crate::fake::{Asked, Fake, Mood, conflict, invalid, not_held};

const TTL: Duration = Duration::from_secs(60);

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(TTL)
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn release_of_a() -> Asked {
    Asked::Release("a".to_owned())
}

#[tokio::test]
async fn a_guard_tells_what_it_stands_on() {
    let fake = Fake::start();
    let client = fake.builder().owner_id("me").build().unwrap();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    assert_eq!(guard.resource(), &plan_a());
    assert_eq!(guard.owner_id(), "me");
    assert_eq!(guard.fencing_token(), 1);
    assert!(guard.remaining() <= TTL - Duration::from_secs(2), "{:?}", guard.remaining());
    assert!(guard.remaining() > TTL / 2);
    assert!(guard.trusted_until() > tokio::time::Instant::now());
    guard.check().unwrap();
    assert!(!guard.cancellation_token().is_cancelled());
    let shown = format!("{guard:?} {client:?}");
    assert!(shown.contains("plan/a") && shown.contains("me"), "{shown}");
}

#[tokio::test]
async fn the_lock_goes_when_the_last_of_its_guards_goes() {
    let fake = Fake::start();
    let client = fake.client();
    let first = client.acquire(plan_a(), options()).await.unwrap();
    let second = client.clone().acquire(&plan_a(), options()).await.unwrap();
    let third = second.clone();
    assert_eq!(first.fencing_token(), second.fencing_token());
    assert_eq!(first.release().await.unwrap(), Released::StillHeld { guards: 2 });
    drop(second);
    client.flush().await;
    third.check().unwrap();
    assert_eq!(fake.count(|asked| *asked == release_of_a()), 0);
    let lost = third.lost();
    assert_eq!(third.release().await.unwrap(), Released::Released);
    assert_eq!(fake.count(|asked| *asked == release_of_a()), 1);
    assert_eq!(lost.await.reason, LostReason::Released);
}

#[tokio::test]
async fn a_dropped_guard_is_released_in_the_background() {
    let fake = Fake::start();
    let client = fake.client();
    drop(client.acquire(plan_a(), options()).await.unwrap());
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
    assert_eq!(fake.count(|asked| *asked == release_of_a()), 1);
}

#[tokio::test]
async fn a_guard_that_outlives_its_client_is_still_released() {
    let fake = Fake::start();
    let guard = fake.client().acquire(plan_a(), options()).await.unwrap();
    drop(guard);
    fake.was_asked(release_of_a()).await;
}

#[tokio::test]
async fn a_release_dropped_half_way_goes_on() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Silent);
    tokio::select! {
        _ = guard.release() => panic!("nothing was answered"),
        () = fake.was_asked(release_of_a()) => {}
    }
    fake.on_release(Mood::Willing);
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_release_says_what_it_found() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.forget(&plan_a());
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyFree);

    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Refusing(not_held));
    let error = guard.release().await.unwrap_err();
    let ClientError::NotHeld(not_held) = &error else { panic!("{error:?}") };
    assert_eq!((&not_held.resource, not_held.holder.as_deref()), (&plan_a(), Some("worker-7")));
    assert_eq!(error.reason(), Some("LOCK_NOT_HELD"));
}

#[tokio::test]
async fn a_guard_that_comes_in_before_the_release_keeps_the_lock() {
    let fake = Fake::start();
    let client = fake.client();
    let first = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_acquire(Mood::Silent);
    let second = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), options()).await }
    });
    let twice = async || {
        let asked = fake.count(|asked| matches!(asked, Asked::Acquire(_)));
        (asked == 2).then_some(())
    };
    service_kit::testing::eventually("a second acquisition", crate::fake::PATIENCE, twice).await;
    // The second acquisition has the turn, so this release comes after it.
    let release = tokio::spawn(first.release());
    fake.on_acquire(Mood::Willing);
    let second = second.await.unwrap().unwrap();
    assert_eq!(release.await.unwrap().unwrap(), Released::StillHeld { guards: 1 });
    second.check().unwrap();
    assert_eq!(fake.count(|asked| *asked == release_of_a()), 0);
}

#[tokio::test]
async fn a_conflict_names_the_holder() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Refusing(conflict));
    let error = client.acquire(plan_a(), options()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan/a is held by worker-7 since 2026-01-02T03:04:05Z until 2026-01-02T03:09:05Z (1.5 s left)"
    );
    let TryAcquire::Held(conflict) = client.try_acquire(plan_a(), options()).await.unwrap() else {
        panic!("it is held");
    };
    assert_eq!(conflict.resource, plan_a());
    assert_eq!(conflict.remaining, Duration::from_millis(1500));
    assert_eq!(conflict.retry_after, Some(Duration::from_millis(1500)));
    assert_eq!(conflict.queue_length, 2);
    assert_eq!(conflict.metadata.get("job").map(String::as_str), Some("nightly"));
    assert_eq!(conflict.message, "the server says LOCK_CONFLICT");
}

#[tokio::test]
async fn try_acquire_gives_a_guard_or_an_error() {
    let fake = Fake::start();
    let client = fake.client();
    let outcome = client.try_acquire(("plan", "a"), options()).await.unwrap();
    assert!(matches!(outcome, TryAcquire::Acquired(_)), "{outcome:?}");
    fake.on_acquire(Mood::Refusing(invalid));
    let error = client.try_acquire(("plan", "b"), options()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request is not valid: ttl must be at least 5s; resource.id must not be empty"
    );
}

#[tokio::test]
async fn a_new_grant_ends_the_hold_before_it() {
    let fake = Fake::start();
    let client = fake.client();
    let old = client.acquire(plan_a(), options()).await.unwrap();
    fake.forget(&plan_a());
    let new = client.acquire(plan_a(), options()).await.unwrap();
    assert_eq!((old.fencing_token(), new.fencing_token()), (1, 2));
    assert_eq!(old.check().unwrap_err().reason, LostReason::NotHeld);
    assert_eq!(old.remaining(), Duration::ZERO);
    new.check().unwrap();
    let error = old.release().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost(_)), "{error:?}");
    assert_eq!(fake.count(|asked| *asked == release_of_a()), 0, "the new hold stays");
    new.check().unwrap();
}

#[tokio::test]
async fn a_conflict_over_what_we_held_ends_the_hold() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    let other = guard.clone();
    fake.on_acquire(Mood::Refusing(conflict));
    client.acquire(plan_a(), options()).await.unwrap_err();
    let lost = guard.lost().await;
    assert_eq!((lost.reason, lost.holder.as_deref()), (LostReason::NotHeld, Some("worker-7")));
    // Not the last guard, and all the same it says that there is nothing left.
    assert!(matches!(guard.release().await, Err(ClientError::Lost(_))));
    drop(other);
}

#[tokio::test]
async fn siblings_of_one_name_share_their_holds_and_others_do_not() {
    let fake = Fake::start();
    let client = fake.client();
    let sibling = client.with_owner(client.owner_id());
    let first = client.acquire(plan_a(), options()).await.unwrap();
    let second = sibling.acquire(plan_a(), options()).await.unwrap();
    assert_eq!(first.release().await.unwrap(), Released::StillHeld { guards: 1 });
    assert_eq!(second.release().await.unwrap(), Released::Released);
    assert_ne!(client.with_new_owner().owner_id(), client.owner_id());
}

#[tokio::test]
async fn release_all_ends_every_guard_of_the_owner_and_no_other() {
    let fake = Fake::start();
    let client = fake.client();
    let other = client.with_new_owner().acquire(("plan", "other"), options()).await.unwrap();
    let a = client.acquire(plan_a(), options()).await.unwrap();
    let b = client.acquire(("plan", "b"), options()).await.unwrap();
    assert_eq!(client.release_all().await.unwrap().count, 2);
    for guard in [&a, &b] {
        assert_eq!(guard.check().unwrap_err().reason, LostReason::Released);
    }
    other.check().unwrap();
    assert_eq!(a.release().await.unwrap(), Released::AlreadyFree);
    let again = client.acquire(("plan", "b"), options()).await.unwrap();
    drop(b);
    client.flush().await;
    again.check().unwrap();
}

#[tokio::test]
async fn release_all_waits_for_an_acquisition_and_takes_it_back() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let acquisition = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), options()).await }
    });
    fake.was_asked(Asked::Acquire("a".to_owned())).await;
    let release = tokio::spawn({
        let client = client.clone();
        async move { client.release_all().await }
    });
    fake.on_acquire(Mood::Willing);
    assert_eq!(release.await.unwrap().unwrap().count, 1);
    let guard = acquisition.await.unwrap().unwrap();
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Released);
    let all = Asked::ReleaseAll(client.owner_id().to_owned());
    assert_eq!(fake.asked(), [Asked::Acquire("a".to_owned()), all]);
}

#[tokio::test]
async fn an_answer_without_a_lock_is_none() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Hollow);
    let expected = "the lock service answered Internal: the answer holds no lock";
    let error = client.acquire(plan_a(), options()).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = client.acquire_unguarded(plan_a(), options()).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
}
