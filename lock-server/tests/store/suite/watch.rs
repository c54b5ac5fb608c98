//! Watching: what happens is told once, in order, and what a page has seen.

use lock_server::domain::{
    IdPrefix, LockEvent, LockEventKind, Outcome, OwnerId, Resource, Span, StaleFilter, WatchFilter,
};

use crate::kit::{Kit, MINUTE, acquire, release, renew, resource};

const ALL: WatchFilter = WatchFilter::Many { kind: None, id_prefix: IdPrefix::ALL };

/// What has happened since it was asked last: of what, and to which hold.
pub(super) async fn told(kit: &Kit, renewals: bool) -> Vec<(LockEventKind, String, u64)> {
    let mut told = Vec::new();
    loop {
        let changes = kit.store.changes(renewals).await.unwrap();
        let said = |LockEvent { kind, lock, .. }: LockEvent| {
            (kind, lock.resource.id().to_owned(), lock.token.get())
        };
        told.extend(changes.list.into_iter().map(said));
        if !changes.more {
            return told;
        }
    }
}

pub(crate) async fn what_happens_is_told_once(kit: Kit) {
    let [one, other] = [resource("1"), resource("2")];
    kit.grant(&resource("before"), "me", MINUTE).await;
    assert!(kit.store.changes(false).await.is_err(), "nobody watches");
    kit.store.watch(false).await.unwrap();
    assert_eq!(told(&kit, false).await, []);
    let first = kit.grant(&one, "me", MINUTE).await.token.get();
    let second = kit.grant(&other, "me", MINUTE).await;
    kit.apply(renew(&other, "me", second.token, None)).await;
    kit.apply(acquire(&other, "me", MINUTE)).await;
    kit.apply(acquire(&other, "you", MINUTE)).await;
    kit.apply(release(&one, "me", None)).await;
    kit.apply(release(&one, "me", None)).await;
    let again = kit.grant(&one, "you", MINUTE).await.token.get();
    let mut told_now = told(&kit, false).await;
    told_now.sort_by(|one, next| one.1.cmp(&next.1));
    assert_eq!(
        told_now,
        [
            (LockEventKind::Acquired, "1".to_owned(), first),
            (LockEventKind::Released, "1".to_owned(), first),
            (LockEventKind::Acquired, "1".to_owned(), again),
            (LockEventKind::Acquired, "2".to_owned(), second.token.get()),
        ]
    );
    assert_eq!(told(&kit, false).await, []);
    // With the renewals from now on, and then without them again.
    kit.apply(release(&one, "you", None)).await;
    kit.store.watch_renewals().await.unwrap();
    kit.apply(renew(&other, "me", second.token, None)).await;
    assert_eq!(
        told(&kit, true).await,
        [
            (LockEventKind::Released, "1".to_owned(), again),
            (LockEventKind::Renewed, "2".to_owned(), second.token.get()),
        ]
    );
    assert_eq!(told(&kit, false).await, []);
    // Who begins anew is told nothing of what was before.
    kit.apply(release(&other, "me", None)).await;
    kit.store.watch(false).await.unwrap();
    assert_eq!(told(&kit, false).await, []);
}

/// In one batch, and in one statement where there is one.
pub(crate) async fn what_a_batch_does_is_told(kit: Kit) {
    const MANY: usize = 300;
    let ids: Vec<Resource> = (0..MANY).map(|id| resource(&format!("r{id:03}"))).collect();
    kit.store.watch(true).await.unwrap();
    let all = |by: &str| ids.iter().map(|id| acquire(id, by, MINUTE)).collect::<Vec<_>>();
    let mut tokens = Vec::new();
    // A new row, a grant in place, a takeover.
    for round in 0..3 {
        let outcomes = kit.store.apply_now(&all("me")).await.unwrap();
        let granted = outcomes.into_iter().map(|outcome| match outcome.unwrap() {
            Outcome::Granted { lock, reentrant: false } => lock.token.get(),
            other => panic!("not a grant: {other:?}"),
        });
        tokens = granted.collect();
        let mut told_now = told(&kit, true).await;
        told_now.retain(|(kind, ..)| *kind != LockEventKind::Expired);
        told_now.sort_by(|one, next| one.1.cmp(&next.1));
        let kind = if round < 2 { LockEventKind::Acquired } else { LockEventKind::TakenOver };
        let expected: Vec<_> =
            ids.iter().zip(&tokens).map(|(id, token)| (kind, id.id().to_owned(), *token)).collect();
        assert_eq!(told_now, expected, "round {round}");
        match round {
            0 => {
                let (some, others) = ids.split_at(MANY / 2);
                let mut mixed: Vec<_> = some.iter().map(|id| release(id, "me", None)).collect();
                mixed.extend(others.iter().map(|id| release(id, "me", None)));
                mixed.push(acquire(&resource("beside"), "me", MINUTE));
                kit.store.apply_now(&mixed).await.unwrap();
                let mut told_now = told(&kit, true).await;
                assert_eq!(told_now.len(), MANY + 1);
                told_now.retain(|(kind, ..)| *kind == LockEventKind::Released);
                assert_eq!(told_now.len(), MANY);
            }
            1 => {
                for id in &ids {
                    kit.age(id, 1).await;
                }
            }
            _ => {}
        }
    }
    let renewals: Vec<_> = ids
        .iter()
        .zip(&tokens)
        .map(|(id, token)| renew(id, "me", crate::kit::token(*token), None))
        .collect();
    kit.store.apply_now(&renewals).await.unwrap();
    assert_eq!(told(&kit, true).await.len(), MANY);
    let owner = OwnerId::parse("me").unwrap();
    kit.store.release_owner(&owner, 1_000).await.unwrap();
    let told_now = told(&kit, true).await;
    assert!(told_now.iter().all(|(kind, ..)| *kind == LockEventKind::Released), "{told_now:?}");
    assert_eq!(told_now.len(), MANY + 1);
}

/// Nobody has looked for it yet: who releases it says so, alone and in a statement
/// with grants.
pub(crate) async fn a_release_tells_that_the_lease_had_run_out(kit: Kit) {
    let ids: Vec<Resource> = (0..4).map(|id| resource(&format!("r{id}"))).collect();
    kit.store.watch(false).await.unwrap();
    let mut tokens = Vec::new();
    for id in &ids {
        tokens.push(kit.grant(id, "me", MINUTE).await.token.get());
        kit.age(id, 5).await;
    }
    let (alone, with_grants) = ids.split_first().unwrap();
    kit.apply(release(alone, "me", None)).await;
    let mut mixed: Vec<_> = with_grants.iter().map(|id| release(id, "me", None)).collect();
    mixed.push(acquire(&resource("beside"), "me", MINUTE));
    kit.store.apply_now(&mixed).await.unwrap();
    let told_now = told(&kit, false).await;
    for (id, token) in ids.iter().zip(tokens) {
        let of_it = told_now.iter().filter(|(_, other, _)| other == id.id());
        let of_it: Vec<_> = of_it.map(|(kind, _, token)| (*kind, *token)).collect();
        let kinds = [LockEventKind::Acquired, LockEventKind::Expired, LockEventKind::Released];
        assert_eq!(of_it, kinds.map(|kind| (kind, token)), "{id}");
    }
}

pub(crate) async fn what_has_run_out_is_told_once(kit: Kit) {
    let [one, other] = [resource("1"), resource("2")];
    for id in [&one, &other] {
        kit.grant(id, "me", MINUTE).await;
    }
    kit.store.watch(false).await.unwrap();
    assert_eq!(told(&kit, false).await, []);
    kit.age(&one, 5).await;
    kit.age(&other, 7).await;
    // Freed before it was looked for: it is told all the same.
    assert_eq!(kit.purge(&StaleFilter::default(), 1).await, 1);
    let mut kinds = Vec::new();
    service_kit::testing::eventually(
        "both are told",
        std::time::Duration::from_secs(20),
        async || {
            kinds.extend(told(&kit, false).await.into_iter().map(|(kind, ..)| kind));
            (kinds.len() == 3).then_some(())
        },
    )
    .await;
    assert_eq!(kinds.iter().filter(|kind| **kind == LockEventKind::Expired).count(), 2);
    let first_end = kinds.iter().position(|kind| *kind == LockEventKind::Purged).unwrap();
    assert!(kinds[..first_end].contains(&LockEventKind::Expired), "{kinds:?}");
    assert_eq!(kit.purge(&StaleFilter::default(), 1).await, 1);
    let told_now = told(&kit, false).await;
    let [(LockEventKind::Purged, ..)] = &told_now[..] else { panic!("{told_now:?}") };
}

/// What runs out is told by that clock, so what the page shows must go by it, too.
pub(crate) async fn a_page_goes_by_its_clock(kit: Kit) {
    kit.grant(&resource("1"), "me", MINUTE).await;
    for _ in 0..500 {
        let page = kit.store.watched(&ALL, None, 10).await.unwrap();
        assert_eq!(page.locks[0].now, page.now);
    }
}

/// Of each thing that happens, either the page has seen it, or it is told and the
/// page says that it has not seen it.
pub(crate) async fn a_page_says_what_it_has_seen(kit: Kit) {
    kit.store.watch(false).await.unwrap();
    let [one, other, third] = [resource("1"), resource("2"), resource("3")];
    kit.grant(&one, "me", MINUTE).await;
    kit.grant(&other, "me", MINUTE).await;
    let first = kit.store.watched(&ALL, None, 1).await.unwrap();
    assert_eq!((first.locks[0].resource.id(), &first.next), ("1", &Some(one.clone())));
    kit.apply(release(&one, "me", None)).await;
    kit.grant(&third, "me", MINUTE).await;
    let second = kit.store.watched(&ALL, first.next.as_ref(), 10).await.unwrap();
    let ids: Vec<_> = second.locks.iter().map(|lock| lock.resource.id()).collect();
    assert_eq!((ids, &second.next), (vec!["2", "3"], &None));
    assert!(second.now >= first.now);
    kit.apply(release(&third, "me", None)).await;
    let mut seen = Vec::new();
    for event in kit.store.changes(false).await.unwrap().list {
        let by = |page: &lock_server::domain::WatchPage| page.seen.has_seen(event.transaction);
        seen.push((event.lock.resource.id().to_owned(), event.kind, by(&first), by(&second)));
    }
    seen.sort_by(|one, next| one.0.cmp(&next.0));
    let (acquired, released) = (LockEventKind::Acquired, LockEventKind::Released);
    assert_eq!(
        seen,
        [
            ("1".to_owned(), acquired, true, true),
            ("1".to_owned(), released, false, true),
            ("2".to_owned(), acquired, true, true),
            ("3".to_owned(), acquired, false, true),
            ("3".to_owned(), released, false, false),
        ]
    );
    let none = kit.store.watched(&WatchFilter::One(third.clone()), None, 10).await.unwrap();
    assert_eq!((none.locks, none.next), (vec![], None));
    let held = kit.store.watched(&WatchFilter::One(other.clone()), None, 10).await.unwrap();
    assert_eq!(held.locks.len(), 1);
    assert_eq!(held.locks[0].ttl, Span::from_micros(MINUTE.micros()));
}
