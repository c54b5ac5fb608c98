//! What must hold when a scenario has passed: nothing is left that nobody needs.

use proto::plan::v1 as wire;

use super::{PlanWorld, state};
use crate::answer::shown;

/// Stops what runs, and panics when something is left of a plan that has ended,
/// or of a run.
pub(super) async fn assert_nothing_is_left(world: &mut PlanWorld) {
    world.readers = None;
    world.watch = None;
    if world.locks.is_none() || world.instances.is_empty() {
        return;
    }
    let plans = all_plans(world).await;
    if let Some(locks) = &mut world.locks {
        locks.set_away(false).await;
    }
    for name in world.instances() {
        world.stop(&name).await;
    }
    world.scratch.no_process_is_left().await;
    assert_no_run_has_a_lock(world).await;
    assert_no_ref_of_an_ended_plan(world, &plans);
    if world.unclean.is_empty() {
        assert_no_worktree(world);
    }
}

async fn all_plans(world: &PlanWorld) -> Vec<wire::Plan> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListPlansRequest { page_token, ..Default::default() };
        let answer = world.ask(async |mut client| client.list_plans(request).await).await;
        let page = answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
        all.extend(page.plans);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Locks of runs have UUIDs as owners; those of people have names.
async fn assert_no_run_has_a_lock(world: &PlanWorld) {
    let locks = world.locks();
    service_kit::testing::eventually("no run has a lock", super::SOON, async || {
        let held = locks.all().await;
        (!held.iter().any(|lock| lock.owner_id.contains('-'))).then_some(())
    })
    .await;
}

fn assert_no_ref_of_an_ended_plan(world: &PlanWorld, plans: &[wire::Plan]) {
    for (name, project) in &world.projects {
        let refs = project.refs();
        for plan in plans.iter().filter(|plan| matches!(state(plan), "APPLIED" | "CANCELLED")) {
            if gone_with_its_project(plan) {
                continue;
            }
            assert!(!refs.contains(&plan.plan_id), "{name} has refs of an ended plan: {refs}");
        }
    }
}

/// A plan that was cancelled while its project was not there leaves its refs.
fn gone_with_its_project(plan: &wire::Plan) -> bool {
    let reason = plan.problem.as_ref().map(|problem| problem.message.as_str());
    reason.is_some_and(|reason| reason.contains("the project is gone"))
}

fn assert_no_worktree(world: &PlanWorld) {
    for (name, project) in &world.projects {
        assert_eq!(project.worktrees(), 1, "{name}: {}", project.git(&["worktree", "list"]));
    }
    let data = world.scratch.at("data");
    for entry in std::fs::read_dir(data).expect("the data folders") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let left = world.scratch.worktrees(&name);
        assert!(left.is_empty(), "{name} has left {left:?}");
    }
}
