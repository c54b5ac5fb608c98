//! Taking resources.

use lock_server::domain::{Outcome, Span};

use crate::kit::{Kit, MINUTE, acquire, acquire_with, metadata, resource, resource_of};

pub(crate) async fn grants_a_free_resource(kit: Kit) {
    let plan = resource("42");
    assert_eq!(kit.get(&plan).await, None);
    let outcome = kit.apply(acquire_with(&plan, "me", MINUTE, &[("host", "a")])).await;
    let Outcome::Granted { lock, reentrant: false } = outcome else { panic!("{outcome:?}") };
    assert_eq!(lock.resource, plan);
    assert_eq!(lock.owner.as_str(), "me");
    assert_eq!(lock.acquired_at, lock.renewed_at);
    assert_eq!(lock.expires_at, lock.acquired_at.plus(MINUTE));
    assert_eq!(lock.ttl, MINUTE);
    assert_eq!(lock.metadata, metadata(&[("host", "a")]));
    assert!(lock.is_live() && lock.remaining() <= MINUTE);
    let found = kit.get(&plan).await.unwrap();
    assert_eq!(lock_server::domain::Lock { now: lock.now, ..found }, lock);
}

pub(crate) async fn reenters_a_live_lock(kit: Kit) {
    let plan = resource("42");
    let first = kit.apply(acquire_with(&plan, "me", MINUTE, &[("host", "a")])).await;
    let Outcome::Granted { lock: first, .. } = first else { panic!("{first:?}") };
    let twice = Span::from_micros(2 * MINUTE.micros());
    let again = kit.apply(acquire(&plan, "me", twice)).await;
    let Outcome::Granted { lock: again, reentrant: true } = again else { panic!("{again:?}") };
    assert_eq!(again.token, first.token);
    assert_eq!(again.acquired_at, first.acquired_at);
    assert_eq!(again.ttl, twice);
    assert!(again.renewed_at >= first.renewed_at);
    assert_eq!(again.expires_at, again.renewed_at.plus(twice));
    assert_eq!(again.metadata, first.metadata, "a call that brings none keeps what was there");
    let third = kit.apply(acquire_with(&plan, "me", twice, &[("step", "2")])).await;
    let Outcome::Granted { lock: third, reentrant: true } = third else { panic!("{third:?}") };
    assert_eq!(third.metadata, metadata(&[("step", "2")]));
}

pub(crate) async fn a_reentry_extends_only_forward(kit: Kit) {
    let plan = resource("42");
    let first = kit.grant(&plan, "me", MINUTE).await;
    let second = Span::from_micros(1_000_000);
    let again = kit.apply(acquire_with(&plan, "me", second, &[("step", "2")])).await;
    let Outcome::Granted { lock: again, reentrant: true } = again else { panic!("{again:?}") };
    assert_eq!(again.expires_at, first.expires_at);
    assert_eq!(again.renewed_at, first.renewed_at);
    assert_eq!(again.ttl, first.ttl);
    assert_eq!(again.metadata, metadata(&[("step", "2")]), "metadata follows all the same");
}

pub(crate) async fn conflicts_with_another_owner(kit: Kit) {
    let plan = resource("42");
    let held = kit.apply(acquire_with(&plan, "me", MINUTE, &[("host", "a")])).await;
    let Outcome::Granted { lock: held, .. } = held else { panic!("{held:?}") };
    let outcome = kit.apply(acquire(&plan, "you", MINUTE)).await;
    let Outcome::Conflict { holder } = outcome else { panic!("{outcome:?}") };
    assert!(holder.is_live());
    assert_eq!(lock_server::domain::Lock { now: held.now, ..holder }, held);
    assert_eq!(kit.get(&plan).await.unwrap().token, held.token, "nothing changed");
}

pub(crate) async fn takes_over_a_stale_lock(kit: Kit) {
    let plan = resource("42");
    let old = kit.apply(acquire_with(&plan, "me", MINUTE, &[("host", "a")])).await;
    let Outcome::Granted { lock: old, .. } = old else { panic!("{old:?}") };
    kit.age(&plan, 1).await;
    let stale = kit.get(&plan).await.unwrap();
    assert!(!stale.is_live());
    assert_eq!(stale.remaining(), Span::ZERO);
    let new = kit.grant(&plan, "you", MINUTE).await;
    assert!(new.token > old.token);
    assert!(new.acquired_at > old.acquired_at);
    assert!(new.metadata.is_empty(), "the old holder's metadata is gone");
}

pub(crate) async fn grants_ones_own_stale_lock_anew(kit: Kit) {
    let plan = resource("42");
    let old = kit.grant(&plan, "me", MINUTE).await;
    kit.age(&plan, 1).await;
    let new = kit.grant(&plan, "me", MINUTE).await;
    assert!(new.token > old.token);
}

pub(crate) async fn ids_are_compared_byte_for_byte(kit: Kit) {
    let ids =
        ["a", "A", "a ", "ä", "a\u{308}", "'; DROP TABLE locks; --", "%", "_", "🔒", "\u{202e}"];
    for id in ids {
        kit.grant(&resource(id), "me", MINUTE).await;
    }
    kit.grant(&resource_of("project", "a"), "you", MINUTE).await;
    for id in ids {
        let lock = kit.get(&resource(id)).await.unwrap();
        assert_eq!((lock.resource.id(), lock.owner.as_str()), (id, "me"));
    }
}
