//! Moves of plans, one at a time.

use cucumber::{gherkin::Step, given, then, when};
use prost_types::Duration;
use proto::plan::v1 as wire;

use crate::{
    answer::shown,
    vocabulary::{pairs, span},
    world::plans::{PlanWorld, Refusal, SOON, phase, script_step, state, verb, wait_of},
};

async fn move_plan(world: &mut PlanWorld, plan: &str, moved: &str) {
    let id = world.plan_id(plan);
    world.make_move(verb(moved), &id).await;
}

#[given(regex = "^(the plan|plan [A-Z]) is (executed|applied|reverted|retried|cancelled)$")]
#[when(regex = "^(the plan|plan [A-Z]) is (executed|applied|reverted|retried|cancelled)$")]
async fn is_moved(world: &mut PlanWorld, plan: String, moved: String) {
    move_plan(world, &plan, &moved).await;
}

#[when(regex = r"^(the plan|plan [A-Z]) is (executed|applied|retried) at (\w+)$")]
async fn is_moved_at(world: &mut PlanWorld, plan: String, moved: String, instance: String) {
    world.turn_to(&instance);
    move_plan(world, &plan, &moved).await;
}

#[when(regex = r#"^(the plan|plan [A-Z]) is cancelled because "(.+)"$"#)]
async fn is_cancelled(world: &mut PlanWorld, plan: String, reason: String) {
    let request = wire::CancelPlanRequest { plan_id: world.plan_id(&plan), reason };
    let answer = world.ask(async |mut client| client.cancel_plan(request).await).await;
    world.answer = Some(answer.map(|answer| answer.plan));
}

#[when(regex = r"^the plan is retried, and waits (\d+) s for the project$")]
async fn is_retried_in_line(world: &mut PlanWorld, seconds: i64) {
    let project_wait = Some(wait_of(seconds));
    let request = wire::RetryPlanRequest { plan_id: world.plan_id("the plan"), project_wait };
    let answer = world.ask(async |mut client| client.retry_plan(request).await).await;
    world.answer = Some(answer.map(|answer| answer.plan));
    world.answered_plan();
}

#[when(regex = "^the plan is asked to be applied with a project_wait of (.+)$")]
async fn is_applied_with(world: &mut PlanWorld, wait: String) {
    apply(world, span(&wait)).await;
}

async fn apply(world: &mut PlanWorld, wait: Duration) {
    let plan_id = world.plan_id("the plan");
    let request = wire::ApplyPlanRequest { plan_id, project_wait: Some(wait) };
    let answer = world.ask(async |mut client| client.apply_plan(request).await).await;
    world.answer = Some(answer.map(|answer| answer.plan));
}

/// The state that a run of the move is in: its step has come there.
#[when(regex = r#"^the plan is (executed|applied) as far as "(.+)"$"#)]
async fn is_moved_as_far_as(world: &mut PlanWorld, moved: String, mark: String) {
    if moved == "applied" {
        world.scratch.give("go-on");
        let id = world.plan_id("the plan");
        world.becomes(&id, "EXECUTE COMPLETE", SOON).await;
        world.make_move("apply", &id).await;
        world.answered_plan();
    }
    world.scratch.reached(&mark).await;
}

#[then(regex = r"^the answer is a plan that is (\w+) (\w+)$")]
async fn answer_is(world: &mut PlanWorld, wanted_phase: String, wanted_state: String) {
    let plan = world.answered_plan();
    assert_eq!((phase(plan), state(plan)), (wanted_phase.as_str(), wanted_state.as_str()));
    assert!(plan.fencing_token > 0, "{plan:?}");
    let run = plan.run.as_ref().map(|run| (run.instance.as_str(), run.owner_id.is_empty()));
    let working = state(plan) == "PROCESSING";
    assert_eq!(run, working.then_some((world.current(), false)), "a run where it works: {plan:?}");
}

#[then("the answer is a plan that is to be cancelled")]
async fn answer_is_to_be_cancelled(world: &mut PlanWorld) {
    let plan = world.answered_plan();
    assert_ne!(plan.cancel_requested, state(plan) == "CANCELLED", "{plan:?}");
}

#[then("the plan is not to be cancelled any more")]
async fn is_not_to_be_cancelled(world: &mut PlanWorld) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    assert!(!plan.cancel_requested, "{plan:?}");
}

// === a plan that stands somewhere ===

/// The action of [`a_plan_that_is`]: what goes wrong with it depends on what is
/// given.
async fn create_fragile(world: &mut PlanWorld) {
    let out = world.scratch.out();
    let step = |name, script| script_step(name, script, &out);
    let action = wire::Action {
        name: "demo/fragile".to_owned(),
        steps: vec![step("write", r#"test ! -e "$OUT/fail-step" && echo new > new.txt"#)],
        checks: vec![step("check", r#"test ! -e "$OUT/fail-check""#)],
        ..Default::default()
    };
    world.create(action).await;
}

#[given(regex = r"^a plan that is (\w+) (\w+)$")]
async fn a_plan_that_is(world: &mut PlanWorld, wanted_phase: String, wanted_state: String) {
    create_fragile(world).await;
    let (wanted_phase, wanted_state) = (wanted_phase.as_str(), wanted_state.as_str());
    match (wanted_phase, wanted_state) {
        ("STRATEGIZE", "ERRORED") => {
            let shop = world.project_mut("shop");
            shop.git(&["checkout", "-q", "--detach"]);
            shop.note();
        }
        ("EXECUTE", "ERRORED") => world.scratch.give("fail-step"),
        ("APPLY", "ERRORED" | "CANCELLED") => world.scratch.give("fail-check"),
        _ => {}
    }
    world.use_action("the plan", "demo/fragile", "shop", &[]).await;
    let id = world.answered_plan().plan_id.clone();
    let mut last = world.comes_to_rest(&id).await;
    for (next, asked) in [("EXECUTE", "execute"), ("APPLY", "apply")] {
        if phase(&last) == wanted_phase {
            break;
        }
        if next == "APPLY" && wanted_state == "CONSTRAINED" {
            world.project_mut("shop").commit("new.txt", "another\n");
        }
        world.make_move(asked, &id).await;
        world.answered_plan();
        last = world.comes_to_rest(&id).await;
    }
    if wanted_state == "CANCELLED" {
        world.make_move("cancel", &id).await;
        last = world.comes_to_rest(&id).await;
    }
    assert_eq!((phase(&last), state(&last)), (wanted_phase, wanted_state), "{last:?}");
    world.project_mut("shop").note();
}

#[given("what was wrong is put right")]
async fn is_put_right(world: &mut PlanWorld) {
    world.scratch.take("fail-step");
    world.scratch.take("fail-check");
    let shop = world.project_mut("shop");
    shop.git(&["checkout", "-q", "main"]);
    shop.note();
}

/// Takes a plan from wherever it stands to its end.
#[then(regex = "^(the plan|plan [A-Z]) can be taken to APPLY APPLIED$")]
async fn can_be_applied(world: &mut PlanWorld, plan: String) {
    let id = world.plan_id(&plan);
    for _ in 0..4 {
        let now = world.comes_to_rest(&id).await;
        let asked = match (phase(&now), state(&now)) {
            ("APPLY", "APPLIED") => return,
            (_, "ERRORED") => "retry",
            ("STRATEGIZE", "COMPLETE") => "execute",
            ("EXECUTE", "COMPLETE") => "apply",
            other => panic!("stuck at {other:?}: {now:?}"),
        };
        world.make_move(asked, &id).await;
        world.answered_plan();
    }
    world.becomes(&id, "APPLY APPLIED", SOON).await;
}

// === moves that are refused ===

#[then(regex = "^each of these moves is refused and changes nothing: (.+)$")]
async fn are_refused(world: &mut PlanWorld, moves: String) {
    let id = world.plan_id("the plan");
    let before = world.all_written(&id).await;
    world.race.clear();
    for asked in moves.split(", ").map(verb) {
        world.make_move(asked, &id).await;
        let answer = world.answer.take().expect("an answer");
        let refusal = Refusal::of(answer.as_ref().expect_err("refused"));
        assert_eq!(refusal.reason, "INVALID_TRANSITION", "{refusal:?}");
        assert_eq!(refusal.told("move"), asked);
        assert_eq!(refusal.told("plan_id"), id);
        world.race.push((asked.to_owned(), answer));
    }
    assert_eq!(world.all_written(&id).await, before, "nothing has changed");
    world.locks().is_free(&proto::lock::v1::Resource::new("plan", &id)).await;
    let now = world.get_plan(&id).await;
    for (_, answer) in &world.race {
        let refusal = Refusal::of(answer.as_ref().expect_err("refused"));
        assert_eq!((refusal.told("phase"), refusal.told("state")), (phase(&now), state(&now)));
    }
}

#[then(regex = "^each time it is said that (.+)$")]
async fn it_is_said(world: &mut PlanWorld, why: String) {
    for (asked, answer) in &world.race {
        let status = answer.as_ref().expect_err("refused");
        assert_eq!(Refusal::of(status).told("why"), why, "{asked}");
        assert!(status.message().contains(&why), "{}", shown(status));
    }
}

#[then(regex = r#"^each time what is possible is "(.*)"$"#)]
async fn it_is_possible(world: &mut PlanWorld, possible: String) {
    for (asked, answer) in &world.race {
        let refusal = Refusal::of(answer.as_ref().expect_err("refused"));
        assert_eq!(refusal.told("possible"), possible, "{asked}");
    }
}

#[then(regex = r#"^the plan says that what is possible is "(.*)"$"#)]
async fn plan_says_what_is_possible(world: &mut PlanWorld, possible: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    assert_eq!(plan.possible_moves.join(","), possible);
}

#[then("without a lock none of these begins, and nothing changes")]
async fn none_begins(world: &mut PlanWorld, step: &Step) {
    for (plan, moves) in pairs(step) {
        let id = world.plan_id(plan);
        let before = world.all_written(&id).await;
        for asked in moves.split(", ").map(verb) {
            world.make_move(asked, &id).await;
            assert_eq!(world.refusal().reason, "LOCK_SERVER_UNAVAILABLE", "{asked} of {plan}");
        }
        assert_eq!(world.all_written(&id).await, before, "nothing of {plan} has changed");
    }
}

#[then(regex = r"^without a lock (\S+/\S+) can not be used on (\w+)$")]
async fn cannot_be_used(world: &mut PlanWorld, action: String, project: String) {
    let plans = world.diagnostics(None).await.plans;
    world.use_action("none", &action, &project, &[]).await;
    assert_eq!(world.refusal().reason, "LOCK_SERVER_UNAVAILABLE");
    assert_eq!(world.diagnostics(None).await.plans, plans, "no plan was made");
}
