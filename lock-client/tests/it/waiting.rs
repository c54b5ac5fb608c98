//! Waiting in line, at servers that do as a test tells them.

use std::time::Duration;

use lock_client::{
    AcquireOptions, ClientError, LockClient, LockGuard, Released, Resource, TryAcquire,
};
use service_kit::testing::TcpProxy;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;

use crate::fake::{
    Asked, Fake, MOST_CALLS, Mood, PATIENCE, StreamMood, conflict, deadlock, not_held, overloaded,
    shutting_down, wait_cancelled,
};

const TTL: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(50);

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(TTL)
}

fn waiting() -> AcquireOptions {
    options().wait(WAIT)
}

fn a_server_where_it_is_taken() -> Fake {
    let fake = Fake::start();
    fake.occupy(&plan_a());
    fake
}

/// An acquisition that is in line at this server.
async fn in_line(
    fake: &Fake,
    client: &LockClient,
    options: AcquireOptions,
) -> JoinHandle<Result<LockGuard, ClientError>> {
    let client = client.clone();
    let acquisition = tokio::spawn(async move { client.acquire(plan_a(), options).await });
    fake.has_in_line(1).await;
    acquisition
}

fn renewals(fake: &Fake) -> usize {
    fake.count(|asked| *asked == Asked::Renew("a".to_owned()))
}

fn acquisitions(fake: &Fake) -> usize {
    fake.count(|asked| *asked == Asked::Acquire("a".to_owned()))
}

// ---- granted and not ----

#[tokio::test]
async fn who_waits_is_granted_in_the_end_by_one_call() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    fake.vacate(&plan_a());
    let guard = acquisition.await.unwrap().unwrap();
    guard.check().unwrap();
    assert!(!guard.reentrant() && !guard.retried());
    assert_eq!((fake.messages(), acquisitions(&fake), renewals(&fake)), (0, 1, 0));
    let waits = fake.waits();
    assert_eq!(waits[0].owner_id, client.owner_id());
    assert_eq!(waits[0].wait, WAIT);
    assert_eq!(guard.release().await.unwrap(), Released::Released);
}

#[tokio::test]
async fn what_is_free_is_granted_to_who_would_wait_and_no_wait_is_none() {
    let fake = Fake::start();
    let client = fake.client();
    client.acquire(plan_a(), waiting()).await.unwrap().release().await.unwrap();
    assert_eq!(fake.waits().len(), 1);
    let none = options().wait(Duration::ZERO);
    client.acquire(plan_a(), none.clone()).await.unwrap().release().await.unwrap();
    fake.occupy(&plan_a());
    let error = client.acquire(plan_a(), none).await.unwrap_err();
    assert!(matches!(error, ClientError::Conflict(_)), "{error:?}");
    assert_eq!(fake.waits().len(), 1);
}

#[tokio::test]
async fn a_wait_that_is_over_ends_with_the_conflict_of_then() {
    let fake = a_server_where_it_is_taken();
    let short = options().wait(Duration::from_millis(100));
    let error = fake.client().acquire(plan_a(), short.clone()).await.unwrap_err();
    let ClientError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((conflict.holder.as_str(), conflict.queue_length), ("worker-7", 2));
    let outcome = fake.client().try_acquire(plan_a(), short.clone()).await.unwrap();
    assert!(matches!(outcome, TryAcquire::Held(_)), "{outcome:?}");
    let work = |_guard| async { panic!("not without the lock") };
    fake.client().with_lock(plan_a(), short, work).await.unwrap_err();
}

#[tokio::test]
async fn a_wait_longer_than_any_clock_counts_is_wrong_before_anything_is_sent() {
    let fake = Fake::start();
    let error = fake.client().acquire(plan_a(), options().wait(Duration::MAX)).await.unwrap_err();
    assert!(error.to_string().contains("wait is longer than any clock counts"), "{error}");
    assert!(fake.asked().is_empty());
    // One that a clock can count is for the server to judge.
    let ages = Duration::from_secs(9_000_000_000);
    fake.client().acquire(plan_a(), options().wait(ages)).await.unwrap();
}

#[tokio::test]
async fn a_circle_and_a_wait_that_was_cancelled_are_told_as_such() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    fake.end_waits(deadlock);
    let error = acquisition.await.unwrap().unwrap_err();
    let ClientError::Deadlock(deadlock) = error else { panic!("{error:?}") };
    assert_eq!(deadlock.cycle, "me → plan/a → you → plan/b → me");
    assert_eq!(deadlock.resource, plan_a());
    let acquisition = in_line(&fake, &client, waiting()).await;
    fake.end_waits(wait_cancelled);
    let error = acquisition.await.unwrap().unwrap_err();
    let ClientError::WaitCancelled { resource, .. } = error else { panic!("{error:?}") };
    assert_eq!(resource, plan_a());
    assert_eq!(acquisitions(&fake), 2, "neither is asked for again");
}

#[tokio::test]
async fn without_a_guard_it_says_from_when_to_count() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = tokio::spawn({
        let client = client.clone();
        async move { client.acquire_unguarded(plan_a(), waiting()).await }
    });
    fake.has_in_line(1).await;
    // A turn of another, so that the lease is looked at again.
    client.try_acquire(plan_a(), options()).await.unwrap();
    let later = Instant::now();
    fake.vacate(&plan_a());
    let acquired = acquisition.await.unwrap().unwrap();
    assert!(acquired.asked_at >= later);
    assert_eq!((acquired.lock.remaining, renewals(&fake)), (TTL, 1));
}

// ---- leases ----

/// A lease of which a tenth passes soon.
const SHORT: Duration = Duration::from_secs(2);

/// Waits for longer than that, and then is granted.
async fn granted_late(fake: &Fake, client: &LockClient) -> (Instant, LockGuard) {
    let acquisition = in_line(fake, client, waiting().ttl(SHORT)).await;
    let late = Instant::now() + SHORT / 5;
    timeout_at(late, std::future::pending::<()>()).await.unwrap_err();
    let granted_after = Instant::now();
    fake.vacate(&plan_a());
    (granted_after, acquisition.await.unwrap().unwrap())
}

#[tokio::test]
async fn a_lease_counts_from_its_grant_and_not_from_when_the_wait_began() {
    let fake = a_server_where_it_is_taken();
    let (granted_after, guard) = granted_late(&fake, &fake.client()).await;
    assert_eq!(renewals(&fake), 1);
    assert!(guard.trusted_until() >= granted_after + SHORT.mul_f64(0.9));
    guard.check().unwrap();
}

#[tokio::test]
async fn a_grant_whose_renewal_is_not_answered_counts_from_when_it_was_asked_for() {
    let fake = a_server_where_it_is_taken();
    fake.on_renew(Mood::Silent);
    fake.on_keep_alive(StreamMood::Silent);
    let client = fake.builder().timeout(Duration::from_millis(200)).build().unwrap();
    let (granted_after, guard) = granted_late(&fake, &client).await;
    assert_eq!(renewals(&fake), 1);
    let asked_before = granted_after - SHORT / 5;
    assert!(guard.trusted_until() <= asked_before + SHORT.mul_f64(0.9));
    guard.check().unwrap();
}

#[tokio::test]
async fn a_grant_that_is_over_before_it_is_known_is_none_and_the_wait_goes_on() {
    let fake = a_server_where_it_is_taken();
    fake.on_renew(Mood::Refusing(not_held));
    let (_, guard) = granted_late(&fake, &fake.client()).await;
    guard.check().unwrap();
    assert_eq!((fake.waits().len(), renewals(&fake)), (2, 1));
    assert!(fake.waits()[1].wait <= WAIT - SHORT / 5);
}

#[tokio::test]
async fn a_grant_that_is_over_when_the_wait_is_says_so() {
    let fake = a_server_where_it_is_taken();
    fake.on_renew(Mood::Refusing(not_held));
    let client = fake.client();
    let short = waiting().wait(Duration::from_millis(300));
    let acquisition = in_line(&fake, &client, short).await;
    // Another call has a turn, so that the lease is looked at; and the answer
    // comes late.
    client.try_acquire(plan_a(), options()).await.unwrap();
    fake.on_acquire(Mood::Silent);
    let late = Instant::now() + Duration::from_millis(300);
    fake.vacate(&plan_a());
    timeout_at(late, std::future::pending::<()>()).await.unwrap_err();
    fake.on_acquire(Mood::Willing);
    let error = acquisition.await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::NotHeld(_)), "{error:?}");
    assert_eq!((renewals(&fake), fake.waits().len()), (1, 1));
}

#[tokio::test]
async fn a_grant_that_another_call_of_the_owner_ended_is_none() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    // It has had a turn, whatever came of it.
    let ended = client.release(plan_a(), client.owner_id(), None).await.unwrap();
    assert!(!ended.released);
    fake.on_renew(Mood::Refusing(not_held));
    fake.vacate(&plan_a());
    let guard = acquisition.await.unwrap().unwrap();
    assert_eq!((renewals(&fake), fake.waits().len()), (1, 2));
    guard.check().unwrap();
}

#[tokio::test]
async fn a_lease_that_a_late_release_may_end_is_given_back_first() {
    let fake = Fake::start();
    let client = fake.builder().timeout(Duration::from_millis(100)).build().unwrap();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Late);
    guard.release().await.unwrap_err();
    fake.on_release(Mood::Willing);
    assert!(fake.holds(&plan_a()));
    let guard = client.acquire(plan_a(), waiting()).await.unwrap();
    assert_eq!((guard.fencing_token(), fake.waits().len()), (2, 2));
    fake.deliver_late();
    assert!(fake.holds(&plan_a()));
}

// ---- servers that go ----

#[tokio::test]
async fn a_wait_goes_on_at_another_server_for_the_same_owner_with_what_is_left() {
    let (first, second) = (a_server_where_it_is_taken(), a_server_where_it_is_taken());
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    for ending in [shutting_down, overloaded, || Status::unavailable("gone")] {
        let acquisition = in_line(&first, &client, waiting()).await;
        first.end_waits(ending);
        second.has_in_line(1).await;
        second.end_waits(ending);
        first.has_in_line(1).await;
        first.vacate(&plan_a());
        let guard = acquisition.await.unwrap().unwrap();
        guard.check().unwrap();
        guard.release().await.unwrap();
        first.occupy(&plan_a());
    }
    let waits = [first.waits(), second.waits()].concat();
    assert_eq!(waits.len(), 9);
    assert!(waits.iter().all(|wait| wait.owner_id == client.owner_id()));
    let left: Vec<_> = first.waits().iter().map(|wait| wait.wait).collect();
    assert!(left.chunks(2).all(|pair| pair.len() < 2 || pair[1] <= pair[0]), "{left:?}");
}

#[tokio::test]
async fn a_wait_survives_a_server_that_dies() {
    let (first, second) = (a_server_where_it_is_taken(), a_server_where_it_is_taken());
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    let acquisition = in_line(&first, &client, waiting()).await;
    drop(first);
    second.has_in_line(1).await;
    second.vacate(&plan_a());
    let guard = acquisition.await.unwrap().unwrap();
    assert!(guard.retried());
    guard.check().unwrap();
}

#[tokio::test]
async fn a_wait_moves_on_when_its_server_falls_silent() {
    let (first, second) = (a_server_where_it_is_taken(), a_server_where_it_is_taken());
    let proxy = TcpProxy::start(first.address()).await;
    let silent = format!("http://{}", proxy.address());
    let client = LockClient::builder().endpoints([silent, second.url()]).build().unwrap();
    let acquisition = in_line(&first, &client, waiting()).await;
    let silent_since = Instant::now();
    proxy.stall().await;
    second.has_in_line(1).await;
    assert!(silent_since.elapsed() < Duration::from_secs(10), "its place is lost by then");
    second.vacate(&plan_a());
    acquisition.await.unwrap().unwrap().check().unwrap();
}

#[tokio::test]
async fn a_wait_without_any_server_ends_after_the_time_for_a_call() {
    let fake = a_server_where_it_is_taken();
    let client = fake.builder().timeout(Duration::from_millis(300)).build().unwrap();
    let acquisition = in_line(&fake, &client, waiting()).await;
    drop(fake);
    let error = timeout(WAIT / 2, acquisition).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { reason: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_end_a_wait_in_time_is_left() {
    let (silent, fake) = (Fake::start(), a_server_where_it_is_taken());
    silent.on_acquire(Mood::Silent);
    let client = LockClient::builder()
        .endpoints([silent.url(), fake.url()])
        .attempt_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let short = options().wait(Duration::from_millis(200));
    let error = client.acquire(plan_a(), short).await.unwrap_err();
    assert!(matches!(error, ClientError::Conflict(_)), "{error:?}");
    assert!(fake.waits().is_empty(), "nothing was left of the wait");
}

// ---- callers that go, and what else goes on ----

#[tokio::test]
async fn a_wait_that_is_dropped_gives_its_place_up_at_once() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    acquisition.abort();
    fake.has_in_line(0).await;
    let unguarded = tokio::spawn({
        let client = client.clone();
        async move { client.acquire_unguarded(plan_a(), waiting()).await }
    });
    fake.has_in_line(1).await;
    unguarded.abort();
    fake.has_in_line(0).await;
    client.flush().await;
    fake.vacate(&plan_a());
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn what_was_granted_to_a_wait_that_was_dropped_is_given_back() {
    let fake = Fake::start();
    let client = fake.client();
    // Granted, and nobody hears of it.
    fake.on_acquire(Mood::Mute(Some(Box::new(Mood::Silent))));
    let acquisition = client.acquire(plan_a(), waiting());
    let granted = async {
        let held = async || fake.holds(&plan_a()).then_some(());
        service_kit::testing::eventually("a grant", PATIENCE, held).await;
    };
    tokio::select! {
        outcome = acquisition => panic!("{outcome:?}"),
        () = granted => {}
    }
    fake.on_acquire(Mood::Willing);
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_wait_keeps_no_other_call_for_the_same_lock_waiting() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    let soon = async {
        let outcome = client.try_acquire(plan_a(), options()).await.unwrap();
        assert!(matches!(outcome, TryAcquire::Held(_)), "{outcome:?}");
        client.acquire_unguarded(plan_a(), options()).await.unwrap_err();
        assert!(!client.release(plan_a(), client.owner_id(), None).await.unwrap().released);
        client.acquire(("plan", "b"), options()).await.unwrap().release().await.unwrap();
    };
    timeout(PATIENCE, soon).await.unwrap();
    fake.vacate(&plan_a());
    acquisition.await.unwrap().unwrap().check().unwrap();
}

#[tokio::test]
async fn a_conflict_that_another_call_of_the_owner_has_overtaken_is_none() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let waited = in_line(&fake, &client, waiting()).await;
    // Has the turn for as long as it is not answered.
    fake.on_release(Mood::Silent);
    let release = tokio::spawn({
        let client = client.clone();
        async move { client.release(plan_a(), client.owner_id(), None).await }
    });
    fake.was_asked(Asked::Release("a".to_owned())).await;
    let mut other = Box::pin(client.acquire(plan_a(), options()));
    assert!(futures::poll!(&mut other).is_pending());
    // Behind it on the client's thread: so that one is next in turn.
    client.get(("plan", "b")).await.unwrap();
    fake.end_waits(conflict);
    fake.has_in_line(0).await;
    fake.vacate(&plan_a());
    fake.on_release(Mood::Willing);
    release.await.unwrap().unwrap();
    let (other, waited) = (other.await.unwrap(), waited.await.unwrap().unwrap());
    other.check().unwrap();
    assert_eq!(other.fencing_token(), waited.fencing_token());
    assert_eq!(fake.waits().len(), 2);
}

#[tokio::test]
async fn a_wait_that_is_dropped_takes_nothing_from_another_one_of_its_owner() {
    let fake = Fake::start();
    let client = fake.client();
    let twin = fake.builder().owner_id(client.owner_id()).build().unwrap();
    twin.acquire_unguarded(plan_a(), options()).await.unwrap();
    fake.occupy(&plan_a());
    let dropped = in_line(&fake, &client, waiting()).await;
    let waited = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), waiting()).await }
    });
    fake.has_in_line(2).await;
    dropped.abort();
    fake.has_in_line(1).await;
    fake.vacate(&plan_a());
    let guard = waited.await.unwrap().unwrap();
    client.flush().await;
    assert!(fake.holds(&plan_a()));
    assert_eq!(fake.count(|asked| matches!(asked, Asked::Release(_))), 0);
    guard.check().unwrap();
}

#[tokio::test]
async fn two_waits_of_one_owner_are_guards_on_one_hold() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let both = [(); 2].map(|()| {
        let client = client.clone();
        tokio::spawn(async move { client.acquire(plan_a(), waiting()).await.unwrap() })
    });
    fake.has_in_line(2).await;
    fake.vacate(&plan_a());
    let [one, other] = both;
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(one.fencing_token(), other.fencing_token());
    assert_eq!(one.release().await.unwrap(), Released::StillHeld { guards: 1 });
    other.check().unwrap();
    assert_eq!(other.release().await.unwrap(), Released::Released);
}

#[tokio::test]
async fn the_release_of_everything_ends_the_waits_of_its_owner_alone() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let acquisition = in_line(&fake, &client, waiting()).await;
    let other = client.with_new_owner();
    let anothers = tokio::spawn(async move { other.acquire(plan_a(), waiting()).await });
    fake.has_in_line(2).await;
    timeout(PATIENCE, client.release_all()).await.unwrap().unwrap();
    let error = acquisition.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some("WAIT_CANCELLED"), "{error:?}");
    assert!(error.to_string().contains("plan/a"), "{error}");
    fake.has_in_line(1).await;
    fake.vacate(&plan_a());
    anothers.await.unwrap().unwrap().check().unwrap();
    // And who comes later is not held up by what was.
    client.acquire(("plan", "b"), waiting()).await.unwrap();
}

#[tokio::test]
async fn more_waits_than_a_connection_takes_keep_nothing_else_from_its_server() {
    let fake = a_server_where_it_is_taken();
    let client = fake.client();
    let most = MOST_CALLS as usize;
    let waits: Vec<_> = (0..most + 50)
        .map(|_| {
            let client = client.with_new_owner();
            tokio::spawn(async move { client.acquire(plan_a(), waiting()).await })
        })
        .collect();
    fake.has_in_line(most).await;
    let guard = client.acquire(("plan", "b"), options().ttl(Duration::from_millis(600))).await;
    let guard = guard.unwrap();
    fake.renewed("b", 2).await;
    client.get(("plan", "b")).await.unwrap();
    guard.release().await.unwrap();
    fake.end_waits(conflict);
    fake.has_in_line(50).await;
    fake.end_waits(conflict);
    for wait in waits {
        let error = wait.await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::Conflict(_)), "{error:?}");
    }
}
