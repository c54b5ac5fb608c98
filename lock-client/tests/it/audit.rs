//! Holds that are broken, what their holders hear of it, and the trail of that.

use std::time::Duration;

use lock_client::{
    AcquireOptions, ClientError, Event, EventFilter, EventKind, LockClient, LostReason, Resource,
    StaleFilter,
};
use lock_server::testing::TestServer;
use service_kit::testing::eventually;
use tokio::time::timeout;

use crate::fake::{Fake, Mood, PATIENCE, not_held, shutting_down};

fn options(milliseconds: u64) -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_millis(milliseconds))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn of_a() -> EventFilter {
    EventFilter { resource: Some(plan_a()), ..EventFilter::default() }
}

/// A server, who holds locks there, and who breaks them.
async fn server() -> (TestServer, LockClient, LockClient) {
    let server = TestServer::start(&["--min-ttl", "100ms"]).await;
    let holder = LockClient::builder().endpoint(server.url()).owner_id("me").build().unwrap();
    let operator = LockClient::connect(server.url()).unwrap();
    (server, holder, operator)
}

async fn kinds(client: &LockClient, filter: EventFilter) -> Vec<EventKind> {
    let page = client.list_events(filter, 0, "").await.unwrap();
    page.events.iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_guard_whose_hold_is_broken_hears_by_whom_and_why() {
    let (_server, holder, operator) = server().await;
    let guard = holder.acquire(plan_a(), options(1_000)).await.unwrap();
    let token = guard.fencing_token();
    let broken = operator.force_release(plan_a(), token, "stuck since noon").await.unwrap();
    assert_eq!((&broken.resource, broken.owner_id.as_str()), (&plan_a(), "me"));
    assert_eq!((broken.fencing_token, broken.stale), (token, false));
    assert_eq!(operator.get(plan_a()).await.unwrap(), None);

    let lost = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!((lost.reason, &lost.holder), (LostReason::NotHeld, &None));
    let forced = lost.forced.as_deref().expect("by force");
    assert!(forced.released_by.starts_with("127.0.0.1"), "{forced:?}");
    assert_eq!(forced.release_reason, "stuck since noon");
    let shown = lost.to_string();
    assert_eq!(shown.matches("127.0.0.1").count(), 1, "{shown}");
    assert_eq!(shown.matches("stuck since noon").count(), 1, "{shown}");
    assert!(matches!(guard.release().await, Err(ClientError::Lost(again)) if *again == lost));
}

#[tokio::test]
async fn calls_for_a_lease_that_was_broken_say_by_whom_and_why() {
    let (_server, holder, operator) = server().await;
    let token = holder.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
    let token = token.lock.fencing_token;
    operator.force_release(plan_a(), token, "stuck").await.unwrap();
    let of_free = holder.renew(plan_a(), "me", token, None).await.unwrap_err();
    // There is nothing to end, as always.
    assert!(!holder.release(plan_a(), "me", Some(token)).await.unwrap().released);
    let next = operator.with_owner("next");
    next.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
    let renewal = holder.renew(plan_a(), "me", token, None).await.unwrap_err();
    let release = holder.release(plan_a(), "me", Some(token)).await.unwrap_err();
    for (error, holder) in [(of_free, None), (renewal, Some("next")), (release, Some("next"))] {
        assert_eq!(error.reason(), Some("LOCK_NOT_HELD"));
        let ClientError::NotHeld(not_held) = &error else { panic!("{error:?}") };
        assert_eq!((not_held.holder.as_deref(), not_held.fencing_token), (holder, Some(token)));
        let forced = error.forced().expect("by force");
        assert!(forced.released_by.starts_with("127.0.0.1"), "{forced:?}");
        assert_eq!(forced.release_reason, "stuck");
    }
}

#[tokio::test]
async fn a_hold_that_was_not_seen_is_not_broken() {
    let (_server, holder, operator) = server().await;
    let error = operator.force_release(plan_a(), 1, "stuck").await.unwrap_err();
    let ClientError::NotFound { resource, retried, .. } = &error else { panic!("{error:?}") };
    assert_eq!((resource, *retried), (&plan_a(), false));
    assert_eq!(error.reason(), Some("LOCK_NOT_FOUND"));

    let guard = holder.acquire(plan_a(), options(60_000)).await.unwrap();
    let token = guard.fencing_token();
    for asked in [token - 1, token + 1] {
        let error = operator.force_release(plan_a(), asked, "stuck").await.unwrap_err();
        let ClientError::NotHeld(now) = &error else { panic!("{error:?}") };
        assert_eq!((now.holder.as_deref(), now.fencing_token), (Some("me"), Some(token)));
        assert_eq!((&now.resource, &now.forced, now.retried), (&plan_a(), &None, false));
    }
    assert_eq!(operator.get(plan_a()).await.unwrap().unwrap().fencing_token, token);
    assert_eq!(kinds(&operator, of_a()).await, [EventKind::ForceReleaseRefused; 3]);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_named() {
    let (_server, _, operator) = server().await;
    let fields = |error: ClientError| {
        let ClientError::Invalid { violations, .. } = error else { panic!("{error:?}") };
        violations.into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    let error = operator.force_release(("Plan", ""), 0, "").await.unwrap_err();
    let wrong = ["resource.type", "resource.id", "fencing_token", "reason"];
    assert_eq!(fields(error), wrong);
    for reason in ["two\nlines".to_owned(), "x".repeat(513)] {
        let error = operator.force_release(plan_a(), 1, reason).await.unwrap_err();
        assert_eq!(fields(error), ["reason"]);
    }
    let error = operator.list_events(EventFilter::default(), -1, "").await.unwrap_err();
    assert_eq!(fields(error), ["page_size"]);
    let error = operator.list_events(EventFilter::default(), 0, "not ours").await.unwrap_err();
    assert_eq!(fields(error), ["page_token"]);
    let wrong = EventFilter { resource: Some(Resource::new("Plan", "1")), ..Default::default() };
    assert_eq!(fields(operator.list_events(wrong, 0, "").await.unwrap_err()), ["resource.type"]);
}

/// Lets the lock of `plan/a` run out, and `you` take it over and lose it by
/// force; then purges a stale lock of `plan/b`. The events, oldest first.
async fn history(holder: &LockClient, operator: &LockClient) -> Vec<Event> {
    let stale = async |id: &str| {
        let lock = holder.acquire_unguarded(("plan", id), options(100)).await.unwrap().lock;
        eventually("it runs out", PATIENCE, async || {
            operator.get(("plan", id)).await.unwrap().unwrap().stale.then_some(())
        })
        .await;
        lock.fencing_token
    };
    let old = stale("a").await;
    let taken = operator.with_owner("you").acquire_unguarded(plan_a(), options(60_000)).await;
    operator.force_release(plan_a(), old, "wrong").await.unwrap_err();
    let token = taken.unwrap().lock.fencing_token;
    operator.force_release(plan_a(), token, "stuck").await.unwrap();
    stale("b").await;
    assert_eq!(operator.purge_stale(StaleFilter::default()).await.unwrap().count, 1);

    let mut events = operator.list_events(EventFilter::default(), 0, "").await.unwrap().events;
    assert!(events.is_sorted_by(|newer, older| newer.event_id > older.event_id), "{events:?}");
    events.reverse();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    let expected = [
        EventKind::TakenOver,
        EventKind::ForceReleaseRefused,
        EventKind::ForceReleased,
        EventKind::Purged,
    ];
    assert_eq!(kinds, expected, "{events:?}");
    assert_eq!((events[0].fencing_token, events[1].fencing_token), (Some(old), Some(old)));
    assert_eq!(events[2].fencing_token, Some(token));
    events
}

#[tokio::test]
async fn the_trail_says_what_was_done_to_what_by_whom_and_why() {
    let (_server, holder, operator) = server().await;
    let events = history(&holder, &operator).await;
    let [taken, refused, broken, purged] = &events[..] else { panic!("{events:?}") };
    for event in [taken, refused, broken] {
        assert_eq!((&event.resource, event.count), (&Some(plan_a()), 1));
        assert!(event.event_time.seconds > 0, "{event:?}");
    }
    assert_eq!((taken.owner_id.as_deref(), &*taken.actor), (Some("me"), "you"));
    for (event, reason) in [(refused, "wrong"), (broken, "stuck")] {
        assert_eq!(
            (event.owner_id.as_deref(), event.reason.as_deref()),
            (Some("you"), Some(reason))
        );
        assert!(event.actor.starts_with("127.0.0.1"), "{event:?}");
    }
    assert_eq!((&purged.resource, &purged.owner_id, purged.fencing_token), (&None, &None, None));
    assert_eq!(purged.count, 1);
}

#[tokio::test]
async fn the_trail_is_read_page_by_page_by_resource_and_by_time() {
    let (_server, holder, operator) = server().await;
    let events = history(&holder, &operator).await;
    let all = EventFilter::default();
    let first = operator.list_events(all.clone(), 3, "").await.unwrap();
    assert_eq!(first.events.len(), 3);
    let second = operator.list_events(all, 3, first.next_page_token).await.unwrap();
    assert_eq!(second.events, events[..1]);
    assert_eq!(second.next_page_token, "");

    assert_eq!(kinds(&operator, of_a()).await.len(), 3);
    // From the first moment on, and before the second.
    let (start_time, end_time) = (Some(events[1].event_time), Some(events[3].event_time));
    let between = EventFilter { start_time, end_time, ..EventFilter::default() };
    let between = kinds(&operator, between).await;
    assert_eq!(between, [EventKind::ForceReleased, EventKind::ForceReleaseRefused]);
}

#[tokio::test]
async fn a_hold_that_an_unanswered_attempt_broke_is_refused_with_that_doubt() {
    let fake = Fake::start();
    let client = fake.client();
    let once = |then: Mood| Mood::Mute(Some(Box::new(then)));
    let taken = async || {
        let taken = client.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
        taken.lock.fencing_token
    };
    let token = taken().await;
    fake.on_force_release(once(Mood::Willing));
    let error = client.force_release(plan_a(), token, "stuck").await.unwrap_err();
    assert!(matches!(error, ClientError::NotFound { retried: true, .. }), "{error:?}");
    assert!(!fake.holds(&plan_a()));

    // Taken by another in between.
    let token = taken().await;
    fake.on_force_release(once(Mood::Refusing(not_held)));
    let error = client.force_release(plan_a(), token, "stuck").await.unwrap_err();
    assert!(matches!(&error, ClientError::NotHeld(now) if now.retried), "{error:?}");
}

#[tokio::test]
async fn a_server_that_stops_breaks_nothing() {
    let fake = Fake::start();
    let client = fake.builder().timeout(Duration::from_millis(300)).build().unwrap();
    let taken = client.acquire_unguarded(plan_a(), options(60_000)).await.unwrap();
    fake.on_force_release(Mood::Refusing(shutting_down));
    let token = taken.lock.fencing_token;
    let error = client.force_release(plan_a(), token, "stuck").await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    fake.on_force_release(Mood::Willing);
    // Nothing was in doubt, so nothing is said of it.
    let broken = client.force_release(plan_a(), token, "stuck").await.unwrap();
    assert_eq!(broken.fencing_token, token);
}
