//! Many leases over one stream.

use cucumber::{gherkin::Step, given, then, when};
use proto::{
    lock::v1::{
        KeepAliveLease, KeepAliveRequest, KeepAliveResponse, KeepAliveResult, Lock, LostLease,
        Resource as WireResource, keep_alive_result::Outcome, session_request::Command as Asked,
    },
    reason,
};

use crate::{
    answer::{Refusal, Reply},
    vocabulary::{Owner, Resource, Span, pairs},
    world::LockWorld,
};

/// A lease of an owner under the token of its last grant.
fn lease(world: &LockWorld, owner: &str, resource: &WireResource) -> KeepAliveLease {
    KeepAliveLease {
        fencing_token: world.token(owner, resource),
        resource: Some(resource.clone()),
        owner_id: owner.to_owned(),
    }
}

/// The leases of a step's table: owners and resources.
fn leases(world: &LockWorld, step: &Step) -> Vec<KeepAliveLease> {
    let lease = |(owner, resource): (&str, &str)| {
        lease(world, owner, &resource.parse().expect("a resource"))
    };
    pairs(step).map(lease).collect()
}

/// Sends a request on the open command stream, on the open stream of
/// keep-alives, or on a new one, and notes the answer.
async fn send(world: &mut LockWorld, request: KeepAliveRequest) {
    if world.session.is_some() {
        let answer = world.exchange(Asked::KeepAlive(request)).await;
        return world.note(answer);
    }
    if world.keep_alive.is_none() {
        world.open_keep_alive().await;
    }
    let stream = world.keep_alive.as_mut().expect("opened above");
    let started = tokio::time::Instant::now();
    let answer = stream.exchange(request).await;
    world.took = started.elapsed();
    if answer.is_err() {
        world.keep_alive = None;
    }
    world.note(answer.map(Reply::KeptAlive));
}

fn results(world: &LockWorld) -> &[KeepAliveResult] {
    match world.reply() {
        Reply::KeptAlive(response) => &response.results,
        other => panic!("not an answer to a keep-alive: {other:?}"),
    }
}

fn name(result: &KeepAliveResult) -> String {
    result.resource.as_ref().expect("a resource").to_string()
}

fn renewed(result: &KeepAliveResult) -> Option<&Lock> {
    match result.outcome.as_ref().expect("an outcome") {
        Outcome::Lock(lock) => Some(lock),
        Outcome::Lost(_) => None,
    }
}

/// As the tables write it.
fn outcome(result: &KeepAliveResult) -> String {
    match result.outcome.as_ref().expect("an outcome") {
        Outcome::Lock(_) => "renewed".to_owned(),
        Outcome::Lost(lost) => told(lost),
    }
}

fn told(lost: &LostLease) -> String {
    let LostLease { reason, message, holder, released_by, release_reason } = lost;
    assert!(!message.is_empty(), "a message for people");
    let mut told = reason.clone();
    assert_eq!(released_by.is_empty(), release_reason.is_empty(), "{lost:?}");
    if !released_by.is_empty() {
        assert!(message.contains(released_by) && message.contains(release_reason), "{lost:?}");
        told.push_str(&format!(", broken by {released_by} ({release_reason})"));
    }
    if !holder.is_empty() {
        told.push_str(&format!(", held by {holder}"));
    }
    told
}

// === requests ===

#[when("a keep-alive is sent for")]
async fn keep_alive(world: &mut LockWorld, step: &Step) {
    let leases = leases(world, step);
    send(world, KeepAliveRequest { leases, ttl: None }).await;
}

#[when(expr = "a keep-alive of {span} is sent for")]
async fn keep_alive_for(world: &mut LockWorld, ttl: Span, step: &Step) {
    let leases = leases(world, step);
    send(world, KeepAliveRequest { leases, ttl: Some(ttl.0) }).await;
}

#[when("a keep-alive is sent for nothing")]
async fn keep_nothing_alive(world: &mut LockWorld) {
    send(world, KeepAliveRequest::default()).await;
}

#[when(expr = "a keep-alive is sent for {owner}'s {int} plans")]
async fn keep_many_alive(world: &mut LockWorld, owner: Owner, count: usize) {
    let plan = |n: usize| WireResource::new("plan", n.to_string());
    let leases = (1..=count).map(|n| lease(world, &owner.0, &plan(n))).collect();
    send(world, KeepAliveRequest { leases, ttl: None }).await;
}

#[when(regex = r"^a keep-alive of (\d+) leases (that nobody holds|without a resource) is sent$")]
async fn keep_others_alive(world: &mut LockWorld, count: usize, kind: String) {
    let named = kind == "that nobody holds";
    let lease = |n: usize| KeepAliveLease {
        resource: named.then(|| WireResource::new("plan", format!("nobody-{n}"))),
        owner_id: "Ann".to_owned(),
        fencing_token: 1,
    };
    let leases = (0..count).map(lease).collect();
    send(world, KeepAliveRequest { leases, ttl: None }).await;
}

#[given(expr = "{owner} keeps {resource} alive over an open stream")]
async fn open_stream(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let leases = vec![lease(world, &owner.0, &resource.0)];
    send(world, KeepAliveRequest { leases, ttl: None }).await;
    let lock = renewed(&results(world)[0]).expect("renewed").clone();
    world.note(Ok(Reply::Renewed(lock)));
}

#[when(expr = "three keep-alives are sent at once, for {resource}, for nothing and for {resource}")]
async fn three_at_once(world: &mut LockWorld, one: Resource, other: Resource) {
    let request = |leases| KeepAliveRequest { leases, ttl: None };
    let requests = [vec![one], vec![], vec![other]].map(|resources| {
        request(resources.iter().map(|each| lease(world, "Ann", &each.0)).collect())
    });
    let stream = world.open_keep_alive().await;
    for request in requests {
        stream.requests.send(request).await.expect("the stream is open");
    }
}

// === answers ===

#[then("the results are")]
async fn results_are(world: &mut LockWorld, step: &Step) {
    let got: Vec<_> = results(world).iter().map(|result| (name(result), outcome(result))).collect();
    let wanted: Vec<_> = pairs(step).map(|(name, is)| (name.to_owned(), is.to_owned())).collect();
    assert_eq!(got, wanted);
}

#[then("there are no results")]
async fn no_results(world: &mut LockWorld) {
    assert!(results(world).is_empty());
}

#[then(expr = "there are {int} results, all lost with LOCK_NOT_HELD")]
async fn all_lost(world: &mut LockWorld, count: usize) {
    let results = results(world);
    assert_eq!(results.len(), count);
    assert!(results.iter().all(|result| outcome(result) == reason::LOCK_NOT_HELD));
    let in_order = |(n, result)| name(result) == format!("plan/nobody-{n}");
    assert!(results.iter().enumerate().all(in_order), "in the order asked");
}

#[then("each result carries the token that was asked about")]
async fn tokens_are_told(world: &mut LockWorld) {
    for result in results(world) {
        let lock = renewed(result).expect("renewed");
        assert_eq!(result.fencing_token, lock.fencing_token);
        let resource = result.resource.as_ref().expect("a resource");
        assert_eq!(result.fencing_token, world.token(&lock.owner_id, resource));
    }
}

#[then("the renewed leases run for")]
async fn run_for(world: &mut LockWorld, step: &Step) {
    for (resource, ttl) in pairs(step) {
        let mut results = results(world).iter();
        let result = results.find(|result| name(result) == resource).expect("a result");
        let lock = renewed(result).expect("renewed");
        assert_eq!(lock.ttl, Some(ttl.parse::<Span>().expect("a span").0), "{resource}");
    }
}

#[then(expr = "all results but that of {resource} are renewed")]
async fn all_but_one(world: &mut LockWorld, lost: Resource) {
    let lost = lost.0.to_string();
    for result in results(world) {
        assert_eq!(renewed(result).is_none(), name(result) == lost, "{result:?}");
    }
}

#[then(expr = "{resource} is lost with {word}")]
async fn is_lost(world: &mut LockWorld, resource: Resource, reason: String) {
    let wanted = resource.0.to_string();
    let result = results(world).iter().find(|result| name(result) == wanted).expect("a result");
    assert_eq!(outcome(result), reason);
}

#[then(expr = "three responses come, for {resource}, for nothing and for {resource}")]
async fn three_come(world: &mut LockWorld, one: Resource, other: Resource) {
    let stream = world.keep_alive.as_mut().expect("an open stream");
    let wanted = [vec![one.0.to_string()], vec![], vec![other.0.to_string()]];
    for wanted in wanted {
        let KeepAliveResponse { results } =
            stream.next().await.expect("no error").expect("a response");
        let names: Vec<_> = results.iter().map(name).collect();
        assert_eq!(names, wanted);
    }
}

#[then("the stream ends well when the caller has no more requests")]
async fn ends_well(world: &mut LockWorld) {
    let mut stream = world.keep_alive.take().expect("an open stream");
    let (none, _) = tokio::sync::mpsc::channel(1);
    // Dropping the only sender ends the requests.
    stream.requests = none;
    assert_eq!(stream.next().await.expect("no error"), None);
}

#[then(expr = "the open stream ends with {word}")]
async fn stream_ends(world: &mut LockWorld, reason: String) {
    let mut stream = world.keep_alive.take().expect("an open stream");
    let status = stream.next().await.expect_err("the stream ends");
    assert_eq!(Refusal::of(&status).reason, reason);
}
