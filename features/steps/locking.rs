//! Callers acquire, renew and release.

use cucumber::{gherkin::Step, given, when};
use futures::future::join_all;
use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};

use crate::{
    answer::Reply,
    draft::Draft,
    vocabulary::{Owner, Resource, Span, pairs, text},
    world::LockWorld,
};

/// A lease that no scenario sees the end of.
const LONG: &str = "300 s";

/// Acquires, and sees to it that the lock is a new one.
async fn hold(world: &mut LockWorld, request: wire::AcquireRequest) {
    world.acquire(request).await;
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: false, .. }), "not granted: {reply:?}");
}

fn request(owner: Owner, resource: Resource, ttl: Option<Span>) -> wire::AcquireRequest {
    wire::AcquireRequest {
        resource: Some(resource.0),
        owner_id: owner.0,
        ttl: ttl.map(|ttl| ttl.0),
        ..Default::default()
    }
}

fn with_metadata(request: wire::AcquireRequest, step: &Step) -> wire::AcquireRequest {
    let metadata = pairs(step).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    wire::AcquireRequest { metadata, ..request }
}

/// `count` values under the keys `ka`, `kb` and so on.
fn metadata_values(count: u8, value: &str) -> Vec<(String, String)> {
    (b'a'..).take(count.into()).map(|n| (format!("k{}", char::from(n)), text(value))).collect()
}

// === hold ===

#[given(expr = "{owner} holds {resource}")]
async fn holds(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let ttl = LONG.parse().expect("a span");
    hold(world, request(owner, resource, Some(ttl))).await;
}

#[given(expr = "{owner} holds {resource} for {span}")]
async fn holds_for(world: &mut LockWorld, owner: Owner, resource: Resource, ttl: Span) {
    hold(world, request(owner, resource, Some(ttl))).await;
}

#[given(expr = "{owner} holds {resource} for {span} with the metadata")]
async fn holds_with(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    ttl: Span,
    step: &Step,
) {
    hold(world, with_metadata(request(owner, resource, Some(ttl)), step)).await;
}

#[given(expr = "{owner} holds {int} plans")]
async fn holds_many(world: &mut LockWorld, owner: Owner, count: u32) {
    let client = LockServiceClient::new(world.channel());
    let answers = join_all((1..=count).map(|n| {
        let resource = Resource(wire::Resource::new("plan", n.to_string()));
        let request = request(owner.clone(), resource, None);
        let mut client = client.clone();
        async move { client.acquire(request).await }
    }));
    for answer in answers.await {
        let lock = answer.expect("granted").into_inner().lock.expect("a lock");
        world.note(Ok(Reply::Acquired { lock, reentrant: false }));
    }
}

#[given(regex = r"^an owner of (.+) holds a plan of (.+) with (\d+) metadata values of (.+)$")]
async fn holds_the_largest(
    world: &mut LockWorld,
    owner: String,
    id: String,
    count: u8,
    value: String,
) {
    let request = wire::AcquireRequest {
        resource: Some(wire::Resource::new("plan", text(&id))),
        owner_id: text(&owner),
        metadata: metadata_values(count, &value).into_iter().collect(),
        ..Default::default()
    };
    hold(world, request).await;
}

/// Takes the lock, unless the owner has it, for the shortest time, and waits
/// until that is over.
#[given(expr = "{owner}'s lease on {resource} has run out")]
async fn has_run_out(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let shortest: Span = "100 ms".parse().expect("a span");
    world.acquire(request(owner.clone(), resource.clone(), Some(shortest))).await;
    if let Reply::Acquired { reentrant: true, .. } = world.reply() {
        renews_for(world, owner, resource.clone(), shortest).await;
    }
    world.lock();
    world.wait_until_stale(&resource.0).await;
}

// === acquire ===

#[given(expr = "{owner} acquires {resource}")]
#[when(expr = "{owner} acquires {resource}")]
async fn acquires(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.acquire(request(owner, resource, None)).await;
}

#[when(expr = "{owner} acquires {resource} for {span}")]
async fn acquires_for(world: &mut LockWorld, owner: Owner, resource: Resource, ttl: Span) {
    world.acquire(request(owner, resource, Some(ttl))).await;
}

#[when(expr = "{owner} acquires {resource} for {span} with the metadata")]
async fn acquires_with(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    ttl: Span,
    step: &Step,
) {
    world.acquire(with_metadata(request(owner, resource, Some(ttl)), step)).await;
}

#[when(regex = r"^([A-Z][a-z]+) acquires (\S+/\S+) with (\d+) metadata values of (.+)$")]
async fn acquires_with_much(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    count: u8,
    value: String,
) {
    let metadata = metadata_values(count, &value).into_iter().collect();
    let request = wire::AcquireRequest { metadata, ..request(owner, resource, None) };
    world.acquire(request).await;
}

#[when(regex = "^([A-Z][a-z]+) acquires the plan (.+)$")]
async fn acquires_the_plan(world: &mut LockWorld, owner: Owner, id: String) {
    let plan = Resource(wire::Resource::new("plan", text(&id)));
    world.acquire(request(owner, plan, None)).await;
}

#[when(expr = "{owner} acquires the same plan")]
async fn acquires_the_same(world: &mut LockWorld, owner: Owner) {
    let resource = world.lock().resource.clone().expect("a resource");
    world.acquire(request(owner, Resource(resource), None)).await;
}

#[when(regex = r"^the owner (.+) acquires (\S+/\S+)$")]
async fn any_owner_acquires(world: &mut LockWorld, owner: String, resource: Resource) {
    world.acquire(request(Owner(text(&owner)), resource, None)).await;
}

#[when(expr = "{int} owners acquire {resource} at the same moment")]
async fn race(world: &mut LockWorld, count: usize, resource: Resource) {
    race_for(world, count, |_| resource.0.clone()).await;
}

#[when(expr = "{int} owners each acquire a plan of their own at the same moment")]
async fn no_race(world: &mut LockWorld, count: usize) {
    race_for(world, count, |n| wire::Resource::new("plan", n.to_string())).await;
}

/// Many owners ask at once, spread over all servers.
async fn race_for(world: &mut LockWorld, count: usize, what: impl Fn(usize) -> wire::Resource) {
    let channels = world.channels();
    let answers = join_all((0..count).map(|n| {
        let channel = channels[n % channels.len()].clone();
        let request = request(Owner(format!("owner-{n}")), Resource(what(n)), None);
        async move { LockServiceClient::new(channel).acquire(request).await }
    }))
    .await;
    world.race.clear();
    for answer in answers {
        let answer = answer.map(|reply| {
            let wire::AcquireResponse { lock, reentrant } = reply.into_inner();
            Reply::Acquired { lock: lock.expect("a lock"), reentrant }
        });
        world.note(answer.clone());
        world.race.push(answer);
    }
}

// === renew ===

async fn renew(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    token: u64,
    ttl: Option<Span>,
) {
    let request = wire::RenewRequest {
        resource: Some(resource.0),
        owner_id: owner.0,
        fencing_token: token,
        ttl: ttl.map(|ttl| ttl.0),
    };
    world.renew(request).await;
}

#[given(expr = "{owner} renews {resource}")]
#[when(expr = "{owner} renews {resource}")]
async fn renews(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let token = world.token(&owner.0, &resource.0);
    renew(world, owner, resource, token, None).await;
}

#[given(expr = "{owner} renews {resource} for {span}")]
#[when(expr = "{owner} renews {resource} for {span}")]
async fn renews_for(world: &mut LockWorld, owner: Owner, resource: Resource, ttl: Span) {
    let token = world.token(&owner.0, &resource.0);
    renew(world, owner, resource, token, Some(ttl)).await;
}

#[when(expr = "{owner} renews {resource} with the token of {owner}")]
async fn renews_as(world: &mut LockWorld, owner: Owner, resource: Resource, other: Owner) {
    let token = world.token(&other.0, &resource.0);
    renew(world, owner, resource, token, None).await;
}

#[when(expr = "{owner} renews {resource} with the token {int}")]
async fn renews_under(world: &mut LockWorld, owner: Owner, resource: Resource, token: u64) {
    renew(world, owner, resource, token, None).await;
}

#[when(expr = "{owner} renews {resource} with the first token of {resource}")]
async fn renews_under_first(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    first: Resource,
) {
    let token = world.grants(&first.0.to_string())[0];
    renew(world, owner, resource, token, None).await;
}

// === release ===

async fn release(world: &mut LockWorld, owner: Owner, resource: Resource, token: Option<u64>) {
    let request = wire::ReleaseRequest {
        resource: Some(resource.0),
        owner_id: owner.0,
        fencing_token: token,
    };
    world.release(request).await;
}

#[given(expr = "{owner} releases {resource}")]
#[when(expr = "{owner} releases {resource}")]
async fn releases(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let token = world.token(&owner.0, &resource.0);
    release(world, owner, resource, Some(token)).await;
}

#[when(regex = "^([A-Z][a-z]+) releases the plan (.+)$")]
async fn releases_the_plan(world: &mut LockWorld, owner: Owner, id: String) {
    releases(world, owner, Resource(wire::Resource::new("plan", text(&id)))).await;
}

#[when(expr = "{owner} releases {resource} without a token")]
async fn releases_any(world: &mut LockWorld, owner: Owner, resource: Resource) {
    release(world, owner, resource, None).await;
}

#[when(expr = "{owner} releases {resource} with the token of {owner}")]
async fn releases_as(world: &mut LockWorld, owner: Owner, resource: Resource, other: Owner) {
    let token = world.token(&other.0, &resource.0);
    release(world, owner, resource, Some(token)).await;
}

#[when(expr = "{owner} releases {resource} with the token {int}")]
async fn releases_under(world: &mut LockWorld, owner: Owner, resource: Resource, token: u64) {
    release(world, owner, resource, Some(token)).await;
}

#[given(expr = "{owner} releases everything")]
#[when(expr = "{owner} releases everything")]
async fn releases_everything(world: &mut LockWorld, owner: Owner) {
    let mut draft = Draft::default();
    draft.set("owner_id", &owner.0);
    draft.send("ReleaseAll", world).await;
}
