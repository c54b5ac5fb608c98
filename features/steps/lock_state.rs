//! What a resource's lock is now, whoever asks.

use cucumber::{then, when};
use proto::{
    lock::v1::{self as wire, LockState},
    reason,
};
use service_kit::testing::eventually;

use crate::{
    answer::{Refusal, Reply},
    vocabulary::{Owner, Resource},
    world::{LockWorld, SOON},
};

#[when(expr = "someone looks at {resource}")]
async fn look(world: &mut LockWorld, resource: Resource) {
    let lock = world.get(&resource.0).await;
    world.note(lock.map(Reply::Found));
}

#[then(expr = "{resource} is held by {owner}")]
async fn is_held(world: &mut LockWorld, resource: Resource, owner: Owner) {
    let lock = world.get(&resource.0).await.expect("it is not free");
    assert_eq!(lock.state(), LockState::Held);
    assert_eq!(lock.owner_id, owner.0);
}

/// Held, with everything as the last answer about it had it.
#[then(expr = "{resource} is held by {owner} exactly as before")]
async fn is_held_as_before(world: &mut LockWorld, resource: Resource, owner: Owner) {
    let lock = world.get(&resource.0).await.expect("it is not free");
    assert_eq!(lock.state(), LockState::Held);
    assert_eq!(lock.owner_id, owner.0);
    let before = world.seen(&resource.0.to_string()).last().expect("it was seen before");
    assert_eq!(&as_of(&lock, before), before);
}

/// The lock, with what time and those who wait change as another answer had it.
pub(super) fn as_of(lock: &wire::Lock, other: &wire::Lock) -> wire::Lock {
    let wire::Lock { remaining, state, queue_length, .. } = *other;
    wire::Lock { remaining, state, queue_length, ..lock.clone() }
}

#[then(expr = "{resource} is stale")]
async fn is_stale(world: &mut LockWorld, resource: Resource) {
    let lock = world.get(&resource.0).await.expect("it is not free");
    assert_eq!(lock.state(), LockState::Stale);
}

#[then(expr = "{resource} is free")]
async fn is_free(world: &mut LockWorld, resource: Resource) {
    let refused = world.get(&resource.0).await.expect_err("it is not free");
    assert_eq!(Refusal::of(&refused).reason, reason::LOCK_NOT_FOUND);
}

#[then(expr = "within a moment {resource} is free")]
async fn becomes_free(world: &mut LockWorld, resource: Resource) {
    eventually("the lock is free", SOON, async || {
        let refused = world.get(&resource.0).await.err()?;
        (Refusal::of(&refused).reason == reason::LOCK_NOT_FOUND).then_some(())
    })
    .await;
}

/// Held or free: an answer, not an excuse.
#[then(expr = "within a moment {resource} answers again")]
async fn answers_again(world: &mut LockWorld, resource: Resource) {
    eventually("the store answers", SOON, async || match world.get(&resource.0).await {
        Ok(_) => Some(()),
        Err(refused) => (Refusal::of(&refused).reason == reason::LOCK_NOT_FOUND).then_some(()),
    })
    .await;
}
