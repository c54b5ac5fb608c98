//! Batches that wait for a row: what they decide is decided when the wait is
//! over, also for those who only waited along. A batch does not wait for long,
//! and then leaves the row out.

use std::time::Duration;

use lock_server::domain::{Command, Lock, Outcome, Span, Timestamp};

use super::stage::Stage;
use crate::kit::{MINUTE, acquire, release, renew, resource};

const TTL: Span = Span::from_micros(300_000);

/// What is left of a lease when a batch that outlasts it begins: less than a
/// batch waits for a row.
const LEFT: Span = Span::from_micros(40_000);

/// How often a batch may be left out because the machine was slow.
const ATTEMPTS: usize = 20;

async fn stage() -> Stage {
    Stage::set(Duration::from_secs(60)).await
}

async fn granted(stage: &Stage, id: &str, ttl: Span) -> Lock {
    let outcomes = stage.store.apply(&[acquire(&resource(id), "me", ttl)]).await.unwrap();
    super::stage::granted(&outcomes)
}

/// Carries out a batch whose first resource, `a`, is locked by somebody else
/// until the lease of the lock has run out.
async fn held_up(stage: &mut Stage, lock: &Lock, batch: Vec<Command>) -> Vec<Option<Outcome>> {
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = 'a' FOR UPDATE").await;
    stage.until_left(lock, LEFT).await;
    let waiting = stage.stuck_batch(batch).await;
    stage.until_left(lock, Span::ZERO).await;
    stage.sql("ROLLBACK").await;
    waiting.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_release_that_waited_past_its_lease_in_a_batch_ended_none() {
    let mut stage = stage().await;
    for _ in 0..ATTEMPTS {
        let lock = granted(&stage, "a", TTL).await;
        let batch = vec![release(&resource("a"), "me", Some(lock.token))];
        let outcomes = held_up(&mut stage, &lock, batch).await;
        if outcomes[0].is_none() {
            // Left out: nothing has happened to it.
            let now = stage.store.get(&resource("a")).await.unwrap().unwrap();
            assert_eq!(now.expires_at, lock.expires_at);
            continue;
        }
        assert_eq!(outcomes, [Some(Outcome::Released { ended: false })]);
        assert_eq!(stage.store.get(&resource("a")).await.unwrap(), None);
        return;
    }
    panic!("it was left out each time");
}

#[tokio::test]
async fn a_reentry_that_waited_past_its_lease_in_a_batch_is_a_new_grant() {
    let mut stage = stage().await;
    for _ in 0..ATTEMPTS {
        let lock = granted(&stage, "a", TTL).await;
        let batch = vec![acquire(&resource("a"), "me", MINUTE)];
        match &held_up(&mut stage, &lock, batch).await[0] {
            None => assert!(!stage.store.get(&resource("a")).await.unwrap().unwrap().is_live()),
            Some(Outcome::Granted { lock: again, reentrant }) => {
                assert!(!reentrant, "{again:?} after {lock:?}");
                assert!(again.token > lock.token);
                assert!(again.acquired_at >= lock.expires_at, "granted while the old lease ran");
                assert_eq!(again.expires_at, again.acquired_at.plus(MINUTE));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it was left out each time");
}

/// A renewal does not wait in a batch: it is left out at once, and the lease
/// stays as it is.
#[tokio::test]
async fn a_renewal_whose_row_is_locked_is_left_out_and_not_brought_back_later() {
    let mut stage = stage().await;
    let lock = granted(&stage, "a", TTL).await;
    let neighbour = granted(&stage, "b", MINUTE).await;
    let batch = vec![
        renew(&resource("a"), "me", lock.token, Some(MINUTE)),
        renew(&resource("b"), "me", neighbour.token, None),
    ];
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = 'a' FOR UPDATE").await;
    let outcomes = stage.store.apply_now(&batch).await.unwrap();
    assert_eq!(outcomes[0], None);
    assert!(matches!(&outcomes[1], Some(Outcome::Renewed(lock)) if lock.token == neighbour.token));
    stage.until_left(&lock, Span::ZERO).await;
    assert_eq!(stage.store.apply_now(&batch[..1]).await.unwrap(), [None]);
    stage.sql("ROLLBACK").await;
    let expired = Some(Outcome::Expired { expired_at: lock.expires_at });
    assert_eq!(stage.store.apply_now(&batch[..1]).await.unwrap(), [expired]);
    assert!(!stage.store.get(&resource("a")).await.unwrap().unwrap().is_live());
}

/// The row that is waited for is another one: the clock counts for those who
/// wait along, too.
#[tokio::test]
async fn who_waits_along_past_its_lease_is_not_brought_back() {
    let mut stage = stage().await;
    // The kinds that wait for a row, with the kinds that can be hurt by it.
    for (releases, is_released) in [(false, false), (true, true), (true, false), (false, true)] {
        stage.store.apply(&[acquire(&resource("a"), "me", MINUTE)]).await.unwrap();
        let id = format!("b-{releases}-{is_released}");
        let lock = granted(&stage, &id, TTL).await;
        let command = |id: &str, releases| match releases {
            true => release(&resource(id), "me", None),
            false => acquire(&resource(id), "me", MINUTE),
        };
        let batch = vec![command("a", releases), command(&id, is_released)];
        let outcomes = held_up(&mut stage, &lock, batch).await;
        // Left out, the first one held nobody up to the end of the lease.
        let waited_along = releases == is_released && outcomes[0].is_some();
        match &outcomes[1] {
            Some(Outcome::Granted { lock: again, reentrant: true }) => {
                assert!(again.renewed_at < lock.expires_at, "{again:?} after {lock:?}");
                assert!(!waited_along, "{outcomes:?}");
            }
            Some(Outcome::Granted { lock: again, reentrant: false }) => {
                assert!(again.acquired_at >= lock.expires_at, "{again:?} after {lock:?}");
                assert!(again.token > lock.token, "{again:?} after {lock:?}");
            }
            Some(Outcome::Released { ended }) => {
                assert!(!(waited_along && *ended), "{outcomes:?}");
                assert_eq!(stage.store.get(&resource(&id)).await.unwrap(), None);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whichever kinds they are, those beside a locked row are carried out, in time
/// and before it is let go.
#[tokio::test]
async fn those_beside_a_locked_row_are_carried_out_in_every_mixture() {
    let mut stage = stage().await;
    granted(&stage, "m", MINUTE).await;
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = 'm' FOR UPDATE").await;
    let locked = |kind: usize| match kind {
        0 => acquire(&resource("m"), "me", MINUTE),
        1 => renew(&resource("m"), "me", crate::kit::token(1), None),
        _ => release(&resource("m"), "me", None),
    };
    for kind in 0..3 {
        for place in 0..5 {
            // Resources before and after the locked one, of all kinds.
            let mut batch: Vec<_> = ["a", "b", "y", "z"]
                .iter()
                .enumerate()
                .map(|(at, id)| match (at + kind) % 3 {
                    0 => acquire(&resource(id), "me", MINUTE),
                    1 => renew(&resource(id), "me", crate::kit::token(1), None),
                    _ => release(&resource(id), "me", None),
                })
                .collect();
            batch.insert(place, locked(kind));
            // What comes after it for the same resource has no outcome either.
            batch.push(locked((kind + 1) % 3));
            let outcomes = stage.store.apply_now(&batch).await.unwrap();
            let left_out: Vec<_> = (0..batch.len()).filter(|at| outcomes[*at].is_none()).collect();
            assert_eq!(left_out, [place, 5], "kind {kind}: {outcomes:?}");
        }
    }
    stage.sql("ROLLBACK").await;
    let now = stage.store.get(&resource("m")).await.unwrap().unwrap();
    assert_eq!(now.acquired_at, now.renewed_at, "what was left out had no effect");
}

/// Carries out a batch whose first resource, `a`, is free, and which somebody
/// else changes while the batch waits for it; and when that was done.
async fn overtaken(stage: &mut Stage, change: &str) -> (Vec<Option<Outcome>>, Timestamp) {
    for id in ["a", "b"] {
        stage.store.apply(&[acquire(&resource(id), "me", MINUTE)]).await.unwrap();
        stage.store.apply(&[release(&resource(id), "me", None)]).await.unwrap();
    }
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = 'a' FOR UPDATE").await;
    let batch = ["a", "b"].map(|id| acquire(&resource(id), "me", MINUTE));
    let waiting = stage.stuck_batch(batch.into()).await;
    stage.sql(&format!("UPDATE locks SET {change} WHERE resource_id = 'a'")).await;
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let changed = Timestamp::from_micros(stage.number(clock).await);
    stage.sql("COMMIT").await;
    (waiting.await.unwrap().unwrap(), changed)
}

/// Somebody else was granted and has released meanwhile: the grant is after
/// that, and above.
#[tokio::test]
async fn a_grant_in_a_batch_that_waited_is_after_what_happened_meanwhile() {
    let mut stage = stage().await;
    for _ in 0..ATTEMPTS {
        let change = "owner_id = 'other', fencing_token = fencing_token + 86400000000";
        let (outcomes, changed) = overtaken(&mut stage, change).await;
        let meanwhile = stage.number("SELECT max(fencing_token) FROM locks").await;
        let [Some(Outcome::Granted { lock, reentrant: false }), Some(_)] = &outcomes[..] else {
            assert_eq!(outcomes[0], None, "{outcomes:?}");
            continue;
        };
        assert!(lock.acquired_at >= changed, "{lock:?} before {changed:?}");
        assert_eq!(lock.expires_at, lock.acquired_at.plus(MINUTE));
        assert_eq!(lock.token.get(), meanwhile.unsigned_abs(), "its own is the highest");
        assert!(lock.token.get() > 86_400_000_000);
        return;
    }
    panic!("it was left out each time");
}

/// Somebody else was granted meanwhile and holds it.
#[tokio::test]
async fn a_grant_in_a_batch_that_waited_leaves_a_new_holder_alone() {
    let mut stage = stage().await;
    let change = "owner_id = 'other', acquired_at = clock_timestamp(),
        renewed_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1 h',
        ttl = interval '1 h', freed_at = NULL, fencing_token = fencing_token + 1";
    let (outcomes, _) = overtaken(&mut stage, change).await;
    let [Some(Outcome::Conflict { holder }), Some(Outcome::Granted { lock, .. })] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(holder.owner.as_str(), "other");
    assert_eq!(lock.resource, resource("b"));
    let now = stage.store.get(&resource("a")).await.unwrap().unwrap();
    assert_eq!(now.owner.as_str(), "other", "{now:?}");
}
