//! Requests that are wrong.

use std::collections::HashMap;

use cucumber::{gherkin::Step, then, when};
use proto::plan::v1 as wire;

use super::projects::register;
use crate::{
    vocabulary::{pairs, text},
    world::plans::{PlanWorld, Project, git},
};

/// A plan that nobody has made.
const NO_PLAN: &str = "019378f2-5a00-7000-8000-00000000ffff";

/// The fields of a request that a scenario sets; all others are right.
struct Draft(HashMap<String, String>);

impl Draft {
    /// A field of text.
    fn text(&self, field: &str, right: &str) -> String {
        self.0.get(field).map_or_else(|| right.to_owned(), |cell| text(cell))
    }

    /// A field that may be unset.
    fn maybe(&self, field: &str) -> Option<String> {
        self.0.get(field).map(|cell| text(cell))
    }

    fn number(&self, field: &str) -> i32 {
        self.0.get(field).map_or(0, |cell| cell.parse().expect("a number"))
    }

    fn plan_id(&self, world: &PlanWorld) -> String {
        self.text("plan_id", world.last_plan().unwrap_or(NO_PLAN))
    }
}

#[when(regex = r"^([A-Z]\w+) is asked for with$")]
async fn is_asked_for(world: &mut PlanWorld, call: String, step: &Step) {
    let fields = pairs(step).map(|(field, cell)| (field.to_owned(), cell.to_owned()));
    let draft = Draft(fields.collect());
    world.answer = Some(match call.as_str() {
        "RegisterProject" | "GetProject" | "ListProjects" => {
            project_call(world, &call, &draft).await
        }
        "CreateAction" | "GetAction" | "ListActions" | "UseAction" => {
            action_call(world, &call, &draft).await
        }
        _ => plan_call(world, &call, &draft).await,
    });
}

type Answer = Result<Option<wire::Plan>, tonic::Status>;

async fn project_call(world: &PlanWorld, call: &str, draft: &Draft) -> Answer {
    match call {
        "RegisterProject" => {
            let path = world.scratch.at("projects").join("another");
            let path = Project::create(path).path;
            let request = wire::RegisterProjectRequest {
                name: draft.text("name", "another"),
                path: path.to_str().expect("a path of text").to_owned(),
            };
            world.ask(async |mut client| client.register_project(request).await).await.map(|_| None)
        }
        "GetProject" => {
            let request = wire::GetProjectRequest { name: draft.text("name", "shop") };
            world.ask(async |mut client| client.get_project(request).await).await.map(|_| None)
        }
        _ => {
            let request = wire::ListProjectsRequest {
                page_size: draft.number("page_size"),
                page_token: draft.text("page_token", ""),
            };
            world.ask(async |mut client| client.list_projects(request).await).await.map(|_| None)
        }
    }
}

async fn action_call(world: &PlanWorld, call: &str, draft: &Draft) -> Answer {
    match call {
        "CreateAction" => {
            let request = wire::CreateActionRequest { action: None };
            world.ask(async |mut client| client.create_action(request).await).await.map(|_| None)
        }
        "GetAction" => {
            let request = wire::GetActionRequest { name: draft.text("name", "demo/edit") };
            world.ask(async |mut client| client.get_action(request).await).await.map(|_| None)
        }
        "ListActions" => {
            let request = wire::ListActionsRequest {
                namespace: draft.maybe("namespace"),
                page_size: draft.number("page_size"),
                page_token: draft.text("page_token", ""),
            };
            world.ask(async |mut client| client.list_actions(request).await).await.map(|_| None)
        }
        _ => {
            let request = wire::UseActionRequest {
                action: draft.text("action", "demo/edit"),
                project: draft.text("project", "shop"),
                plan_id: draft.maybe("plan_id"),
                ..Default::default()
            };
            world.ask(async |mut client| client.use_action(request).await).await.map(|one| one.plan)
        }
    }
}

async fn plan_call(world: &PlanWorld, call: &str, draft: &Draft) -> Answer {
    let plan_id = draft.plan_id(world);
    match call {
        "GetPlan" => {
            let request = wire::GetPlanRequest { plan_id, ..Default::default() };
            world.ask(async |mut client| client.get_plan(request).await).await.map(|one| one.plan)
        }
        "ListPlans" => {
            let request = wire::ListPlansRequest {
                project: draft.maybe("project"),
                action: draft.maybe("action"),
                phase: draft.number("phase"),
                state: draft.number("state"),
                page_size: draft.number("page_size"),
                page_token: draft.text("page_token", ""),
            };
            world.ask(async |mut client| client.list_plans(request).await).await.map(|_| None)
        }
        "CancelPlan" => {
            let request = wire::CancelPlanRequest { plan_id, reason: draft.text("reason", "") };
            world
                .ask(async |mut client| client.cancel_plan(request).await)
                .await
                .map(|one| one.plan)
        }
        "WatchPlan" => {
            let request = wire::WatchPlanRequest { plan_id, until_rest: false };
            world.ask(async |mut client| client.watch_plan(request).await).await.map(|_| None)
        }
        "GetDiff" => {
            let request = wire::GetDiffRequest { plan_id, max_bytes: draft.number("max_bytes") };
            world.ask(async |mut client| client.get_diff(request).await).await.map(|_| None)
        }
        "ListChangesets" => {
            let request = wire::ListChangesetsRequest { plan_id, ..Default::default() };
            world.ask(async |mut client| client.list_changesets(request).await).await.map(|_| None)
        }
        "GetDiagnostics" => {
            let request = wire::GetDiagnosticsRequest { plan_id: Some(plan_id) };
            world.ask(async |mut client| client.get_diagnostics(request).await).await.map(|_| None)
        }
        other => {
            let asked = other.trim_end_matches("Plan").to_lowercase();
            crate::world::plans::ask_for(world.client(), &asked, plan_id, None).await
        }
    }
}

#[then("the plan service goes on")]
async fn goes_on(world: &mut PlanWorld) {
    let request = wire::GetActionRequest { name: "demo/edit".to_owned() };
    let answer = world.ask(async |mut client| client.get_action(request).await).await;
    answer.expect("an answer");
}

#[then("there are no plans")]
async fn no_plans(world: &mut PlanWorld) {
    let request = wire::ListPlansRequest::default();
    let answer = world.ask(async |mut client| client.list_plans(request).await).await;
    assert!(answer.expect("a list").plans.is_empty());
}

// === folders that are no projects ===

#[when(regex = r"^(.+) is registered as (\w+)$")]
async fn is_registered(world: &mut PlanWorld, what: String, name: String) {
    let path = world.scratch.at("odd");
    let shop = || world.project("shop").path.clone();
    let path = match what.as_str() {
        "a folder without git" => path,
        "a bare repository" => {
            std::fs::create_dir(&path).expect("a folder");
            git(&path, &["init", "-q", "--bare"]);
            path
        }
        "a repository without a commit" => {
            std::fs::create_dir(&path).expect("a folder");
            git(&path, &["init", "-q"]);
            path
        }
        "a new repository" => Project::create(path).path,
        "a repository with a branch plan" => {
            let project = Project::create(path);
            project.git(&["branch", "plan"]);
            project.path
        }
        "a sub folder of shop" => shop().join("dir"),
        "the .git folder of shop" => shop().join(".git"),
        "the folder of shop" => shop(),
        "a link to the folder of shop" => {
            std::os::unix::fs::symlink(shop(), &path).expect("a link");
            path
        }
        "the relative path \"shop\"" => "shop".into(),
        "a folder that is not there" => world.scratch.at("nowhere"),
        "a file" => shop().join("one.txt"),
        other => panic!("no {other}"),
    };
    if what == "a folder without git" {
        std::fs::create_dir(&path).expect("a folder");
    }
    register(world, &name, path.to_str().expect("a path of text")).await;
}
