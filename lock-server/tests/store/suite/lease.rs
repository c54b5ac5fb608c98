//! Keeping locks and giving them back.

use lock_server::domain::{Outcome, Span};

use crate::kit::{
    Kit, MINUTE, acquire, beside, owner, release, renew, resource, resource_of, token,
};

const SECOND: Span = Span::from_micros(1_000_000);

pub(crate) async fn renews_later_and_sooner(kit: Kit) {
    let plan = resource("42");
    let held = kit.grant(&plan, "me", MINUTE).await;
    for (ttl, expected) in [
        (Some(Span::from_micros(2 * MINUTE.micros())), Span::from_micros(2 * MINUTE.micros())),
        (Some(SECOND), SECOND),
        // Unset: as last granted.
        (None, SECOND),
    ] {
        let outcome = kit.apply(renew(&plan, "me", held.token, ttl)).await;
        let Outcome::Renewed(lock) = outcome else { panic!("{outcome:?}") };
        assert_eq!(lock.token, held.token);
        assert_eq!(lock.acquired_at, held.acquired_at);
        assert_eq!(lock.ttl, expected);
        assert_eq!(lock.expires_at, lock.renewed_at.plus(expected));
        assert!(lock.renewed_at >= held.renewed_at);
    }
}

pub(crate) async fn never_brings_a_lease_back(kit: Kit) {
    let plan = resource("42");
    let held = kit.grant(&plan, "me", MINUTE).await;
    kit.age(&plan, 5).await;
    let stale = kit.get(&plan).await.unwrap();
    let outcome = kit.apply(renew(&plan, "me", held.token, None)).await;
    assert_eq!(outcome, Outcome::Expired { expired_at: stale.expires_at });
    assert!(!kit.get(&plan).await.unwrap().is_live());
    // Once somebody else was granted, it is not the caller's last grant any more.
    kit.grant(&plan, "you", MINUTE).await;
    let outcome = kit.apply(renew(&plan, "me", held.token, None)).await;
    assert_eq!(outcome, Outcome::not_held(Some(owner("you"))));
    kit.age(&plan, 1).await;
    let outcome = kit.apply(renew(&plan, "me", held.token, None)).await;
    assert_eq!(outcome, Outcome::not_held(None), "a stale lock has no holder");
}

pub(crate) async fn tells_why_it_does_not_renew(kit: Kit) {
    let plan = resource("42");
    let not_held = Outcome::not_held(None);
    assert_eq!(kit.apply(renew(&plan, "me", token(1), None)).await, not_held, "never there");
    let held = kit.grant(&plan, "me", MINUTE).await;
    let wrong = kit.apply(renew(&plan, "me", beside(held.token), None)).await;
    assert_eq!(wrong, not_held, "one's own, under another token");
    let beyond = kit.apply(renew(&plan, "me", token(u64::MAX), None)).await;
    assert_eq!(beyond, not_held, "a token that no table holds");
    let others = kit.apply(renew(&plan, "you", held.token, None)).await;
    assert_eq!(others, Outcome::not_held(Some(owner("me"))));
    kit.apply(release(&plan, "me", None)).await;
    let released = kit.apply(renew(&plan, "me", held.token, None)).await;
    assert_eq!(released, not_held, "released");
    assert_eq!(kit.get(&plan).await, None);
}

pub(crate) async fn releases_once(kit: Kit) {
    let plan = resource("42");
    let never = kit.apply(release(&plan, "me", None)).await;
    assert_eq!(never, Outcome::Released { ended: false });
    let held = kit.grant(&plan, "me", MINUTE).await;
    let first = kit.apply(release(&plan, "me", Some(held.token))).await;
    assert_eq!(first, Outcome::Released { ended: true });
    assert_eq!(kit.get(&plan).await, None);
    for token in [None, Some(held.token)] {
        let again = kit.apply(release(&plan, "me", token)).await;
        assert_eq!(again, Outcome::Released { ended: false });
    }
}

pub(crate) async fn releases_only_ones_own(kit: Kit) {
    let plan = resource("42");
    let held = kit.grant(&plan, "me", MINUTE).await;
    for token in [None, Some(held.token), Some(beside(held.token))] {
        let others = kit.apply(release(&plan, "you", token)).await;
        assert_eq!(others, Outcome::not_held(Some(owner("me"))));
    }
    let wrong = kit.apply(release(&plan, "me", Some(beside(held.token)))).await;
    assert_eq!(wrong, Outcome::not_held(None));
    assert!(kit.get(&plan).await.unwrap().is_live());
}

pub(crate) async fn a_release_of_a_stale_lock(kit: Kit) {
    let plan = resource("42");
    let held = kit.grant(&plan, "me", MINUTE).await;
    kit.age(&plan, 1).await;
    let not_ended = Outcome::Released { ended: false };
    assert_eq!(kit.apply(release(&plan, "you", None)).await, not_ended);
    assert_eq!(kit.apply(release(&plan, "me", Some(beside(held.token)))).await, not_ended);
    assert!(kit.get(&plan).await.is_some(), "nothing changed");
    assert_eq!(kit.apply(release(&plan, "me", Some(held.token))).await, not_ended);
    assert_eq!(kit.get(&plan).await, None, "one's own is free afterwards");
}

pub(crate) async fn a_released_resource_keeps_its_token(kit: Kit) {
    let plan = resource("42");
    let mut last = None;
    for round in 0..50 {
        let by = format!("owner-{round}");
        let lock = kit.grant(&plan, &by, MINUTE).await;
        assert!(Some(lock.token) > last, "{last:?} then {:?}", lock.token);
        last = Some(lock.token);
        kit.apply(release(&plan, &by, None)).await;
    }
}

pub(crate) async fn releases_everything_of_an_owner(kit: Kit) {
    for id in 0..5 {
        kit.grant(&resource(&format!("mine-{id}")), "me", MINUTE).await;
    }
    kit.grant(&resource_of("project", "mine"), "me", MINUTE).await;
    let theirs = resource("theirs");
    kit.grant(&theirs, "you", MINUTE).await;
    kit.age(&resource("mine-0"), 1).await;
    let (mut rows, mut live) = (0, 0);
    loop {
        let freed = kit.store.release_owner(&owner("me"), 2).await.unwrap();
        assert!(freed.rows <= 2);
        rows += freed.rows;
        live += freed.live;
        if freed.rows == 0 {
            break;
        }
    }
    assert_eq!((rows, live), (6, 5));
    assert_eq!(kit.get(&resource("mine-0")).await, None);
    assert!(kit.get(&theirs).await.unwrap().is_live());
    let outcome = kit.apply(acquire(&resource("mine-1"), "you", MINUTE)).await;
    assert!(matches!(outcome, Outcome::Granted { reentrant: false, .. }), "{outcome:?}");
}
