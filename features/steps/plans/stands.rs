//! Where a plan stands, why, and what its steps have come to.

use std::time::Duration;

use cucumber::{gherkin::Step, given, then, when};
use proto::plan::v1 as wire;

use crate::{
    vocabulary::{pairs, text},
    world::plans::{PlanWorld, SOON, phase, state},
};

/// The name of a step's state, as features write it.
fn step_state(step: &wire::Step) -> &'static str {
    step.state().as_str_name().trim_start_matches("STEP_STATE_")
}

fn problem(plan: &wire::Plan) -> &wire::Problem {
    plan.problem.as_ref().unwrap_or_else(|| panic!("no problem: {plan:?}"))
}

fn assert_why(plan: &wire::Plan, reason: &str, step: &str) {
    if reason.is_empty() {
        return;
    }
    let problem = problem(plan);
    assert_eq!(problem.reason, reason, "{problem:?}");
    assert!(!problem.message.is_empty(), "a message for people");
    if !step.is_empty() {
        assert_eq!(problem.step, step, "{problem:?}");
    }
}

#[given(regex = r"^(the plan|plan [A-Z]) becomes (\w+ \w+)(?: by (\w+)(?: in (\w+))?)?$")]
#[then(regex = r"^(the plan|plan [A-Z]) becomes (\w+ \w+)(?: by (\w+)(?: in (\w+))?)?$")]
async fn becomes(
    world: &mut PlanWorld,
    plan: String,
    wanted: String,
    reason: String,
    failed: String,
) {
    let now = becomes_within(world, &plan, &wanted, SOON).await;
    assert_why(&now, &reason, &failed);
}

#[then(regex = r"^(the plan) becomes (\w+ \w+) within (\d+) s$")]
async fn becomes_later(world: &mut PlanWorld, plan: String, wanted: String, seconds: u64) {
    becomes_within(world, &plan, &wanted, Duration::from_secs(seconds)).await;
}

/// Waits for a state; a call that was refused is told of instead.
async fn becomes_within(
    world: &mut PlanWorld,
    plan: &str,
    wanted: &str,
    within: Duration,
) -> wire::Plan {
    if let Some(Err(status)) = &world.answer {
        panic!("refused: {}", crate::answer::shown(status));
    }
    let id = world.plan_id(plan);
    let now = world.becomes(&id, wanted, within).await;
    let well = matches!(state(&now), "COMPLETE" | "APPLIED");
    assert_eq!(now.problem.is_none(), well, "a problem where it is not well: {now:?}");
    assert!(now.run.is_none(), "no run works on it: {now:?}");
    now
}

#[then(regex = r"^(the plan|plan [A-Z]) is (\w+ \w+)(?: by (\w+))?$")]
async fn is(world: &mut PlanWorld, plan: String, wanted: String, reason: String) {
    let plan = world.get_plan(&world.plan_id(&plan)).await;
    assert_eq!(format!("{} {}", phase(&plan), state(&plan)), wanted, "{plan:?}");
    assert_why(&plan, &reason, "");
}

#[then("the plan comes to rest")]
async fn comes_to_rest(world: &mut PlanWorld) {
    let id = world.plan_id("the plan");
    let plan = world.comes_to_rest(&id).await;
    assert!(matches!(state(&plan), "COMPLETE" | "APPLIED"), "{plan:?}");
}

#[then(regex = r#"^the problem says "(.+)"$"#)]
async fn problem_says(world: &mut PlanWorld, words: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let said = &problem(&plan).message;
    assert!(said.contains(&words), "{said}");
}

#[then(regex = r#"^the problem names the files "(.+)"$"#)]
async fn problem_names(world: &mut PlanWorld, files: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let problem = problem(&plan);
    let wanted: Vec<_> = files.split(", ").collect();
    let mut named = problem.files.clone();
    named.sort();
    assert_eq!(named, wanted, "{problem:?}");
    for file in wanted {
        assert!(problem.message.contains(file), "{}", problem.message);
    }
}

fn listed(steps: &[wire::Step]) -> String {
    let one = |step: &wire::Step| format!("{} {}", step.name, step_state(step));
    steps.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[then(regex = r#"^the (steps|checks) are "(.+)"$"#)]
async fn steps_are(world: &mut PlanWorld, which: String, wanted: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let steps = if which == "steps" { &plan.steps } else { &plan.checks };
    assert_eq!(listed(steps), wanted);
    for step in steps {
        let (begun, ended) = (step.start_time.is_some(), step.end_time.is_some());
        let expected = step_state(step) != "WAITING";
        assert_eq!((begun, ended), (expected, expected), "times where it ran: {step:?}");
    }
}

#[then(regex = r"^step (\w+) ended with (?:exit code (\d+)|signal (\d+)|neither)$")]
async fn step_ended(world: &mut PlanWorld, name: String, code: String, signal: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let step = plan.steps.iter().find(|step| step.name == name).expect("the step");
    assert_eq!(step.exit_code, code.parse().ok(), "{step:?}");
    assert_eq!(step.signal, signal.parse().ok(), "{step:?}");
}

#[then("the plan's arguments are")]
async fn arguments_are(world: &mut PlanWorld, step: &Step) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let wanted = pairs(step).map(|(name, value)| (name.to_owned(), text(value))).collect();
    assert_eq!(plan.arguments, wanted);
}

#[then(regex = r"^the plan starts from (\w+)'s commit on (\w+)$")]
async fn starts_from(world: &mut PlanWorld, project: String, branch: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let strategy = plan.strategy.expect("a strategy");
    assert_eq!(strategy.base_commit, world.project(&project).noted().commit);
    assert_eq!(strategy.base_branch, format!("refs/heads/{branch}"));
    assert!(
        plan.head_commit.is_empty() && plan.steps.iter().all(|one| step_state(one) == "WAITING")
    );
}

#[then(regex = r"^the plan was strategized (\d+) times$")]
async fn was_strategized(world: &mut PlanWorld, times: u32) {
    assert_eq!(world.get_plan(&world.plan_id("the plan")).await.generation, times);
}

#[then("the history of the plan is")]
async fn history_is(world: &mut PlanWorld, step: &Step) {
    let near = world.near_view(&world.plan_id("the plan")).await;
    let wanted: Vec<_> = pairs(step).map(|(one, other)| format!("{one} {other}")).collect();
    let name = |event: &wire::PlanEvent| {
        let plan = wire::Plan { phase: event.phase, state: event.state, ..Default::default() };
        format!("{} {}", phase(&plan), state(&plan))
    };
    let told: Vec<_> = near.events.iter().map(name).collect();
    assert_eq!(told, wanted);
    assert!(near.events.is_sorted_by_key(|event| event.fencing_token), "{:?}", near.events);
    assert!(
        near.events.iter().all(|event| !event.instance.is_empty() && event.event_time.is_some())
    );
}

// === what scripts leave and wait for ===

#[when(regex = r#"^"([^"]+)" is reached$"#)]
async fn is_reached(world: &mut PlanWorld, mark: String) {
    if let Some(Err(status)) = &world.answer {
        panic!("refused: {}", crate::answer::shown(status));
    }
    world.scratch.reached(&mark).await;
}

#[given(regex = r#"^"([^"]+)" is given$"#)]
#[when(regex = r#"^"([^"]+)" is given$"#)]
#[then(regex = r#"^"([^"]+)" is given$"#)]
async fn is_given(world: &mut PlanWorld, mark: String) {
    world.scratch.give(&mark);
}

#[then(regex = r#"^"([^"]+)" holds the lines "(.*)"$"#)]
async fn holds_lines(world: &mut PlanWorld, file: String, lines: String) {
    assert_eq!(world.scratch.lines(&file).join(", "), lines);
}

#[then("no process of a step is left")]
async fn no_process_is_left(world: &mut PlanWorld) {
    world.scratch.no_process_is_left().await;
}
