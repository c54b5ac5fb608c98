//! Attempts whose outcome nobody knows: what they left, and what they may yet do.

use std::time::Duration;

use lock_client::{AcquireOptions, ClientError, LockClient, Released, Resource, StaleFilter};
use service_kit::testing::free_port;
use tokio::time::timeout;

use crate::fake::{
    Asked, Fake, Mood, PATIENCE, StreamMood, broken, conflict, not_held, shutting_down,
};

const BRIEF: Duration = Duration::from_millis(300);

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn brief(fake: &Fake) -> LockClient {
    fake.builder().timeout(BRIEF).build().unwrap()
}

fn once(then: Mood) -> Mood {
    Mood::Mute(Some(Box::new(then)))
}

fn releases(fake: &Fake) -> usize {
    fake.count(|asked| matches!(asked, Asked::Release(_)))
}

// ---- a release that arrives late ----

#[tokio::test]
async fn a_release_that_arrives_late_hits_no_later_guard() {
    let fake = Fake::start();
    let client = brief(&fake);
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(Mood::Late);
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    fake.on_release(Mood::Willing);
    let again = client.acquire(plan_a(), options(60_000)).await.unwrap();
    assert_eq!(again.fencing_token(), 2, "the token that the late one names is not trusted");
    fake.deliver_late();
    again.check().unwrap();
    assert!(fake.holds(&plan_a()));
    let sibling = client.acquire(plan_a(), options(60_000)).await.unwrap();
    assert_eq!(sibling.fencing_token(), 2, "and that is over now");
}

#[tokio::test]
async fn a_farewell_to_a_lost_lease_that_arrives_late_hits_no_later_guard() {
    let fake = Fake::start();
    let client = brief(&fake);
    fake.on_keep_alive(StreamMood::Silent);
    let guard = client.acquire(plan_a(), options(1_000)).await.unwrap();
    timeout(PATIENCE, guard.lost()).await.unwrap();
    fake.on_release(Mood::Late);
    guard.release().await.unwrap_err();
    client.flush().await;
    assert!(releases(&fake) > 0);
    fake.on_release(Mood::Willing);
    let again = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.deliver_late();
    again.check().unwrap();
    assert!(fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_release_by_name_that_arrives_late_hits_no_later_guard() {
    let fake = Fake::start();
    let client = brief(&fake);
    let _guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(Mood::Late);
    client.release(plan_a(), client.owner_id(), None).await.unwrap_err();
    fake.on_release(Mood::Willing);
    let again = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.deliver_late();
    again.check().unwrap();
    assert!(fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_lease_that_a_late_release_may_end_is_none_while_that_cannot_be_settled() {
    let fake = Fake::start();
    let client = brief(&fake);
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(Mood::Late);
    guard.release().await.unwrap_err();
    for _ in 0..2 {
        let error = client.acquire(plan_a(), options(60_000)).await.unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
        let error = client.acquire_unguarded(plan_a(), options(60_000)).await.unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    }
    fake.on_release(Mood::Willing);
    assert_eq!(client.acquire(plan_a(), options(60_000)).await.unwrap().fencing_token(), 2);
}

#[tokio::test]
async fn a_release_that_no_server_can_have_seen_is_not_waited_for() {
    let fake = Fake::start();
    let client = brief(&fake);
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(Mood::Refusing(shutting_down));
    guard.release().await.unwrap_err();
    let before = releases(&fake);
    // Kept: a guard that goes is released in the background.
    let again = client.acquire(plan_a(), options(60_000)).await.unwrap();
    assert_eq!(again.fencing_token(), 1);
    assert_eq!(releases(&fake), before);
}

// ---- an acquisition that may have been granted ----

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_given_back() {
    let fake = Fake::start();
    let client = brief(&fake);
    fake.on_acquire(Mood::Mute(None));
    let error = client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
    fake.on_acquire(Mood::Willing);
    client.acquire(plan_a(), options(60_000)).await.unwrap().check().unwrap();
}

#[tokio::test]
async fn the_grant_of_an_owner_that_others_may_be_too_is_left() {
    let fake = Fake::start();
    let client = fake.builder().owner_id("me").timeout(BRIEF).build().unwrap();
    fake.on_acquire(Mood::Mute(None));
    client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    client.flush().await;
    assert!(fake.holds(&plan_a()));
    assert_eq!(releases(&fake), 0);
}

#[tokio::test]
async fn what_guards_stand_on_is_not_given_back() {
    let fake = Fake::start();
    let client = brief(&fake);
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_acquire(Mood::Mute(None));
    client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    client.flush().await;
    guard.check().unwrap();
    assert!(fake.holds(&plan_a()));
}

#[tokio::test]
async fn nothing_is_given_back_that_nobody_can_have_granted() {
    let fake = Fake::start();
    let down = LockClient::builder()
        .endpoint(format!("http://127.0.0.1:{}", free_port()))
        .timeout(BRIEF)
        .build()
        .unwrap();
    down.acquire(plan_a(), options(60_000)).await.unwrap_err();
    // Would take as long again if it tried.
    timeout(PATIENCE, down.flush()).await.unwrap();
    let client = brief(&fake);
    fake.on_acquire(Mood::Refusing(shutting_down));
    client.acquire(plan_a(), options(60_000)).await.unwrap_err();
    client.flush().await;
    assert_eq!(fake.count(|asked| !matches!(asked, Asked::Acquire(_))), 0, "{:?}", fake.asked());
}

#[tokio::test]
async fn flush_waits_for_an_acquisition_that_was_dropped() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    tokio::select! {
        _ = client.acquire(plan_a(), options(60_000)) => panic!("nothing was answered"),
        () = fake.was_asked(Asked::Acquire("a".to_owned())) => {}
    }
    let mut flush = Box::pin(client.flush());
    assert!(futures::poll!(&mut flush).is_pending());
    fake.on_acquire(Mood::Willing);
    flush.await;
    assert_eq!(releases(&fake), 1);
    assert!(!fake.holds(&plan_a()));
}

// ---- a second answer is not told as the first ----

#[tokio::test]
async fn a_release_answered_the_second_time_says_so() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(once(Mood::Willing));
    assert_eq!(guard.release().await.unwrap(), Released::ReleasedOrFree);
    // Taken by another in between.
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(once(Mood::Refusing(not_held)));
    assert_eq!(guard.release().await.unwrap(), Released::ReleasedOrFree);
}

#[tokio::test]
async fn a_lease_that_somebody_broke_was_not_ended_by_an_unanswered_release() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(once(Mood::Refusing(broken)));
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.forced().expect("by force").released_by, "10.0.0.7");
}

#[tokio::test]
async fn a_release_by_name_answered_the_second_time_says_so() {
    let fake = Fake::start();
    let client = fake.client();
    let owner = client.owner_id();
    client.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(once(Mood::Willing));
    let ended = client.release(plan_a(), owner, None).await.unwrap();
    assert_eq!((ended.released, ended.retried), (false, true));
    let ended = client.release(plan_a(), owner, None).await.unwrap();
    assert_eq!((ended.released, ended.retried), (false, false));
    for (mood, expected) in
        [(once(Mood::Refusing(not_held)), true), (Mood::Refusing(not_held), false)]
    {
        fake.on_release(mood);
        let error = client.release(plan_a(), owner, Some(1)).await.unwrap_err();
        let ClientError::NotHeld(not_held) = error else { panic!("{error:?}") };
        assert_eq!(not_held.retried, expected);
    }
}

#[tokio::test]
async fn counts_answered_the_second_time_say_so() {
    let fake = Fake::start();
    let client = fake.client();
    client.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
    fake.on_release(once(Mood::Willing));
    let ended = client.release_all_of(client.owner_id()).await.unwrap();
    assert_eq!((ended.count, ended.retried), (0, true));
    assert!(!client.release_all().await.unwrap().retried);
    fake.on_release(once(Mood::Willing));
    assert!(client.purge_stale(StaleFilter::default()).await.unwrap().retried);
    assert!(!client.purge_stale(StaleFilter::default()).await.unwrap().retried);
}

#[tokio::test]
async fn an_acquisition_says_whether_the_lock_was_held_and_whether_it_was_asked_twice() {
    let fake = Fake::start();
    let client = fake.client();
    let first = client.acquire(plan_a(), options(60_000)).await.unwrap();
    assert_eq!((first.reentrant(), first.retried()), (false, false));
    let second = client.acquire(plan_a(), options(60_000)).await.unwrap();
    assert_eq!((second.reentrant(), second.retried()), (true, false));
    assert!(second.clone().reentrant());
    fake.on_acquire(once(Mood::Willing));
    let guard = client.acquire(("plan", "b"), options(60_000)).await.unwrap();
    assert_eq!((guard.reentrant(), guard.retried()), (true, true));
    fake.on_acquire(once(Mood::Willing));
    let taken = client.acquire_unguarded(("plan", "c"), options(60_000)).await.unwrap();
    assert_eq!((taken.reentrant, taken.retried), (true, true));
    // A server that refused did nothing.
    fake.on_acquire(Mood::Refusing(conflict));
    client.acquire(plan_a(), options(60_000)).await.unwrap_err();
}
