//! Many who ask at the same moment.

use cucumber::{given, then, when};
use futures::future::join_all;
use proto::plan::v1 as wire;

use crate::{
    answer::shown,
    world::plans::{
        Answer, PlanWorld, Refusal, SOON, ask_for, phase, script_step, state, verb, wait_of,
    },
};

fn reason(answer: &Answer) -> Option<String> {
    answer.as_ref().err().map(|status| Refusal::of(status).reason)
}

#[when(regex = r"^(\d+) execute the plan at the same moment$")]
async fn many_execute(world: &mut PlanWorld, count: usize) {
    let id = world.plan_id("the plan");
    let calls =
        world.clients().take(count).map(|client| ask_for(client, "execute", id.clone(), None));
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    world.race = answers.into_iter().map(|answer| ("execute".to_owned(), answer)).collect();
    world.answer = None;
}

#[when(regex = r"^(\d+) create the action (\S+) at the same moment$")]
async fn many_create(world: &mut PlanWorld, count: usize, name: String) {
    let out = world.scratch.out();
    let create = |(n, mut client): (usize, wire::plan_service_client::PlanServiceClient<_>)| {
        // Each wants another one: which it is can be seen afterwards.
        let steps = vec![script_step(&format!("step-{n}"), "echo x", &out)];
        let action = Some(wire::Action { name: name.clone(), steps, ..Default::default() });
        async move { client.create_action(wire::CreateActionRequest { action }).await.map(|_| None) }
    };
    let calls: Vec<_> = world.clients().take(count).enumerate().map(create).collect();
    let answers = join_all(calls).await;
    world.race = answers.into_iter().map(|answer| ("create".to_owned(), answer)).collect();
}

#[when(regex = r"^(\d+) use (\S+) on (\w+) for one plan id at the same moment, at both$")]
async fn many_use(world: &mut PlanWorld, count: usize, action: String, project: String) {
    let plan_id = "019378f2-5a00-7000-8000-000000000001";
    let request = wire::UseActionRequest {
        action,
        project,
        plan_id: Some(plan_id.to_owned()),
        ..Default::default()
    };
    let ask = |mut client: wire::plan_service_client::PlanServiceClient<_>| {
        let request = request.clone();
        async move { client.use_action(request).await.map(|answer| answer.into_inner().plan) }
    };
    let calls: Vec<_> = world.clients().take(count).map(ask).collect();
    let answers = join_all(calls).await;
    world.race = answers.into_iter().map(|answer| ("use".to_owned(), answer)).collect();
    world.name_plan("the plan", plan_id);
    world.comes_to_rest(plan_id).await;
}

#[then(regex = r"^exactly (\d+) of them succeeds$")]
async fn some_succeed(world: &mut PlanWorld, count: usize) {
    let succeeded = world.race.iter().filter(|(_, answer)| answer.is_ok()).count();
    assert_eq!(succeeded, count);
}

#[then(regex = r"^the other (\d+) are refused with (\w+)$")]
async fn others_are_refused(world: &mut PlanWorld, count: usize, wanted: String) {
    let refused: Vec<_> = world.race.iter().filter_map(|(_, answer)| reason(answer)).collect();
    assert_eq!(refused, vec![wanted; count]);
}

#[then(regex = r"^the others are refused with (\w+) or (\w+)$")]
async fn others_are_refused_so(world: &mut PlanWorld, one: String, other: String) {
    for refused in world.race.iter().filter_map(|(_, answer)| reason(answer)) {
        assert!(refused == one || refused == other, "{refused}");
    }
}

// === every plan at all instances ===

#[given(regex = r"^(\d+) plans of (\S+) on each of (\w+) and (\w+)$")]
async fn plans_on_each(
    world: &mut PlanWorld,
    count: usize,
    action: String,
    one: String,
    other: String,
) {
    for project in [one, other] {
        for n in 0..count {
            let arguments = [("name".to_owned(), format!("{project}-{n}"))];
            world.use_action("the plan", &action, &project, &arguments).await;
            let id = world.answered_plan().plan_id.clone();
            world.many.push((project.clone(), id));
        }
    }
    for (_, id) in &world.many {
        world.becomes(id, "STRATEGIZE COMPLETE", SOON).await;
    }
}

/// Has every plan moved at all instances at once, and notes the answers by plan.
async fn all_at_all(world: &mut PlanWorld, asked: &str, ids: &[String], wait: Option<i64>) {
    let instances = world.instances();
    let pairs = ids.iter().flat_map(|id| instances.iter().map(move |name| (id, name)));
    let calls = pairs.map(|(id, name)| {
        let call = ask_for(world.client_of(name), asked, id.clone(), wait.map(wait_of));
        async move { (id.clone(), call.await) }
    });
    world.race = join_all(calls.collect::<Vec<_>>()).await;
}

#[when(regex = r"^every plan is (executed) at both instances at the same moment$")]
async fn every_plan_is_executed(world: &mut PlanWorld, moved: String) {
    let ids: Vec<_> = world.many.iter().map(|(_, id)| id.clone()).collect();
    all_at_all(world, verb(&moved), &ids, None).await;
}

#[when(
    "every plan is applied at both instances at the same moment, as often as the project is taken"
)]
async fn every_plan_is_applied(world: &mut PlanWorld) {
    let ids: Vec<_> = world.many.iter().map(|(_, id)| id.clone()).collect();
    all_at_all(world, "apply", &ids, Some(30)).await;
}

#[then(
    regex = r"^each plan is (executed|applied) once, and whoever lost got LOCK_CONFLICT or INVALID_TRANSITION$"
)]
async fn each_is_moved_once(world: &mut PlanWorld, moved: String) {
    let end = if moved == "executed" { "EXECUTE COMPLETE" } else { "APPLY APPLIED" };
    for (_, id) in world.many.clone() {
        world.becomes(&id, end, SOON).await;
        let answers: Vec<_> = world.race.iter().filter(|(of, _)| *of == id).collect();
        let succeeded = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
        assert_eq!(succeeded, 1, "{answers:?}");
        for lost in answers.iter().filter_map(|(_, answer)| reason(answer)) {
            assert!(lost == "LOCK_CONFLICT" || lost == "INVALID_TRANSITION", "{lost}");
        }
        // One run for each phase: nobody's began and was put right.
        let near = world.near_view(&id).await;
        let runs = near.events.iter().filter(|event| event.state() == wire::PlanState::Processing);
        let phases: Vec<_> = runs.map(|event| event.phase).collect();
        assert!(phases.is_sorted() && phases.len() == if moved == "executed" { 2 } else { 3 });
    }
}

#[then(regex = r#"^"(\w+)" holds one line for each plan$"#)]
async fn one_line_each(world: &mut PlanWorld, file: String) {
    let mut lines = world.scratch.lines(&file);
    lines.sort();
    let count = lines.len();
    lines.dedup();
    assert_eq!((lines.len(), count), (world.many.len(), world.many.len()), "{lines:?}");
}

// === a thousand ===

#[when(
    regex = r"^(\d+) actions are created at the same moment, and of every (\d+)th a plan is made as it comes$"
)]
async fn a_thousand(world: &mut PlanWorld, actions: usize, every: usize) {
    let out = world.scratch.out();
    let create = |(n, mut client): (usize, wire::plan_service_client::PlanServiceClient<_>)| {
        let name = format!("load/action-{n}");
        let parameter = wire::Parameter {
            name: "n".to_owned(),
            r#type: wire::ParameterType::Integer.into(),
            ..Default::default()
        };
        let action = wire::Action {
            name: name.clone(),
            parameters: vec![parameter],
            steps: vec![script_step("step", "echo {{n}}", &out)],
            ..Default::default()
        };
        async move {
            let request = wire::CreateActionRequest { action: Some(action) };
            client.create_action(request).await?;
            if n % every != 0 {
                return Ok(None);
            }
            let request = wire::UseActionRequest {
                action: name,
                project: "shop".to_owned(),
                arguments: [("n".to_owned(), n.to_string())].into(),
                plan_id: None,
            };
            client.use_action(request).await.map(|answer| answer.into_inner().plan)
        }
    };
    let calls: Vec<_> = world.clients().take(actions).enumerate().map(create).collect();
    let answers = join_all(calls).await;
    world.many.clear();
    for answer in answers {
        match answer {
            Ok(Some(plan)) => world.many.push(("shop".to_owned(), plan.plan_id)),
            Ok(None) => {}
            Err(status) => panic!("refused: {}", shown(&status)),
        }
    }
    assert_eq!(world.many.len(), actions / every);
}

#[then(regex = r"^there are (\d+) actions, each once$")]
async fn all_actions(world: &mut PlanWorld, count: usize) {
    let request = wire::ListActionsRequest {
        namespace: Some("load".to_owned()),
        page_size: 1_000,
        ..Default::default()
    };
    let answer = world.ask(async |mut client| client.list_actions(request).await).await;
    let mut names: Vec<_> =
        answer.expect("a list").actions.into_iter().map(|action| action.name).collect();
    let told = names.len();
    names.sort();
    names.dedup();
    assert_eq!((told, names.len()), (count, count));
}

#[then(
    regex = r"^there are (\d+) plans, each STRATEGIZE COMPLETE, with the arguments that they were given$"
)]
async fn all_plans(world: &mut PlanWorld, count: usize) {
    for (_, id) in world.many.clone() {
        let plan = world.becomes(&id, "STRATEGIZE COMPLETE", 2 * SOON).await;
        let n = plan.action.trim_start_matches("load/action-");
        assert_eq!(plan.arguments.get("n").map(String::as_str), Some(n));
        assert!(plan.steps[0].argv[2].ends_with(&format!("echo {n}")), "{:?}", plan.steps[0].argv);
    }
    let request = wire::ListPlansRequest { page_size: 1_000, ..Default::default() };
    let answer = world.ask(async |mut client| client.list_plans(request).await).await;
    let plans = answer.expect("a list").plans;
    assert_eq!(plans.len(), count);
    for plan in plans {
        assert_eq!((phase(&plan), state(&plan)), ("STRATEGIZE", "COMPLETE"), "{plan:?}");
    }
}
