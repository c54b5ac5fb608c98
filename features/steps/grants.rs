//! What a caller was granted, and how it compares to what was before.

use cucumber::{gherkin::Step, then};
use proto::lock::v1::{self as wire, LockState};

use crate::{
    answer::{Refusal, Reply},
    vocabulary::{Owner, Resource, Span, micros, pairs, span_micros},
    world::LockWorld,
};

// === answers ===

#[then("the lock is granted")]
async fn is_granted(world: &mut LockWorld) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: false, .. }), "{reply:?}");
}

#[then("the lock is re-entered")]
async fn is_reentered(world: &mut LockWorld) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: true, .. }), "{reply:?}");
}

#[then("the lock is renewed")]
async fn is_renewed(world: &mut LockWorld) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Renewed(_)), "{reply:?}");
}

#[then(regex = "^the answer is that (a|no) lease ended$")]
async fn a_lease_ended(world: &mut LockWorld, which: String) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Released(ended) if *ended == (which == "a")), "{reply:?}");
}

#[then(expr = "the answer is that {int} lease(s) ended")]
async fn leases_ended(world: &mut LockWorld, count: u64) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::ReleasedAll(ended) if *ended == count), "{reply:?}");
}

#[then(regex = r"^the answer is that (\d+) locks? (?:was|were) purged$")]
async fn locks_purged(world: &mut LockWorld, count: u64) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Purged(purged) if *purged == count), "{reply:?}");
}

// === the lock in the answer ===

#[then(expr = "its owner is {owner}")]
async fn its_owner(world: &mut LockWorld, owner: Owner) {
    assert_eq!(world.lock().owner_id, owner.0);
}

#[then(expr = "its ttl is {span}")]
async fn its_ttl(world: &mut LockWorld, ttl: Span) {
    assert_eq!(world.lock().ttl, Some(ttl.0));
}

#[then("its metadata is")]
async fn its_metadata(world: &mut LockWorld, step: &Step) {
    let wanted = pairs(step).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(world.lock().metadata, wanted);
}

#[then("its metadata is empty")]
async fn no_metadata(world: &mut LockWorld) {
    assert!(world.lock().metadata.is_empty(), "{:?}", world.lock().metadata);
}

#[then("it was last renewed when it was acquired")]
async fn never_renewed(world: &mut LockWorld) {
    assert_eq!(world.lock().renew_time, world.lock().acquire_time);
}

#[then(expr = "it expires {span} after it was acquired")]
async fn expires_after_acquired(world: &mut LockWorld, ttl: Span) {
    let wire::Lock { acquire_time, expire_time, .. } = world.lock();
    let lease = micros(expire_time.as_ref()) - micros(acquire_time.as_ref());
    assert_eq!(lease, span_micros(Some(&ttl.0)));
}

#[then(expr = "it expires {span} after it was renewed")]
async fn expires_after_renewed(world: &mut LockWorld, ttl: Span) {
    let wire::Lock { renew_time, expire_time, .. } = world.lock();
    let lease = micros(expire_time.as_ref()) - micros(renew_time.as_ref());
    assert_eq!(lease, span_micros(Some(&ttl.0)));
}

#[then(expr = "what remains is at most {span}")]
async fn remains(world: &mut LockWorld, most: Span) {
    let remaining = span_micros(world.lock().remaining.as_ref());
    assert!((1..=span_micros(Some(&most.0))).contains(&remaining), "{remaining} µs");
}

#[then("it is live with time remaining")]
async fn is_live(world: &mut LockWorld) {
    assert_eq!(world.lock().state(), LockState::Held);
    assert!(span_micros(world.lock().remaining.as_ref()) > 0);
}

#[then("it is stale with nothing remaining")]
async fn is_stale(world: &mut LockWorld) {
    assert_eq!(world.lock().state(), LockState::Stale);
    assert_eq!(span_micros(world.lock().remaining.as_ref()), 0);
}

// === before and after ===

#[then("the token is higher than before")]
async fn token_is_higher(world: &mut LockWorld) {
    let (lock, before) = world.lock_and_before();
    assert!(lock.fencing_token > before.fencing_token, "{lock:?} after {before:?}");
}

#[then("the token is the same as before")]
async fn token_is_the_same(world: &mut LockWorld) {
    let (lock, before) = world.lock_and_before();
    assert_eq!(lock.fencing_token, before.fencing_token);
}

#[then(expr = "every grant of {resource} had a higher token than the one before")]
async fn tokens_grow(world: &mut LockWorld, resource: Resource) {
    let tokens = world.grants(&resource.0.to_string());
    assert!(tokens.len() > 1, "there was more than one grant");
    assert!(tokens.is_sorted_by(|before, after| before < after), "{tokens:?}");
}

#[then(
    regex = "^it (was acquired|was renewed|expires) (later than|sooner than|at the same time as) before$"
)]
async fn moved(world: &mut LockWorld, what: String, how: String) {
    let (lock, before) = world.lock_and_before();
    let time = |lock: &wire::Lock| match what.as_str() {
        "was acquired" => micros(lock.acquire_time.as_ref()),
        "was renewed" => micros(lock.renew_time.as_ref()),
        _ => micros(lock.expire_time.as_ref()),
    };
    let wanted = match how.as_str() {
        "later than" => std::cmp::Ordering::Greater,
        "sooner than" => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Equal,
    };
    assert_eq!(time(lock).cmp(&time(before)), wanted, "{lock:?} after {before:?}");
}

// === many at once ===

#[then(expr = "exactly {int} of them is/are granted the lock")]
async fn some_are_granted(world: &mut LockWorld, count: usize) {
    let granted = world.race.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(granted, count, "{:?}", world.race);
}

#[then("the others are refused with LOCK_CONFLICT, which names the one as the holder")]
async fn the_others_are_refused(world: &mut LockWorld) {
    let mut granted = world.race.iter().filter_map(|answer| answer.as_ref().ok()?.lock());
    let holder = &granted.next().expect("one has it").owner_id;
    for refused in world.race.iter().filter_map(|answer| answer.as_ref().err()) {
        let refusal = Refusal::of(refused);
        assert_eq!(refusal.reason, proto::reason::LOCK_CONFLICT);
        assert_eq!(refusal.told("holder"), holder);
    }
}

#[then(expr = "{int} of them is/are refused with {word}")]
async fn some_are_refused(world: &mut LockWorld, count: usize, reason: String) {
    let refused = world.race.iter().filter_map(|answer| answer.as_ref().err());
    let matching = refused.filter(|status| Refusal::of(status).reason == reason).count();
    assert_eq!(matching, count, "{:?}", world.race);
}
