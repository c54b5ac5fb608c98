//! Actions, and plans made of them.

use cucumber::{gherkin::Step, given, then, when};
use proto::plan::v1 as wire;

use crate::{
    answer::shown,
    vocabulary::{pairs, text},
    world::plans::{PlanWorld, SOON, from_table, from_toml, script_step},
};

fn docstring(step: &Step) -> &str {
    step.docstring.as_deref().expect("the text of a file")
}

/// Creates an action, whatever comes of it.
async fn try_create(world: &mut PlanWorld, action: Option<wire::Action>) {
    let request = wire::CreateActionRequest { action };
    let answer = world.ask(async |mut client| client.create_action(request).await).await;
    world.answer = Some(answer.map(|_| None));
}

#[given(expr = "the action {word}\\/{word}")]
async fn the_action(world: &mut PlanWorld, namespace: String, name: String, step: &Step) {
    let action = from_table(&format!("{namespace}/{name}"), step, &world.scratch.out());
    world.create(action).await;
}

#[given("the action")]
async fn the_action_of_a_file(world: &mut PlanWorld, step: &Step) {
    let action = from_toml(docstring(step), &world.scratch.out());
    world.create(action).await;
}

#[given(regex = r"^the actions (.+)$")]
async fn the_actions(world: &mut PlanWorld, names: String) {
    for name in names.split(", ") {
        let steps = vec![script_step("touch", "echo x > x.txt", &world.scratch.out())];
        world.create(wire::Action { name: name.to_owned(), steps, ..Default::default() }).await;
    }
}

#[when("the action is created")]
async fn is_created(world: &mut PlanWorld, step: &Step) {
    let action = from_toml(docstring(step), &world.scratch.out());
    try_create(world, Some(action)).await;
}

#[when(expr = "the action {word}\\/{word} is created again with other steps")]
async fn is_created_again(world: &mut PlanWorld, namespace: String, name: String) {
    let steps = vec![script_step("other", "echo other", &world.scratch.out())];
    let name = format!("{namespace}/{name}");
    try_create(world, Some(wire::Action { name, steps, ..Default::default() })).await;
}

#[when(regex = r"^an action of (\d+) steps? is created$")]
async fn of_many_steps(world: &mut PlanWorld, count: usize) {
    let out = world.scratch.out();
    let steps = (0..count).map(|n| script_step(&format!("step-{n}"), "echo x", &out)).collect();
    let name = "demo/long".to_owned();
    try_create(world, Some(wire::Action { name, steps, ..Default::default() })).await;
}

#[given(
    regex = r"^the action (\S+) with (\d+) steps in one group, each of which writes (\d+) files of its own$"
)]
async fn of_many_changes(world: &mut PlanWorld, name: String, steps: usize, files: usize) {
    let out = world.scratch.out();
    let step = |n: usize| {
        let script = format!(
            "mkdir step-{n:02}; for i in $(seq -w {files}); do echo $i > step-{n:02}/$i.txt; done"
        );
        let mut step = script_step(&format!("step-{n:02}"), &script, &out);
        "all".clone_into(&mut step.group);
        step
    };
    let steps = (0..steps).map(step).collect();
    world.create(wire::Action { name, steps, ..Default::default() }).await;
}

async fn get_action(world: &PlanWorld, name: &str) -> Result<wire::Action, tonic::Status> {
    let request = wire::GetActionRequest { name: name.to_owned() };
    let answer = world.ask(async |mut client| client.get_action(request).await).await;
    answer.map(|answer| answer.action.expect("an action"))
}

#[then(regex = r"^the action (\S+) is known$")]
async fn is_known(world: &mut PlanWorld, name: String) {
    let action = get_action(world, &name).await.unwrap_or_else(|why| panic!("{}", shown(&why)));
    assert_eq!(action.name, name);
    assert!(action.create_time.is_some() && !action.steps.is_empty(), "{action:?}");
}

#[then(regex = r"^the action (\S+) is not known$")]
async fn is_unknown(world: &mut PlanWorld, name: String) {
    let refused = get_action(world, &name).await.expect_err("it is not known");
    world.answer = Some(Err(refused));
    assert_eq!(world.refusal().reason, "ACTION_NOT_FOUND");
}

#[then(expr = "demo\\/edit is as it was")]
async fn is_as_it_was(world: &mut PlanWorld) {
    let action = get_action(world, "demo/edit").await.expect("an action");
    let names: Vec<_> = action.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["edit"]);
}

#[then(regex = r"^there (?:is|are) (\d+) actions?$")]
async fn there_are(world: &mut PlanWorld, count: usize) {
    let request = wire::ListActionsRequest { page_size: 1_000, ..Default::default() };
    let answer = world.ask(async |mut client| client.list_actions(request).await).await;
    assert_eq!(answer.expect("a list").actions.len(), count);
}

#[then("the call succeeds")]
async fn succeeds(world: &mut PlanWorld) {
    if let Err(status) = world.answer.as_ref().expect("there was a call") {
        panic!("refused: {}", shown(status));
    }
}

// === plans of them ===

#[when(regex = r"^(\S+/\S+) is used on (\w+)$")]
async fn is_used(world: &mut PlanWorld, action: String, project: String) {
    world.use_action("the plan", &action, &project, &[]).await;
}

#[when(regex = r"^(\S+/\S+) is used on (\w+) with$")]
async fn is_used_with(world: &mut PlanWorld, action: String, project: String, step: &Step) {
    let arguments: Vec<_> =
        pairs(step).map(|(name, value)| (name.to_owned(), text(value))).collect();
    world.use_action("the plan", &action, &project, &arguments).await;
}

/// Makes a plan and waits until it has its strategy; executes it, if it is to be.
async fn make(
    world: &mut PlanWorld,
    name: &str,
    action: &str,
    project: &str,
    arguments: &[(String, String)],
    executed: bool,
) {
    world.use_action(name, action, project, arguments).await;
    let id = world.answered_plan().plan_id.clone();
    world.becomes(&id, "STRATEGIZE COMPLETE", SOON).await;
    if executed {
        world.make_move("execute", &id).await;
        world.answered_plan();
        world.becomes(&id, "EXECUTE COMPLETE", SOON).await;
    }
}

#[given(regex = r"^(a plan|plan [A-Z]) of (\S+) on (\w+)(?: with (\w+)=(\w+))?(, executed)?$")]
async fn a_plan_of(
    world: &mut PlanWorld,
    plan: String,
    action: String,
    project: String,
    argument: String,
    value: String,
    executed: String,
) {
    let arguments = [(argument, value)];
    let given = if arguments[0].0.is_empty() { &[][..] } else { &arguments[..] };
    make(world, &plan, &action, &project, given, !executed.is_empty()).await;
}

#[then(regex = r"^a plan of (\S+) on (\w+) can be made$")]
async fn can_be_made(world: &mut PlanWorld, action: String, project: String) {
    make(world, "a plan", &action, &project, &[], false).await;
}
