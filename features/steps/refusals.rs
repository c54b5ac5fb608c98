//! Refusals, and what they tell.

use std::collections::BTreeSet;

use cucumber::{gherkin::Step, then};
use prost_types::Timestamp;

use crate::{
    answer::{Refusal, bytes_on_the_wire, shown},
    vocabulary::{Owner, Span, column, pairs, text},
    world::LockWorld,
};

/// What a default client of gRPC reads of the headers of an answer.
const MOST_BYTES: usize = 8 * 1024;

#[then(expr = "the request is refused with {word}")]
async fn is_refused(world: &mut LockWorld, reason: String) {
    assert_eq!(world.refusal().reason, reason, "{}", shown(world.status()));
}

#[then("the refusal takes less than 8 KiB on the wire")]
async fn is_small(world: &mut LockWorld) {
    let bytes = bytes_on_the_wire(world.status());
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}

#[then("the transport refuses it without details")]
async fn transport_refuses(world: &mut LockWorld) {
    let status = world.status();
    assert!(status.details().is_empty(), "{}", shown(status));
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{}", shown(status));
}

// === metadata ===

#[then("the refusal tells")]
async fn tells(world: &mut LockWorld, step: &Step) {
    let refusal = world.refusal();
    for (key, value) in pairs(step) {
        assert_eq!(refusal.told(key), value, "{key}");
    }
}

#[then(expr = "the refusal tells nothing under {string}")]
async fn tells_nothing(world: &mut LockWorld, prefix: String) {
    let refusal = world.refusal();
    assert!(!refusal.metadata.keys().any(|key| key.starts_with(&prefix)), "{refusal:?}");
}

#[then(regex = r"^the refusal tells between (\d+) and (\d+) as the (\w+)$")]
async fn tells_between(world: &mut LockWorld, least: u64, most: u64, key: String) {
    let told = world.refusal().told(&key).parse().expect("a number");
    assert!((least..=most).contains(&told), "{told}");
}

#[then(regex = r"^the refusal tells the (\w+)(?: and (\w+))? of ([A-Z][a-z]+)'s lock$")]
async fn tells_times(world: &mut LockWorld, one: String, other: String, owner: Owner) {
    let refusal = world.refusal();
    let lock = world.seen(refusal.told("resource")).last().expect("the lock was seen");
    assert_eq!(lock.owner_id, owner.0);
    for key in [one, other].iter().filter(|key| !key.is_empty()) {
        let told = refusal.told(key);
        assert!(told.ends_with('Z'), "RFC 3339 in UTC: {told}");
        let told: Timestamp = told.parse().expect("RFC 3339");
        let wanted = if key == "acquire_time" { lock.acquire_time } else { lock.expire_time };
        assert_eq!(Some(told), wanted, "{key}");
    }
}

#[then(expr = "the refusal names {owner} as the holder")]
async fn names_holder(world: &mut LockWorld, owner: Owner) {
    assert_eq!(world.refusal().told("holder"), owner.0);
}

#[then(regex = "^the refusal names the owner (.+) as the holder$")]
async fn names_any_holder(world: &mut LockWorld, owner: String) {
    assert_eq!(world.refusal().told("holder"), text(&owner));
}

#[then(expr = "the refusal tells {owner}'s token as the {word}")]
async fn tells_token(world: &mut LockWorld, owner: Owner, key: String) {
    let refusal = world.refusal();
    let resource = refusal.told("resource").parse().expect("a resource");
    assert_eq!(refusal.told(&key), world.token(&owner.0, &resource).to_string());
}

#[then(expr = "the refusal says that {word} broke the hold, with the reason {string}")]
async fn tells_who_broke_it(world: &mut LockWorld, actor: String, reason: String) {
    let refusal = world.refusal();
    assert_eq!(refusal.told("released_by"), actor);
    assert_eq!(refusal.told("release_reason"), reason);
    let message = world.status().message();
    assert!(message.contains(&actor) && message.contains(&reason), "{message}");
}

#[then("the refusal names no holder")]
async fn names_no_holder(world: &mut LockWorld) {
    assert_eq!(world.refusal().metadata.get("holder"), None);
}

// === details ===

#[then(expr = "the refusal's ResourceInfo names {owner} as the owner")]
async fn resource_info(world: &mut LockWorld, owner: Owner) {
    let refusal = world.refusal();
    assert_eq!(refusal.details.resource_info().expect("ResourceInfo").owner, owner.0);
}

#[then(expr = "the refusal says to try again after more than nothing and at most {span}")]
async fn retry_info(world: &mut LockWorld, most: Span) {
    let refusal = world.refusal();
    let delay = refusal.details.retry_info().and_then(|info| info.retry_delay);
    let delay = delay.expect("a delay");
    assert!(!delay.is_zero() && delay <= most.std(), "{delay:?}");
}

/// The fields that a refusal names; none twice.
fn fields(refusal: &Refusal) -> BTreeSet<String> {
    let request = refusal.details.bad_request().expect("BadRequest");
    let violations = &request.field_violations;
    assert!(violations.iter().all(|violation| !violation.description.is_empty()));
    let fields: BTreeSet<_> = violations.iter().map(|violation| violation.field.clone()).collect();
    assert_eq!(fields.len(), violations.len(), "a field twice: {violations:?}");
    fields
}

fn listed(list: &str) -> BTreeSet<String> {
    list.split(", ").map(str::to_owned).collect()
}

#[then("the refusal names exactly the fields")]
async fn names_fields(world: &mut LockWorld, step: &Step) {
    let wanted: BTreeSet<_> = column(step).into_iter().map(str::to_owned).collect();
    assert_eq!(fields(&world.refusal()), wanted);
}

#[then(expr = "the refusal names exactly the fields {string}")]
async fn names_these_fields(world: &mut LockWorld, list: String) {
    assert_eq!(fields(&world.refusal()), listed(&list));
}

#[then(expr = "the refusal names the fields {string} and one of the metadata")]
async fn names_these_and_metadata(world: &mut LockWorld, list: String) {
    let (metadata, others): (BTreeSet<_>, BTreeSet<_>) =
        fields(&world.refusal()).into_iter().partition(|field| field.starts_with("metadata"));
    assert_eq!(others, listed(&list));
    assert_eq!(metadata.len(), 1, "{metadata:?}");
}

#[then(expr = "every field that the refusal names starts with {string}")]
async fn names_fields_under(world: &mut LockWorld, prefix: String) {
    let fields = fields(&world.refusal());
    assert!(!fields.is_empty() && fields.iter().all(|field| field.starts_with(&prefix)));
}

#[then(expr = "the refusal names the first {int} leases")]
async fn names_leases(world: &mut LockWorld, count: usize) {
    let wanted: BTreeSet<_> = (0..count).map(|n| format!("leases[{n}].resource")).collect();
    assert_eq!(fields(&world.refusal()), wanted);
}
