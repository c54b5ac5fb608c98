//! Callers who wait in line, and what ends their wait.

use std::time::Duration;

use cucumber::{gherkin::Step, given, then, when};
use proto::lock::v1 as wire;
use service_kit::testing::eventually;

use crate::{
    answer::{Reply, shown},
    draft::Draft,
    vocabulary::{Owner, Resource, Span, micros, pairs, span_micros},
    world::{LockWorld, SOON, Wait},
};

/// A wait that no scenario sees the end of.
const LONG: &str = "600 s";

fn request(owner: &Owner, resource: &Resource, wait: Span) -> wire::AcquireRequest {
    wire::AcquireRequest {
        resource: Some(resource.0.clone()),
        owner_id: owner.0.clone(),
        wait: Some(wait.0),
        ..Default::default()
    }
}

fn long(owner: &Owner, resource: &Resource) -> wire::AcquireRequest {
    request(owner, resource, LONG.parse().expect("a span"))
}

/// Has an owner wait, and sees to it that it stands in line; unless it has its
/// answer already.
async fn wait(world: &mut LockWorld, request: wire::AcquireRequest, deadline: Option<Span>) {
    let resource = request.resource.clone().expect("a resource");
    let owner = request.owner_id.clone();
    world.ask_in_line(request, deadline.map(Span::std)).await;
    eventually("it stands in line or is answered", SOON, async || {
        let answered = world.is_answered(world.waits.len() - 1);
        (answered || world.stands_in_line(&owner, &resource).await).then_some(())
    })
    .await;
}

// === get in line ===

#[given(expr = "{owner} waits for {resource}")]
#[when(expr = "{owner} waits for {resource}")]
async fn waits(world: &mut LockWorld, owner: Owner, resource: Resource) {
    wait(world, long(&owner, &resource), None).await;
}

#[given(expr = "{owner} waits {span} for {resource}")]
#[when(expr = "{owner} waits {span} for {resource}")]
async fn waits_so_long(world: &mut LockWorld, owner: Owner, time: Span, resource: Resource) {
    wait(world, request(&owner, &resource, time), None).await;
}

#[given(expr = "{owner} waits for {resource} to hold it for {span}")]
async fn waits_to_hold(world: &mut LockWorld, owner: Owner, resource: Resource, ttl: Span) {
    let request = wire::AcquireRequest { ttl: Some(ttl.0), ..long(&owner, &resource) };
    wait(world, request, None).await;
}

#[given(expr = "{owner} waits for {resource} to hold it for {span} with the metadata")]
async fn waits_with(
    world: &mut LockWorld,
    owner: Owner,
    resource: Resource,
    ttl: Span,
    step: &Step,
) {
    let metadata = pairs(step).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let request = wire::AcquireRequest { ttl: Some(ttl.0), metadata, ..long(&owner, &resource) };
    wait(world, request, None).await;
}

#[given(expr = "{owner} waits for {resource} by a call of {span}")]
#[when(expr = "{owner} waits for {resource} by a call of {span}")]
async fn waits_by_a_call(world: &mut LockWorld, owner: Owner, resource: Resource, time: Span) {
    wait(world, long(&owner, &resource), Some(time)).await;
}

/// In line by the place that the owner has, which asks for that time from then on.
#[given(expr = "{owner} waits for {resource} by another call to hold it for {span}")]
#[when(expr = "{owner} waits for {resource} by another call to hold it for {span}")]
async fn waits_too(world: &mut LockWorld, owner: Owner, resource: Resource, ttl: Span) {
    let request = wire::AcquireRequest { ttl: Some(ttl.0), ..long(&owner, &resource) };
    world.ask_in_line(request, None).await;
    eventually("the place is for this time", SOON, async || {
        (world.wanted_time(&owner.0, &resource.0).await == span_micros(Some(&ttl.0))).then_some(())
    })
    .await;
}

#[given(expr = "{int} owners wait for {resource}")]
async fn many_wait(world: &mut LockWorld, count: usize, resource: Resource) {
    for n in 1..=count {
        wait(world, long(&nth(n), &resource), None).await;
    }
}

/// Without a look at where it stands: with the one before, or after it.
#[when(expr = "{owner} waits for {resource} and {owner} for {resource} at the same moment")]
async fn wait_at_once(
    world: &mut LockWorld,
    one: Owner,
    of_one: Resource,
    other: Owner,
    of_other: Resource,
) {
    world.ask_in_line(long(&one, &of_one), None).await;
    world.ask_in_line(long(&other, &of_other), None).await;
}

#[given(expr = "{int} owners wait for {resource} at all servers in turn")]
async fn many_wait_all_over(world: &mut LockWorld, count: usize, resource: Resource) {
    let names = world.server_names();
    for n in 1..=count {
        world.turn_to(&names[n % names.len()]);
        wait(world, long(&nth(n), &resource), None).await;
    }
}

#[when(
    expr = "{owner} waits for {resource} at {word} and {owner} for {resource} at {word} at the same moment"
)]
async fn wait_at_once_over(
    world: &mut LockWorld,
    one: Owner,
    of_one: Resource,
    at_one: String,
    other: Owner,
    of_other: Resource,
    at_other: String,
) {
    world.turn_to(&at_one);
    world.ask_in_line(long(&one, &of_one), None).await;
    world.turn_to(&at_other);
    world.ask_in_line(long(&other, &of_other), None).await;
}

fn nth(n: usize) -> Owner {
    Owner(format!("owner-{n}"))
}

/// One after the other, by different owners, with and without a wait of no use.
#[when(expr = "many keep asking for {resource} until {owner} has it no more")]
async fn many_ask(world: &mut LockWorld, resource: Resource, holder: Owner) {
    let mut asked = 0;
    let mut race = Vec::new();
    eventually("it has another holder", SOON, async || {
        asked += 1;
        let newcomer = wire::AcquireRequest {
            resource: Some(resource.0.clone()),
            owner_id: format!("newcomer-{asked}"),
            ..Default::default()
        };
        let answer = world.ask(async |mut client| client.acquire(newcomer).await).await;
        race.push(answer.map(|reply| Reply::Acquired {
            lock: reply.lock.expect("a lock"),
            reentrant: reply.reentrant,
        }));
        has_another(world, &resource, &holder).await
    })
    .await;
    world.race = race;
}

#[when(expr = "stale locks are purged again and again until {owner} has {resource} no more")]
async fn purged_again_and_again(world: &mut LockWorld, holder: Owner, resource: Resource) {
    eventually("it has another holder", SOON, async || {
        let request = wire::PurgeStaleRequest::default();
        let purged = world.ask(async |mut client| client.purge_stale(request).await).await;
        assert_eq!(purged.expect("a purge").purged_count, 0, "somebody waits for it");
        has_another(world, &resource, &holder).await
    })
    .await;
}

async fn has_another(world: &mut LockWorld, resource: &Resource, holder: &Owner) -> Option<()> {
    let lock = world.get(&resource.0).await.expect("it is not free");
    (lock.owner_id != holder.0).then_some(())
}

#[then("none of them was granted it")]
async fn none_was_granted(world: &mut LockWorld) {
    assert!(world.race.iter().all(Result::is_err), "{:?}", world.race);
}

/// And stands in the place that it had.
#[when("those who wait ask again, the last first")]
async fn ask_again(world: &mut LockWorld) {
    let minute: Span = "60 s".parse().expect("a span");
    let again = |owner: &str, resource: &str| wire::AcquireRequest {
        ttl: Some(minute.0),
        ..long(&Owner(owner.to_owned()), &resource.parse().expect("a resource"))
    };
    world.ask_again(again).await;
    let asked: Vec<_> = world.waits.iter().map(Wait::of).collect();
    for (owner, resource) in asked {
        let resource = resource.parse().expect("a resource");
        eventually("the place is for this time", SOON, async || {
            (world.wanted_time(&owner, &resource).await == span_micros(Some(&minute.0)))
                .then_some(())
        })
        .await;
    }
}

// === leave it ===

#[given(expr = "{owner} gives up waiting for {resource}")]
#[when(expr = "{owner} gives up waiting for {resource}")]
async fn gives_up(world: &mut LockWorld, owner: Owner, resource: Resource) {
    drop(world.take_wait(&owner.0, &resource.0.to_string()));
}

// === what comes of it ===

#[then(expr = "{owner} is granted {resource}")]
async fn is_granted(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: false, .. }), "{reply:?}");
    assert_eq!(world.lock().owner_id, owner.0);
    assert_eq!(world.lock().resource, Some(resource.0));
}

#[then(expr = "{owner} re-enters {resource}")]
async fn reenters(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: true, .. }), "{reply:?}");
    assert_eq!(world.lock().owner_id, owner.0);
}

/// By a grant or a re-entry: of two calls either may come first.
#[then(expr = "{owner} gets {resource}")]
async fn gets(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { .. }), "{reply:?}");
    assert_eq!(world.lock().owner_id, owner.0);
}

/// The same as an answer before told of.
#[then(expr = "{owner} gets {resource} with the same token")]
async fn gets_the_same(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let token = world.token(&owner.0, &resource.0);
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { .. }), "{reply:?}");
    assert_eq!(world.lock().fencing_token, token);
}

#[then(expr = "{owner}'s wait for {resource} is refused with {word}")]
async fn is_refused(world: &mut LockWorld, owner: Owner, resource: Resource, reason: String) {
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    assert_eq!(world.refusal().reason, reason, "{}", shown(world.status()));
}

#[then(expr = "{owner}'s call for {resource} is over")]
async fn call_is_over(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    let status = world.status();
    let codes = [tonic::Code::DeadlineExceeded, tonic::Code::Cancelled];
    assert!(codes.contains(&status.code()), "{}", shown(status));
}

/// After something that would have ended the wait, had it been meant.
#[then(expr = "{owner} still waits for {resource}")]
async fn still_waits(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let resource = resource.0.to_string();
    let at = world.waits.iter().position(|wait| wait.is_of(&owner.0, &resource));
    assert!(!world.is_answered(at.expect("it waits")), "{owner:?} has its answer");
}

#[then(expr = "all {int} are granted {resource} in the order in which they came")]
async fn granted_in_order(world: &mut LockWorld, count: usize, resource: Resource) {
    for n in 1..=count {
        is_granted(world, nth(n), resource.clone()).await;
        assert_eq!(world.queue_length(&resource.0).await, (count - n) as u64);
        let release = wire::ReleaseRequest {
            resource: Some(resource.0.clone()),
            owner_id: nth(n).0,
            fencing_token: Some(world.token(&nth(n).0, &resource.0)),
        };
        world.release(release).await;
    }
}

/// And the other one still waits.
#[then(
    expr = "one of {owner}'s wait for {resource} and {owner}'s for {resource} is refused with {word} within {span}"
)]
async fn one_is_refused(
    world: &mut LockWorld,
    one: Owner,
    of_one: Resource,
    other: Owner,
    of_other: Resource,
    reason: String,
    most: Span,
) {
    let waits = [(one.0, of_one.0.to_string()), (other.0, of_other.0.to_string())];
    let (owner, resource) = eventually("one is answered", SOON, async || {
        let answered = (0..world.waits.len()).find(|at| world.is_answered(*at))?;
        let answered = &world.waits[answered];
        waits.iter().find(|(owner, resource)| answered.is_of(owner, resource)).cloned()
    })
    .await;
    world.end_of_wait(&owner, &resource).await;
    assert_eq!(world.refusal().reason, reason, "{}", shown(world.status()));
    assert!(world.took < most.std(), "it took {:?}", world.took);
    assert_eq!(world.refusal().told("owner_id"), owner);
    let all = 0..world.waits.len();
    assert!(all.into_iter().all(|at| !world.is_answered(at)), "the other one waits");
}

#[then("the other one is granted it once the refused one releases everything")]
async fn the_other_is_granted(world: &mut LockWorld) {
    let refused = world.refusal().told("owner_id").to_owned();
    let mut draft = Draft::default();
    draft.set("owner_id", &refused);
    draft.send("ReleaseAll", world).await;
    let (owner, resource) = world.waits[0].of();
    world.end_of_wait(&owner, &resource).await;
    assert_eq!(world.lock().owner_id, owner);
}

// === the line ===

#[then(expr = "{int} wait(s) for {resource}")]
async fn so_many_wait(world: &mut LockWorld, count: u64, resource: Resource) {
    assert_eq!(world.queue_length(&resource.0).await, count);
}

#[then(expr = "within a moment {int} wait(s) for {resource}")]
async fn so_many_will_wait(world: &mut LockWorld, count: u64, resource: Resource) {
    let what = format!("{count} wait for {}", resource.0);
    eventually(&what, SOON, async || {
        (world.queue_length(&resource.0).await == count).then_some(())
    })
    .await;
}

/// Where a place that nobody gave up would be kept for longer.
#[then(expr = "within {span} {int} wait(s) for {resource}")]
async fn so_many_wait_within(world: &mut LockWorld, most: Span, count: u64, resource: Resource) {
    let what = format!("{count} wait for {}", resource.0);
    eventually(&what, most.std(), async || {
        (world.queue_length(&resource.0).await == count).then_some(())
    })
    .await;
}

#[then(expr = "within {span} nobody waits for {resource}")]
async fn nobody_waits_within(world: &mut LockWorld, most: Span, resource: Resource) {
    so_many_wait_within(world, most, 0, resource).await;
}

#[then(expr = "within a moment nobody waits for {resource}")]
async fn nobody_will_wait(world: &mut LockWorld, resource: Resource) {
    so_many_will_wait(world, 0, resource).await;
}

#[then(expr = "nobody waits for {resource}")]
async fn nobody_waits(world: &mut LockWorld, resource: Resource) {
    assert_eq!(world.queue_length(&resource.0).await, 0);
}

#[then(expr = "the refusal tells that {int} wait(s)")]
async fn tells_queue_length(world: &mut LockWorld, count: u64) {
    assert_eq!(world.refusal().told("queue_length"), count.to_string());
}

#[then(expr = "the locks and how many wait for each are")]
async fn queue_lengths(world: &mut LockWorld, step: &Step) {
    let got: Vec<_> = world
        .reply()
        .locks()
        .iter()
        .map(|lock| (crate::world::name_of(lock), lock.queue_length.to_string()))
        .collect();
    let wanted: Vec<_> = pairs(step).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    assert_eq!(got, wanted);
}

// === when ===

#[then(expr = "it was granted less than {span} after {owner}'s lease ran out")]
async fn granted_on_expiry(world: &mut LockWorld, most: Span, owner: Owner) {
    let lock = world.lock();
    let seen = world.seen(&crate::world::name_of(lock));
    let before = seen.iter().rev().find(|seen| seen.owner_id == owner.0).expect("it was seen");
    let late = micros(lock.acquire_time.as_ref()) - micros(before.expire_time.as_ref());
    assert!((0..span_micros(Some(&most.0))).contains(&late), "{late} µs late");
}

#[then(expr = "what remains is more than {span}")]
async fn remains_more_than(world: &mut LockWorld, least: Span) {
    let remaining = span_micros(world.lock().remaining.as_ref());
    assert!(remaining > span_micros(Some(&least.0)), "{remaining} µs");
}

#[then(expr = "the answer took at least {span}")]
async fn took_at_least(world: &mut LockWorld, least: Span) {
    let least = least.std();
    assert!(world.took >= least, "{:?}", world.took);
    assert!(world.took < least + Duration::from_secs(10), "{:?}", world.took);
}
