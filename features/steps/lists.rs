//! Lists of live and stale locks, page by page, and purges.

use cucumber::{gherkin::Step, given, then, when};
use proto::lock::v1::LockState;
use service_kit::testing::eventually;

use super::lock_state::as_of;
use crate::{
    answer::Reply,
    draft::Draft,
    vocabulary::{Owner, Resource, Span, column, pairs, span_micros, text},
    world::{LockWorld, SOON, name_of},
};

const LIVE: &str = "ListLocks";
const STALE: &str = "ListStale";

/// Asks for a list with the fields of a step's table, if it has one.
pub(super) async fn list(world: &mut LockWorld, rpc: &str, step: &Step, page_token: &str) {
    let mut draft = Draft::default();
    // Of all resources, unless the table names one.
    draft.set("resource", "(missing)");
    if step.table.is_some() {
        for (field, cell) in pairs(step) {
            draft.set(field, cell);
        }
    }
    draft.set("page_token", page_token);
    draft.send(rpc, world).await;
}

fn names(world: &LockWorld) -> Vec<String> {
    world.reply().locks().iter().map(name_of).collect()
}

// === requests ===

#[given(regex = "^the locks are listed(?: with)?$")]
#[when(regex = "^the locks are listed(?: with)?$")]
async fn locks_are_listed(world: &mut LockWorld, step: &Step) {
    list(world, LIVE, step, "").await;
}

#[given(regex = "^the stale locks are listed(?: with)?$")]
#[when(regex = "^the stale locks are listed(?: with)?$")]
async fn stale_locks_are_listed(world: &mut LockWorld, step: &Step) {
    list(world, STALE, step, "").await;
}

#[when(regex = "^the next page is asked for(?: with)?$")]
async fn next_page(world: &mut LockWorld, step: &Step) {
    let token = world.page_token.clone();
    list(world, LIVE, step, &token).await;
}

#[when(regex = "^the next page of stale locks is asked for(?: with)?$")]
async fn next_stale_page(world: &mut LockWorld, step: &Step) {
    let token = world.page_token.clone();
    list(world, STALE, step, &token).await;
}

#[when("all locks are listed, page by page, with")]
async fn page_by_page(world: &mut LockWorld, step: &Step) {
    const ENOUGH: usize = 10;
    let mut token = String::new();
    for _ in 0..ENOUGH {
        list(world, LIVE, step, &token).await;
        world.pages.push(names(world).join(", "));
        token = world.page_token.clone();
        if token.is_empty() {
            return;
        }
    }
    panic!("the list does not end: {:?}", world.pages);
}

#[given(regex = "^the stale locks are purged(?: with)?$")]
#[when(regex = "^the stale locks are purged(?: with)?$")]
async fn purge(world: &mut LockWorld, step: &Step) {
    list(world, "PurgeStale", step, "").await;
    world.reply();
}

// === answers ===

#[then("the list is")]
async fn the_list(world: &mut LockWorld, step: &Step) {
    assert_eq!(names(world), column(step));
}

#[then(expr = "the list is {string}")]
async fn the_short_list(world: &mut LockWorld, list: String) {
    assert_eq!(names(world).join(", "), list);
}

#[then("the list is empty")]
async fn the_empty_list(world: &mut LockWorld) {
    assert_eq!(names(world), [""; 0]);
}

#[then(expr = "the list has {int} entries")]
async fn list_has(world: &mut LockWorld, count: usize) {
    assert_eq!(world.reply().locks().len(), count);
}

#[then(regex = "^there is (a|no) next page$")]
async fn there_is_a_next_page(world: &mut LockWorld, which: String) {
    assert_eq!(world.reply().next_page_token().is_empty(), which == "no");
}

#[then("the pages are")]
async fn the_pages(world: &mut LockWorld, step: &Step) {
    assert_eq!(world.pages, column(step));
}

#[then(expr = "the list holds {owner}'s lock on {resource} as it was granted")]
async fn list_holds(world: &mut LockWorld, owner: Owner, resource: Resource) {
    let name = resource.0.to_string();
    let granted = world.seen(&name).last().expect("it was granted");
    assert_eq!(granted.owner_id, owner.0);
    let mut locks = world.reply().locks().iter();
    let lock = locks.find(|lock| name_of(lock) == name).expect("it is in the list");
    assert_eq!(&as_of(lock, granted), granted);
    assert_eq!(lock.state(), LockState::Held);
}

#[then(regex = "^the plan (.+) is the only one in the list$")]
async fn the_only_one(world: &mut LockWorld, id: String, step: &Step) {
    list(world, LIVE, step, "").await;
    assert_eq!(names(world), [format!("plan/{}", text(&id))]);
}

#[then(expr = "{owner} holds nothing")]
async fn holds_nothing(world: &mut LockWorld, owner: Owner) {
    let mut draft = Draft::default();
    draft.set("owner_id", &owner.0);
    draft.send(LIVE, world).await;
    assert_eq!(names(world), [""; 0]);
}

// === stale locks ===

#[then(expr = "the count of stale locks is {int}")]
async fn stale_count(world: &mut LockWorld, count: u64) {
    match world.reply() {
        Reply::Stale(page) => assert_eq!(page.total_count, count),
        other => panic!("not a list of stale locks: {other:?}"),
    }
}

#[then("every lock of the list is stale with nothing remaining")]
async fn all_stale(world: &mut LockWorld) {
    for lock in world.reply().locks() {
        assert_eq!(lock.state(), LockState::Stale);
        assert_eq!(span_micros(lock.remaining.as_ref()), 0);
    }
}

#[then(expr = "within a moment the stale locks older than {span} are {string}")]
async fn become_older(world: &mut LockWorld, age: Span, wanted: String) {
    let age = format!("{} ms", age.std().as_millis());
    eventually("the stale locks are as old", SOON, async || {
        let mut draft = Draft::default();
        draft.set("older_than", &age);
        draft.send(STALE, world).await;
        (names(world).join(", ") == wanted).then_some(())
    })
    .await;
}
