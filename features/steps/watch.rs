//! Callers watch what happens to locks.

use std::collections::BTreeMap;

use cucumber::{gherkin::Step, given, then, when};
use proto::lock::v1::{self as wire, LockEventKind, LockState};
use tokio::time::timeout;

use super::lock_state::as_of;
use crate::{
    draft::Draft,
    vocabulary::{Owner, Resource, Span, pairs, rows},
    world::{LockWorld, Watch, name_of},
};

// === begin ===

async fn begin(world: &mut LockWorld, request: wire::WatchRequest) {
    let watch = world.watch(request).await.expect("the watch begins");
    world.watch = Some(watch);
}

#[given("someone watches all locks")]
#[when("someone watches all locks")]
async fn watch_all(world: &mut LockWorld) {
    begin(world, wire::WatchRequest::default()).await;
}

#[given("someone watches all locks with their renewals")]
async fn watch_renewals(world: &mut LockWorld) {
    begin(world, wire::WatchRequest { include_renewals: true, ..Default::default() }).await;
}

#[given(expr = "someone watches {resource}")]
#[when(expr = "someone watches {resource}")]
async fn watch_one(world: &mut LockWorld, resource: Resource) {
    begin(world, wire::WatchRequest { resource: Some(resource.0), ..Default::default() }).await;
}

#[given(expr = "someone else watches {resource}")]
async fn watch_one_too(world: &mut LockWorld, resource: Resource) {
    let request = wire::WatchRequest { resource: Some(resource.0), ..Default::default() };
    world.other_watch = Some(world.watch(request).await.expect("the watch begins"));
}

#[when(expr = "someone watches the locks of the type {word}")]
async fn watch_type(world: &mut LockWorld, kind: String) {
    begin(world, wire::WatchRequest { resource_type: Some(kind), ..Default::default() }).await;
}

#[when(expr = "someone watches the locks of the type {word} with the prefix {word}")]
async fn watch_prefix(world: &mut LockWorld, kind: String, prefix: String) {
    let (resource_type, id_prefix) = (Some(kind), Some(prefix));
    begin(world, wire::WatchRequest { resource_type, id_prefix, ..Default::default() }).await;
}

#[when("someone watches with")]
async fn watch_with(world: &mut LockWorld, step: &Step) {
    let mut draft = Draft::default();
    if !pairs(step).any(|(field, _)| field.starts_with("resource") && field != "resource_type") {
        draft.set("resource", "(missing)");
    }
    for (field, cell) in pairs(step) {
        draft.set(field, cell);
    }
    match world.watch(draft.watch()).await {
        Ok(watch) => world.watch = Some(watch),
        Err(refused) => world.note(Err(refused)),
    }
}

#[when("the first watch ends")]
async fn ends_first(world: &mut LockWorld) {
    drop(world.watch.take());
}

// === the snapshot ===

fn watch(world: &mut LockWorld) -> &mut Watch {
    world.watch.as_mut().expect("someone watches")
}

#[then("the snapshot is")]
async fn snapshot(world: &mut LockWorld, step: &Step) {
    let snapshot = &watch(world).snapshot;
    let got: Vec<_> =
        snapshot.iter().map(|lock| vec![name_of(lock), lock.owner_id.clone()]).collect();
    assert_eq!(got, rows(step));
    assert!(snapshot.iter().all(|lock| lock.state() == LockState::Held), "{snapshot:?}");
}

#[then("the snapshot is empty")]
async fn no_snapshot(world: &mut LockWorld) {
    assert_eq!(watch(world).snapshot, []);
}

#[then(expr = "the snapshot is {owner}'s lock exactly as before")]
async fn snapshot_as_before(world: &mut LockWorld, owner: Owner) {
    let [lock] = <[_; 1]>::try_from(watch(world).snapshot.clone()).expect("one lock");
    as_before(world, &owner, &lock);
    world.watched = Some(lock);
}

fn as_before(world: &LockWorld, owner: &Owner, lock: &wire::Lock) {
    assert_eq!(lock.owner_id, owner.0);
    let mut seen = world.seen(&name_of(lock)).iter().rev();
    let before = seen.find(|seen| seen.owner_id == owner.0).expect("it was seen before");
    assert_eq!(&as_of(lock, before), before);
    assert_eq!(lock.state(), LockState::Held);
}

#[then(expr = "it tells that {int} wait(s)")]
async fn tells_waiters(world: &mut LockWorld, count: u64) {
    assert_eq!(world.watched.as_ref().expect("a lock").queue_length, count);
}

// === events ===

fn kind(event: &wire::WatchResponse) -> &str {
    let name = event.kind().as_str_name();
    name.strip_prefix("LOCK_EVENT_KIND_").expect("the prefix of the kinds")
}

fn lock_of(event: &wire::WatchResponse) -> &wire::Lock {
    event.lock.as_ref().expect("a lock")
}

/// By their resources: the order is that of each.
fn by_resource(rows: impl IntoIterator<Item = Vec<String>>) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        sorted.entry(row[1].clone()).or_default().push(row);
    }
    sorted
}

/// Reads as many events as the table has rows, and compares.
async fn tells(watch: &mut Watch, step: &Step) -> wire::Lock {
    watch.read(rows(step).len()).await;
    let row = |event: &wire::WatchResponse| {
        let lock = lock_of(event);
        vec![kind(event).to_owned(), name_of(lock), lock.owner_id.clone()]
    };
    let got = by_resource(watch.events.iter().map(row));
    assert_eq!(got, by_resource(rows(step).iter().cloned()));
    lock_of(watch.events.last().expect("an event")).clone()
}

#[then("the watch tells")]
async fn the_watch_tells(world: &mut LockWorld, step: &Step) {
    let mut watch = world.watch.take().expect("someone watches");
    world.watched = Some(tells(&mut watch, step).await);
    // Each is of a hold that was granted, as an answer has told.
    for event in &watch.events {
        let lock = lock_of(event);
        let grants = world.grants(&name_of(lock));
        assert!(grants.contains(&lock.fencing_token), "{event:?} is of none of {grants:?}");
    }
    world.watch = Some(watch);
}

#[then("the other watch tells")]
async fn the_other_tells(world: &mut LockWorld, step: &Step) {
    tells(world.other_watch.as_mut().expect("someone else watches"), step).await;
}

#[then(expr = "the event's lock is {owner}'s exactly as before")]
async fn event_as_before(world: &mut LockWorld, owner: Owner) {
    as_before(world, &owner, world.watched.as_ref().expect("an event"));
}

#[then("the event's lock is stale")]
async fn event_is_stale(world: &mut LockWorld) {
    let lock = world.watched.as_ref().expect("an event");
    assert_eq!(lock.state(), LockState::Stale);
    assert_eq!(lock.remaining, Some(prost_types::Duration::default()));
}

#[then(expr = "the events tell of each grant of {resource} twice, in order")]
async fn each_grant_twice(world: &mut LockWorld, resource: Resource) {
    let tokens: Vec<_> =
        watch(world).events.iter().map(|event| lock_of(event).fencing_token).collect();
    let grants = world.grants(&resource.0.to_string());
    let wanted: Vec<_> = grants.iter().flat_map(|token| [*token, *token]).collect();
    assert_eq!(tokens, wanted);
}

#[when(expr = "{owner} takes and releases {resource} {int} times at all servers in turn")]
async fn takes_turns(world: &mut LockWorld, owner: Owner, resource: Resource, times: usize) {
    let names = world.server_names();
    for step in 0..2 * times {
        world.turn_to(&names[step % names.len()]);
        let mut draft = Draft::default();
        draft.set("owner_id", &owner.0).set("resource", &resource.0.to_string());
        if step % 2 == 0 {
            draft.send("Acquire", world).await;
            world.lock();
        } else {
            let token = world.token(&owner.0, &resource.0);
            draft.set("fencing_token", &token.to_string());
            draft.send("Release", world).await;
            world.reply();
        }
    }
}

#[then(
    expr = "the watch tells of {int} holds of {resource}, each acquired and released, with tokens that grow"
)]
async fn holds_in_order(world: &mut LockWorld, count: usize, resource: Resource) {
    watch(world).read(2 * count).await;
    let events = &watch(world).events;
    let kinds: Vec<_> = events.iter().map(wire::WatchResponse::kind).collect();
    assert_eq!(kinds, [LockEventKind::Acquired, LockEventKind::Released].repeat(count));
    each_grant_twice(world, resource).await;
}

// === how it goes on and ends ===

#[then(expr = "within {span} the watch says that it goes on")]
async fn goes_on(world: &mut LockWorld, most: Span) {
    let next = timeout(most.std(), watch(world).next()).await.expect("it says so in time");
    assert_eq!(next.expect("it goes on").kind(), LockEventKind::Progress);
}

#[then(expr = "the watch is refused with {word}")]
async fn is_refused(world: &mut LockWorld, reason: String) {
    if let Some(mut watch) = world.watch.take() {
        let status = loop {
            match watch.next().await {
                Ok(response) if response.kind() == LockEventKind::Progress => {}
                Ok(other) => panic!("it goes on: {other:?}"),
                Err(status) => break status,
            }
        };
        world.note(Err(status));
    }
    assert_eq!(world.refusal().reason, reason);
}
