//! Holds that an operator breaks, and the audit trail.

use cucumber::{gherkin::Step, given, then, when};
use futures::future::join_all;
use proto::lock::v1::{
    self as wire, AuditEvent, AuditEventKind, lock_service_client::LockServiceClient,
};
use service_kit::testing::eventually;

use super::{lists::list, lock_state::as_of};
use crate::{
    answer::Reply,
    draft::Draft,
    vocabulary::{Owner, Resource, micros, rows},
    world::{LockWorld, SOON},
};

const TRAIL: &str = "ListEvents";

/// What a table writes where an event says nothing.
const NONE: &str = "(none)";

// === forced release ===

fn request(
    world: &LockWorld,
    owner: &Owner,
    resource: &Resource,
    reason: &str,
) -> wire::ForceReleaseRequest {
    wire::ForceReleaseRequest {
        fencing_token: world.token(&owner.0, &resource.0),
        resource: Some(resource.0.clone()),
        reason: reason.to_owned(),
    }
}

#[given(expr = "{owner}'s hold on {resource} was broken, with the reason {string}")]
async fn was_broken(world: &mut LockWorld, owner: Owner, resource: Resource, reason: String) {
    breaks(world, owner.clone(), resource, reason).await;
    is_broken(world, owner).await;
}

/// Under the token that the owner was last granted.
#[when(expr = "an operator breaks {owner}'s hold on {resource}, with the reason {string}")]
async fn breaks(world: &mut LockWorld, owner: Owner, resource: Resource, reason: String) {
    let request = request(world, &owner, &resource, &reason);
    world.force_release(request).await;
}

#[when(expr = "an operator breaks the hold on {resource} under its first token")]
async fn breaks_under_first(world: &mut LockWorld, resource: Resource) {
    let request = wire::ForceReleaseRequest {
        fencing_token: world.grants(&resource.0.to_string())[0],
        resource: Some(resource.0),
        reason: "stuck".to_owned(),
    };
    world.force_release(request).await;
}

#[when(expr = "{int} operators break {owner}'s hold on {resource} at the same moment")]
async fn race(world: &mut LockWorld, count: usize, owner: Owner, resource: Resource) {
    let channels = world.channels();
    let answers = join_all((0..count).map(|n| {
        let mut client = LockServiceClient::new(channels[n % channels.len()].clone());
        let request = request(world, &owner, &resource, &format!("operator {n}"));
        async move { client.force_release(request).await }
    }))
    .await;
    let reply = |reply: wire::ForceReleaseResponse| Reply::Broken(reply.lock.expect("a lock"));
    world.race = answers
        .into_iter()
        .map(|answer| answer.map(|response| reply(response.into_inner())))
        .collect();
}

/// The answer has the lock as it was, but for the time that has passed.
#[then(expr = "{owner}'s hold is broken")]
async fn is_broken(world: &mut LockWorld, owner: Owner) {
    let reply = world.reply();
    assert!(matches!(reply, Reply::Broken(_)), "{reply:?}");
    let (lock, before) = world.lock_and_before();
    assert_eq!(lock.owner_id, owner.0);
    assert_eq!(&as_of(lock, before), before);
}

#[then(expr = "exactly {int} of them broke the hold")]
async fn some_broke_it(world: &mut LockWorld, count: usize) {
    let broke = world.race.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(broke, count, "{:?}", world.race);
}

// === lists ===

/// Each at a moment of its own: SQLite's clock has but milliseconds.
#[given(expr = "holds on {string} were broken in turn")]
async fn were_broken(world: &mut LockWorld, resources: String) {
    let ann = Owner("Ann".to_owned());
    let mut last = i64::MIN;
    for name in resources.split(", ") {
        let resource = Resource(name.parse().expect("a resource"));
        let acquire = wire::AcquireRequest {
            resource: Some(resource.0.clone()),
            owner_id: ann.0.clone(),
            ..Default::default()
        };
        loop {
            world.acquire(acquire.clone()).await;
            if micros(world.lock().acquire_time.as_ref()) > last {
                break;
            }
            let release = wire::ReleaseRequest {
                resource: Some(resource.0.clone()),
                owner_id: ann.0.clone(),
                fencing_token: None,
            };
            world.release(release).await;
        }
        was_broken(world, ann.clone(), resource, format!("for {name}")).await;
        last = micros(trail(world).await[0].event_time.as_ref());
    }
}

#[given(regex = "^the events are listed(?: with)?$")]
#[when(regex = "^the events are listed(?: with)?$")]
async fn events_are_listed(world: &mut LockWorld, step: &Step) {
    list(world, TRAIL, step, "").await;
}

#[when(regex = "^the next page of events is asked for(?: with)?$")]
async fn next_page(world: &mut LockWorld, step: &Step) {
    let token = world.page_token.clone();
    list(world, TRAIL, step, &token).await;
}

#[when("all events are listed, page by page, with")]
async fn page_by_page(world: &mut LockWorld, step: &Step) {
    const ENOUGH: usize = 10;
    let mut token = String::new();
    for _ in 0..ENOUGH {
        list(world, TRAIL, step, &token).await;
        world.pages.push(names(world));
        token = world.page_token.clone();
        if token.is_empty() {
            return;
        }
    }
    panic!("the trail does not end: {:?}", world.pages);
}

/// From and until the moments of events of the last list.
#[when(regex = r"^the events (?:from that of (\S+))?(?: ?until that of (\S+))? are listed$")]
async fn events_between(world: &mut LockWorld, from: String, until: String) {
    let mut draft = Draft::default();
    draft.set("resource", "(missing)");
    for (field, name) in [("start_time", from), ("end_time", until)] {
        if !name.is_empty() {
            let event = world.reply().events().iter().find(|event| self::name(event) == name);
            let moment = event.and_then(|event| event.event_time).expect("an event of it");
            draft.set(field, &moment.to_string());
        }
    }
    draft.send(TRAIL, world).await;
}

// === events ===

/// All of the trail, as long as it fits a page.
async fn trail(world: &mut LockWorld) -> &[AuditEvent] {
    let mut draft = Draft::default();
    draft.set("resource", "(missing)");
    draft.send(TRAIL, world).await;
    assert_eq!(world.reply().next_page_token(), "", "it fits a page");
    events(world)
}

/// The events of the last list, whose form has been checked.
fn events(world: &LockWorld) -> &[AuditEvent] {
    let events = world.reply().events();
    let place = |event: &AuditEvent| (micros(event.event_time.as_ref()), event.event_id);
    assert!(events.is_sorted_by(|one, next| place(one) > place(next)), "newest first: {events:?}");
    for event in events {
        assert!(event.event_id > 0 && !event.actor.is_empty(), "{event:?}");
        if event.kind() == AuditEventKind::Purged {
            assert_eq!((&event.resource, event.owner_id.as_str()), (&None, ""), "{event:?}");
            assert_eq!(event.fencing_token, 0, "{event:?}");
            assert!(event.count > 0, "{event:?}");
        } else {
            assert!(event.resource.is_some() && event.fencing_token > 0, "{event:?}");
            assert_eq!(event.count, 1, "{event:?}");
        }
    }
    events
}

fn newest(world: &LockWorld) -> &AuditEvent {
    events(world).first().expect("an event")
}

fn name(event: &AuditEvent) -> String {
    event.resource.as_ref().map_or_else(|| NONE.to_owned(), ToString::to_string)
}

fn names(world: &LockWorld) -> String {
    events(world).iter().map(name).collect::<Vec<_>>().join(", ")
}

fn kind(event: &AuditEvent) -> &str {
    let name = event.kind().as_str_name();
    name.strip_prefix("AUDIT_EVENT_KIND_").expect("the prefix of the kinds")
}

/// As the tables write it: its kind, the resource, whose lock it was, who did
/// it and why.
fn row(event: &AuditEvent) -> Vec<String> {
    let or_none = |text: &str| if text.is_empty() { NONE } else { text }.to_owned();
    vec![
        kind(event).to_owned(),
        name(event),
        or_none(&event.owner_id),
        event.actor.clone(),
        or_none(&event.reason),
    ]
}

#[then("the audit trail is")]
async fn the_trail(world: &mut LockWorld, step: &Step) {
    let got: Vec<_> = trail(world).await.iter().map(row).collect();
    assert_eq!(got, rows(step));
}

#[then("the audit trail is empty")]
async fn the_empty_trail(world: &mut LockWorld) {
    assert_eq!(trail(world).await, []);
}

#[then("within a moment the audit trail is")]
async fn becomes_the_trail(world: &mut LockWorld, step: &Step) {
    eventually("the audit trail is so", SOON, async || {
        let got: Vec<_> = trail(world).await.iter().map(row).collect();
        (got == rows(step)).then_some(())
    })
    .await;
}

#[then(expr = "the audit trail holds {int} {word}")]
async fn trail_holds(world: &mut LockWorld, count: usize, wanted: String) {
    let events = trail(world).await;
    let found = events.iter().filter(|event| kind(event) == wanted).count();
    assert_eq!(found, count, "{events:?}");
}

#[then("the events are")]
async fn the_events(world: &mut LockWorld, step: &Step) {
    let got: Vec<_> = events(world).iter().map(row).collect();
    assert_eq!(got, rows(step));
}

#[then(expr = "the events are of {string}")]
async fn the_events_of(world: &mut LockWorld, resources: String) {
    assert_eq!(names(world), resources);
}

#[then("there are no events")]
async fn no_events(world: &mut LockWorld) {
    assert_eq!(events(world), []);
}

#[then(expr = "the newest event tells of {owner}'s token")]
async fn tells_of_token(world: &mut LockWorld, owner: Owner) {
    let event = newest(world);
    let resource = event.resource.as_ref().expect("a resource");
    assert_eq!(event.fencing_token, world.token(&owner.0, resource));
}

#[then(expr = "the newest event tells of the first token of {resource}")]
async fn tells_of_first_token(world: &mut LockWorld, resource: Resource) {
    assert_eq!(newest(world).fencing_token, world.grants(&resource.0.to_string())[0]);
}

#[then(expr = "the newest event tells of the token {int}")]
async fn tells_of_this_token(world: &mut LockWorld, token: u64) {
    assert_eq!(newest(world).fencing_token, token);
}

#[then(expr = "the newest event tells of {int} lock(s)")]
async fn tells_of_locks(world: &mut LockWorld, count: u64) {
    assert_eq!(newest(world).count, count);
}

/// The takeover and its event are one thing that happens once.
#[then(expr = "the newest event happened when {owner}'s hold on {resource} began")]
async fn happened_then(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let lock = world.seen(&resource.0.to_string()).last().expect("it was granted");
    assert_eq!(lock.owner_id, owner.0);
    assert_eq!(newest(world).event_time, lock.acquire_time);
}
