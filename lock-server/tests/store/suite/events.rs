//! Breaking a hold by hand, and the audit trail of what is not ordinary.

use lock_server::domain::{
    Event, EventFilter, EventKind, Forced, ForcedBy, Outcome, ResourceType, Span, StaleFilter,
    Timestamp,
};

use crate::kit::{
    Kit, MINUTE, acquire, beside, owner, release, renew, resource, resource_of, token,
};

async fn all(kit: &Kit) -> Vec<Event> {
    kit.events(&EventFilter::default()).await
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind.unwrap()).collect()
}

fn told(outcome: Outcome) -> Option<ForcedBy> {
    match outcome {
        Outcome::NotHeld { forced, .. } => forced.map(|forced| *forced),
        other => panic!("it is held: {other:?}"),
    }
}

/// Acquire, conflict, re-entry, renewal, release and a release again.
pub(crate) async fn what_is_ordinary_leaves_no_trace(kit: Kit) {
    let plan = resource("42");
    let lock = kit.grant(&plan, "me", MINUTE).await;
    kit.apply(acquire(&plan, "me", MINUTE)).await;
    kit.apply(acquire(&plan, "you", MINUTE)).await;
    kit.apply(renew(&plan, "me", lock.token, None)).await;
    kit.apply(renew(&plan, "you", beside(lock.token), None)).await;
    kit.apply(release(&plan, "me", None)).await;
    kit.apply(release(&plan, "me", None)).await;
    kit.grant(&plan, "you", MINUTE).await;
    assert_eq!(kit.purge(&StaleFilter::default(), 10).await, 0);
    assert_eq!(all(&kit).await, []);
}

pub(crate) async fn breaks_exactly_the_hold_that_was_seen(kit: Kit) {
    let plan = resource("42");
    let lock = kit.grant(&plan, "me", MINUTE).await;
    let neighbour = kit.grant(&resource("43"), "me", MINUTE).await;
    let Forced::Released(broken) = kit.force(&plan, lock.token, "stuck").await else {
        panic!("it is not broken")
    };
    assert!(broken.is_live());
    assert_eq!((&broken.owner, broken.token), (&lock.owner, lock.token));
    assert_eq!(broken.expires_at, lock.expires_at, "the lock as it was");
    assert_eq!(kit.get(&plan).await, None);
    let left = kit.get(&resource("43")).await.unwrap();
    assert_eq!((left.token, left.expires_at), (neighbour.token, neighbour.expires_at));

    let events = all(&kit).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind, Some(EventKind::ForceReleased));
    assert_eq!(event.resource.as_ref(), Some(&plan));
    assert_eq!(event.owner.as_ref(), Some(&lock.owner));
    assert_eq!(event.token, Some(lock.token));
    assert_eq!((event.actor.as_str(), event.reason.as_str()), ("192.0.2.7", "stuck"));
    assert_eq!(event.count, 1);
    assert!(event.at >= lock.acquired_at);

    let next = kit.grant(&plan, "you", MINUTE).await;
    assert!(next.token > lock.token);
}

pub(crate) async fn breaks_a_stale_lock(kit: Kit) {
    let plan = resource("42");
    let lock = kit.grant(&plan, "me", MINUTE).await;
    kit.age(&plan, 5).await;
    let Forced::Released(broken) = kit.force(&plan, lock.token, "left behind").await else {
        panic!("it is not broken")
    };
    assert!(!broken.is_live());
    assert_eq!(kit.get(&plan).await, None);
}

pub(crate) async fn refuses_to_break_what_has_moved_on(kit: Kit) {
    let plan = resource("42");
    let first = kit.grant(&plan, "first", MINUTE).await;
    kit.apply(release(&plan, "first", None)).await;
    let second = kit.grant(&plan, "second", MINUTE).await;
    let Forced::MovedOn(now) = kit.force(&plan, first.token, "stuck").await else {
        panic!("it is not refused")
    };
    assert_eq!((&now.owner, now.token), (&second.owner, second.token));
    assert_eq!(kit.get(&plan).await.unwrap().expires_at, second.expires_at);
    let renewed = kit.apply(renew(&plan, "second", second.token, None)).await;
    assert!(matches!(renewed, Outcome::Renewed(_)), "{renewed:?}");
    kit.apply(release(&plan, "second", None)).await;
    assert_eq!(kit.force(&plan, second.token, "too late").await, Forced::Free);
    assert_eq!(kit.force(&resource("never seen"), token(1), "a typo").await, Forced::Free);
    assert_eq!(kit.force(&plan, token(u64::MAX), "absurd").await, Forced::Free);

    let events = all(&kit).await;
    assert_eq!(kinds(&events), [EventKind::ForceReleaseRefused; 4]);
    let owners: Vec<_> = events.iter().map(|event| event.owner.clone()).collect();
    assert_eq!(owners, [None, None, None, Some(owner("second"))]);
    assert_eq!(events[3].token, Some(first.token), "the token that was asked for");
    assert_eq!(events[1].resource, Some(resource("never seen")));
    assert_eq!(events[1].reason, "a typo");
}

pub(crate) async fn who_was_broken_is_told_by_whom_and_why(kit: Kit) {
    let plan = resource("42");
    let lock = kit.grant(&plan, "me", MINUTE).await;
    kit.force(&plan, lock.token, "stuck, see #7").await;
    let by = Some(ForcedBy { actor: "192.0.2.7".into(), reason: "stuck, see #7".into() });
    assert_eq!(told(kit.apply(renew(&plan, "me", lock.token, None)).await), by);
    let again = release(&plan, "me", Some(lock.token));
    assert_eq!(kit.apply(again.clone()).await, Outcome::Released { ended: false });

    // And when somebody else has it by then, with the holder; nobody else is.
    let next = kit.grant(&plan, "you", MINUTE).await;
    let outcomes = kit
        .store
        .apply_now(&[
            renew(&plan, "me", lock.token, None),
            renew(&plan, "other", lock.token, None),
            renew(&plan, "me", next.token, None),
            again,
        ])
        .await
        .unwrap();
    let outcomes: Vec<_> = outcomes.into_iter().map(Option::unwrap).collect();
    for outcome in &outcomes {
        let Outcome::NotHeld { holder, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(holder.as_ref(), Some(&next.owner));
    }
    let told: Vec<_> = outcomes.into_iter().map(told).collect();
    assert_eq!(told, [by.clone(), None, None, by]);

    // A hold that came to an ordinary end was not broken.
    kit.apply(release(&plan, "you", None)).await;
    let Outcome::NotHeld { forced, .. } = kit.apply(renew(&plan, "you", next.token, None)).await
    else {
        panic!("it is held")
    };
    assert_eq!(forced, None);
}

/// Each on its own, and many in a batch.
pub(crate) async fn a_takeover_is_written_down(kit: Kit) {
    let plan = resource("42");
    let lock = kit.grant(&plan, "me", MINUTE).await;
    kit.age(&plan, 5).await;
    let taken = kit.grant(&plan, "you", MINUTE).await;
    assert!(taken.token > lock.token);
    let events = all(&kit).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind, Some(EventKind::TakenOver));
    assert_eq!((event.resource.as_ref(), event.owner.as_ref()), (Some(&plan), Some(&lock.owner)));
    assert_eq!((event.token, event.actor.as_str()), (Some(lock.token), "you"));

    // One's own, too.
    kit.age(&plan, 5).await;
    let own = kit.grant(&plan, "you", MINUTE).await;
    assert!(own.token > taken.token);
    let newest = all(&kit).await.remove(0);
    assert_eq!((newest.token, newest.actor.as_str()), (Some(taken.token), "you"));

    // Among what is free, held, new and one's own.
    for id in ["a", "b", "c", "free", "held", "own"] {
        kit.grant(&resource(id), if id == "own" { "taker" } else { "me" }, MINUTE).await;
    }
    kit.apply(release(&resource("free"), "me", None)).await;
    for id in ["a", "b", "c"] {
        kit.age(&resource(id), 1).await;
    }
    let ids = ["held", "c", "new", "a", "own", "free", "b"];
    let batch = ids.map(|id| acquire(&resource(id), "taker", MINUTE));
    let outcomes = kit.store.apply_now(&batch).await.unwrap();
    for (id, outcome) in ids.iter().zip(outcomes) {
        match (*id, outcome.unwrap()) {
            ("held", Outcome::Conflict { .. }) => {}
            ("own", Outcome::Granted { reentrant: true, .. }) => {}
            (id, Outcome::Granted { lock, reentrant: false }) => {
                assert_eq!(lock.resource, resource(id));
                let now = kit.get(&resource(id)).await.unwrap();
                assert_eq!((now.token, now.expires_at), (lock.token, lock.expires_at));
            }
            (id, other) => panic!("{id}: {other:?}"),
        }
    }
    let mut taken: Vec<_> =
        all(&kit).await.into_iter().take_while(|event| event.actor == "taker").collect();
    taken.sort_by_key(|event| event.resource.clone());
    let resources: Vec<_> = taken.iter().map(|event| event.resource.clone().unwrap()).collect();
    assert_eq!(resources, ["a", "b", "c"].map(resource));
}

/// The event says what was freed by the run in all, and only if any was.
pub(crate) async fn a_purge_is_one_event(kit: Kit) {
    for id in 0..5 {
        let plan = resource(&id.to_string());
        kit.grant(&plan, "me", MINUTE).await;
        kit.age(&plan, 100).await;
    }
    kit.grant(&resource_of("build", "x"), "me", MINUTE).await;
    let plans = StaleFilter {
        kind: Some(ResourceType::parse("plan").unwrap()),
        older_than: Span::from_micros(50_000_000),
    };
    assert_eq!(kit.purge_run(&plans, 2).await, 5);
    assert_eq!(kit.purge_run(&plans, 2).await, 0);
    let events = all(&kit).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind, event.count), (Some(EventKind::Purged), 5));
    assert_eq!((&event.resource, &event.owner, event.token), (&None, &None, None));
    assert_eq!(event.actor, "sweeper");
    assert_eq!(event.reason, "stale for 50000 ms or longer, of plan");
}

pub(crate) async fn events_are_listed_newest_first_by_resource_and_time(kit: Kit) {
    for number in 1..=5 {
        kit.force(&resource("a"), token(number), "one").await;
        kit.force(&resource("b"), token(number), "other").await;
    }
    let events = all(&kit).await;
    assert_eq!(events.len(), 10);
    assert!(events.is_sorted_by(|one, next| (one.at, one.id) > (next.at, next.id)));
    let a = EventFilter { resource: Some(resource("a")), ..EventFilter::default() };
    let tokens = |events: &[Event]| -> Vec<_> {
        events.iter().map(|event| event.token.unwrap().get()).collect()
    };
    assert_eq!(tokens(&kit.events(&a).await), [5, 4, 3, 2, 1]);

    // Pages.
    let first = kit.store.events(&a, None, 2).await.unwrap();
    assert_eq!(tokens(&first.events), [5, 4]);
    let second = kit.store.events(&a, first.next, 2).await.unwrap();
    assert_eq!(tokens(&second.events), [3, 2]);
    let last = kit.store.events(&a, second.next, 2).await.unwrap();
    assert_eq!((tokens(&last.events), last.next), (vec![1], None));

    // Times: the start is in, the end is not. Two may share a moment.
    let of_a = kit.events(&a).await;
    let (from, to) = (of_a[3].at, of_a[1].at);
    let between = EventFilter { start: Some(from), end: Some(to), ..a };
    let expected: Vec<_> =
        of_a.iter().filter(|event| event.at >= from && event.at < to).cloned().collect();
    assert_eq!(kit.events(&between).await, expected);
    let before = EventFilter { end: Some(Timestamp::default()), ..EventFilter::default() };
    assert_eq!(kit.events(&before).await, []);
}

pub(crate) async fn old_events_are_forgotten(kit: Kit) {
    for number in 1..=3 {
        kit.force(&resource("a"), token(number), "why").await;
    }
    const DAY: Span = Span::from_micros(86_400_000_000);
    assert_eq!(kit.store.forget_events(DAY, 10).await.unwrap(), 0);
    kit.sql_of(
        "UPDATE lock_events SET event_time = event_time - 90000000000 WHERE fencing_token < 3",
        "UPDATE lock_events SET event_time = event_time - interval '25 h' WHERE fencing_token < 3",
    )
    .await;
    assert_eq!(kit.store.forget_events(DAY, 1).await.unwrap(), 1);
    assert_eq!(kit.store.forget_events(DAY, 10).await.unwrap(), 1);
    let left = all(&kit).await;
    assert_eq!(left.iter().map(|event| event.token).collect::<Vec<_>>(), [Some(token(3))]);
}
