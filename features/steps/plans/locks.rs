//! The locks of plans and projects, and those who hold them or wait.

use std::time::Duration;

use cucumber::{given, then, when};
use proto::{lock::v1 as lock, plan::v1 as wire};
use service_kit::testing::eventually;
use tokio::time::timeout;

use crate::{
    answer::shown,
    world::plans::{PATIENCE, PlanWorld, Refusal, SOON, ask_for, of_plan, phase, state, wait_of},
};

/// The resource that a feature calls so: "the plan", "plan A", "project/shop".
fn resource(world: &PlanWorld, name: &str) -> lock::Resource {
    match name.split_once('/') {
        Some((kind, id)) => lock::Resource::new(kind, id),
        None => of_plan(&world.plan_id(name)),
    }
}

/// The owner of a plan's run.
async fn run_of(world: &PlanWorld, plan: &str) -> String {
    let plan = world.get_plan(&world.plan_id(plan)).await;
    plan.run.unwrap_or_else(|| panic!("no run works on it")).owner_id
}

#[then(regex = r"^the lock of (\S+|the plan|plan [A-Z]) is free$")]
async fn is_free(world: &mut PlanWorld, name: String) {
    world.locks().is_free(&resource(world, &name)).await;
}

#[then("the lock of the plan is held")]
async fn is_held(world: &mut PlanWorld) {
    let lock = world.locks().live(&resource(world, "the plan")).await;
    assert!(lock.is_some(), "nobody holds it");
}

#[then(regex = "^the lock of (the plan|plan [A-Z]) is held by its run$")]
async fn is_held_by_its_run(world: &mut PlanWorld, name: String) {
    let lock = world.locks().live(&resource(world, &name)).await.expect("somebody holds it");
    let plan = world.get_plan(&world.plan_id(&name)).await;
    assert_eq!(lock.owner_id, plan.run.expect("a run").owner_id);
    assert_eq!(lock.fencing_token, plan.fencing_token);
}

/// A plan, asked for with its lock.
async fn with_lock(world: &PlanWorld, name: &str) -> wire::GetPlanResponse {
    let request = wire::GetPlanRequest { plan_id: world.plan_id(name), with_lock: true };
    let answer = world.ask(async |mut client| client.get_plan(request).await).await;
    answer.unwrap_or_else(|status| panic!("{}", shown(&status)))
}

#[then(regex = "^(the plan|plan [A-Z]) is told with its lock, which its run holds$")]
async fn is_told_with_lock(world: &mut PlanWorld, name: String) {
    let told = with_lock(world, &name).await;
    let (plan, lock) = (told.plan.expect("the plan"), told.lock.expect("its lock"));
    assert_eq!((lock.owner_id, lock.stale), (plan.run.expect("a run").owner_id, false));
    assert_eq!(lock.fencing_token, plan.fencing_token);
    assert!(lock.expire_time.is_some() && told.lock_error.is_empty());
    // Only when it is asked for.
    let request = wire::GetPlanRequest { plan_id: world.plan_id(&name), with_lock: false };
    let answer = world.ask(async |mut client| client.get_plan(request).await).await;
    assert_eq!(answer.expect("a plan").lock, None);
}

#[then(regex = "^(the plan|plan [A-Z]) is told with its lock, which nobody holds$")]
async fn is_told_without_lock(world: &mut PlanWorld, name: String) {
    let told = with_lock(world, &name).await;
    assert_eq!((told.lock, told.lock_error.as_str()), (None, ""));
}

#[then(regex = "^(the plan|plan [A-Z]) is told, and why nothing is known of its lock$")]
async fn is_told_why(world: &mut PlanWorld, name: String) {
    let told = with_lock(world, &name).await;
    assert_eq!(told.plan.expect("the plan").plan_id, world.plan_id(&name));
    assert!(told.lock.is_none() && !told.lock_error.is_empty(), "{}", told.lock_error);
}

#[given(regex = r"^Ann holds the lock of (\S+)$")]
async fn holds(world: &mut PlanWorld, name: String) {
    world.locks().acquire("Ann", &resource(world, &name)).await;
}

#[when(regex = r"^Ann releases the lock of (.+)$")]
async fn releases(world: &mut PlanWorld, name: String) {
    world.locks().release("Ann", &resource(world, &name)).await;
}

#[when("Ann waits for the lock of the plan")]
async fn waits(world: &mut PlanWorld) {
    let resource = resource(world, "the plan");
    world.locks.as_mut().expect("a lock server").wait("Ann", &resource).await;
}

#[then("Ann is granted the lock of the plan, and no process of a step is left by then")]
async fn is_granted(world: &mut PlanWorld) {
    let lock = world.locks.as_mut().expect("a lock server").end_of_wait().await;
    let left = world.scratch.processes();
    assert_eq!(lock.owner_id, "Ann");
    assert!(left.is_empty(), "{left:?}");
}

#[when(regex = r"^an operator breaks the hold on (the plan's lock|the lock of \S+)$")]
async fn breaks(world: &mut PlanWorld, what: String) {
    let name = what.strip_prefix("the lock of ").unwrap_or("the plan");
    world.locks().force_release(&resource(world, name)).await;
}

#[when("the lease on the plan's lock is over")]
async fn is_over(world: &mut PlanWorld) {
    world.locks().is_not_live(&resource(world, "the plan")).await;
}

#[then(regex = r"^(\d+) waits for the lock of (\S+)$")]
async fn wait_for(world: &mut PlanWorld, count: u64, name: String) {
    world.locks().queue_is(&resource(world, &name), count).await;
}

#[then(regex = r"^nobody waits for the lock of (\S+)$")]
async fn nobody_waits(world: &mut PlanWorld, name: String) {
    world.locks().queue_is(&resource(world, &name), 0).await;
}

// === those who ask and wait ===

#[when(
    regex = r"^someone asks for (the plan|plan [A-Z]) to be applied, and waits (\d+) s for the project$"
)]
async fn asks(world: &mut PlanWorld, plan: String, seconds: i64) {
    let wait = Some(wait_of(seconds));
    let call = ask_for(world.client(), "apply", world.plan_id(&plan), wait);
    world.asking = Some(tokio::spawn(call));
    world.answer = None;
}

#[then("the one who asked has no answer yet")]
async fn no_answer_yet(world: &mut PlanWorld) {
    assert!(!world.asking.as_ref().expect("someone asked").is_finished());
}

async fn answer(world: &mut PlanWorld) {
    let asking = world.asking.take().expect("someone asked");
    let answer = timeout(PATIENCE, asking).await.expect("an answer in time");
    world.answer = Some(answer.expect("nobody cancels the call"));
}

#[then(regex = r"^the one who asked gets a plan that is (\w+) (\w+)$")]
async fn gets(world: &mut PlanWorld, wanted_phase: String, wanted_state: String) {
    answer(world).await;
    let plan = world.answered_plan();
    assert_eq!((phase(plan), state(plan)), (wanted_phase.as_str(), wanted_state.as_str()));
}

#[then(regex = r"^the one who asked is refused with (\w+)$")]
async fn is_refused(world: &mut PlanWorld, reason: String) {
    answer(world).await;
    assert_eq!(world.refusal().reason, reason);
}

// === conflicts ===

/// Checks that a conflict tells who holds what, until when.
async fn assert_conflict(
    world: &PlanWorld,
    refusal: &Refusal,
    holder: &str,
    resource: &lock::Resource,
) {
    assert_eq!(refusal.told("holder"), holder);
    assert_eq!(refusal.told("resource"), resource.to_string());
    let told = refusal.told("expire_time");
    assert!(told.ends_with('Z'), "RFC 3339 in UTC: {told}");
    let told: prost_types::Timestamp = told.parse().expect("RFC 3339");
    let lock = world.locks().live(resource).await.expect("somebody holds it");
    // It may have been renewed since.
    let now = lock.expire_time.expect("a time");
    assert!(
        (told.seconds, told.nanos) <= (now.seconds, now.nanos)
            && (told.seconds, told.nanos) > (lock.acquire_time.expect("a time").seconds, 0),
        "{told} for {lock:?}"
    );
}

#[then("each conflict names plan's run as the holder of its lock, and when its lease expires")]
async fn each_names_the_run(world: &mut PlanWorld) {
    let holder = run_of(world, "the plan").await;
    let resource = resource(world, "the plan");
    let refused: Vec<_> = world
        .race
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().err())
        .map(Refusal::of)
        .collect();
    assert!(!refused.is_empty());
    for refusal in refused {
        assert_conflict(world, &refusal, &holder, &resource).await;
    }
}

#[then(regex = r"^the conflict names Ann as the holder of (\S+), and when her lease expires$")]
async fn names_ann(world: &mut PlanWorld, name: String) {
    assert_conflict(world, &world.refusal(), "Ann", &resource(world, &name)).await;
}

#[then(regex = r"^the conflict names (plan [A-Z])'s run as the holder of (\S+)$")]
async fn names_run(world: &mut PlanWorld, plan: String, name: String) {
    let holder = run_of(world, &plan).await;
    assert_conflict(world, &world.refusal(), &holder, &resource(world, &name)).await;
}

#[then(regex = r#"^"(\w+)" comes to hold (\d+) lines, none twice$"#)]
async fn comes_to_hold(world: &mut PlanWorld, file: String, count: usize) {
    let lines = eventually(&format!("{count} lines in {file}"), SOON, async || {
        let lines = world.scratch.lines(&file);
        (lines.len() == count).then_some(lines)
    })
    .await;
    let different: std::collections::BTreeSet<_> = lines.iter().collect();
    assert_eq!(different.len(), count, "{lines:?}");
}

#[then(regex = r"^each of these moves is refused with (\w+): (.+)$")]
async fn each_is_refused(world: &mut PlanWorld, reason: String, moves: String) {
    let id = world.plan_id("the plan");
    world.race.clear();
    for asked in moves.split(", ") {
        let began = tokio::time::Instant::now();
        world.make_move(asked, &id).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{asked}: at once");
        let refused = world.answer.take().expect("an answer");
        let status = refused.as_ref().expect_err("refused");
        assert_eq!(Refusal::of(status).reason, reason, "{asked}: {}", shown(status));
        world.race.push((asked.to_owned(), refused));
    }
}
