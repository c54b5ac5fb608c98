//! What callers ask the plan service.

use std::time::Duration;

use proto::plan::v1::{self as wire, plan_service_client::PlanServiceClient};
use service_kit::testing::eventually;
use tokio::time::timeout;
use tonic::{Response, Status, transport::Channel};

use super::{Answer, PATIENCE, PlanWorld, Written};
use crate::answer::shown;

type Client = PlanServiceClient<Channel>;

/// The move that a feature calls so: "executed", "execute".
pub(crate) fn verb(word: &str) -> &'static str {
    match word.trim() {
        "executed" | "execute" => "execute",
        "applied" | "apply" => "apply",
        "reverted" | "revert" => "revert",
        "retried" | "retry" => "retry",
        "cancelled" | "cancel" => "cancel",
        other => panic!("no move: {other}"),
    }
}

/// The phase of a plan, as features write it.
pub(crate) fn phase(plan: &wire::Plan) -> &'static str {
    plan.phase().as_str_name().trim_start_matches("PLAN_PHASE_")
}

/// The state of a plan, as features write it.
pub(crate) fn state(plan: &wire::Plan) -> &'static str {
    plan.state().as_str_name().trim_start_matches("PLAN_STATE_")
}

/// Where a plan stands, and why.
fn stands(plan: &wire::Plan) -> String {
    let why = plan.problem.as_ref().map(|one| format!(" ({}: {})", one.reason, one.message));
    format!("{} {}{}", phase(plan), state(plan), why.unwrap_or_default())
}

/// Asks for a move of a plan, waiting so long for the project's lock.
pub(crate) async fn ask_for(
    mut client: Client,
    asked: &str,
    plan_id: String,
    project_wait: Option<prost_types::Duration>,
) -> Answer {
    let call = async {
        Ok(match asked {
            "execute" => {
                client.execute_plan(wire::ExecutePlanRequest { plan_id }).await?.into_inner().plan
            }
            "apply" => {
                let request = wire::ApplyPlanRequest { plan_id, project_wait };
                client.apply_plan(request).await?.into_inner().plan
            }
            "revert" => {
                client.revert_plan(wire::RevertPlanRequest { plan_id }).await?.into_inner().plan
            }
            "retry" => {
                let request = wire::RetryPlanRequest { plan_id, project_wait };
                client.retry_plan(request).await?.into_inner().plan
            }
            "cancel" => {
                let request = wire::CancelPlanRequest { plan_id, reason: String::new() };
                client.cancel_plan(request).await?.into_inner().plan
            }
            other => panic!("no move: {other}"),
        })
    };
    timeout(PATIENCE, call).await.expect("the service answers")
}

impl PlanWorld {
    /// Asks the instance that callers talk to.
    pub(crate) async fn ask<T>(
        &self,
        call: impl AsyncFnOnce(Client) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let answer = timeout(PATIENCE, call(self.client())).await.expect("the service answers");
        answer.map(Response::into_inner)
    }

    /// Asks for a move, and notes the answer.
    pub(crate) async fn make_move(&mut self, asked: &str, plan_id: &str) {
        let answer = ask_for(self.client(), asked, plan_id.to_owned(), None).await;
        self.answer = Some(answer);
    }

    /// A plan as it is now.
    pub(crate) async fn get_plan(&self, plan_id: &str) -> wire::Plan {
        let request = wire::GetPlanRequest { plan_id: plan_id.to_owned(), ..Default::default() };
        let answer = self.ask(async |mut client| client.get_plan(request).await).await;
        answer.unwrap_or_else(|status| panic!("{}", shown(&status))).plan.expect("a plan")
    }

    /// Creates an action, which must succeed.
    pub(crate) async fn create(&self, action: wire::Action) {
        let request = wire::CreateActionRequest { action: Some(action) };
        let answer = self.ask(async |mut client| client.create_action(request).await).await;
        answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
    }

    /// Makes a plan of an action, and notes the answer.
    pub(crate) async fn use_action(
        &mut self,
        name: &str,
        action: &str,
        project: &str,
        arguments: &[(String, String)],
    ) {
        let request = wire::UseActionRequest {
            action: action.to_owned(),
            project: project.to_owned(),
            arguments: arguments.iter().cloned().collect(),
            plan_id: None,
        };
        let answer = self.ask(async |mut client| client.use_action(request).await).await;
        let answer = answer.map(|answer| answer.plan);
        if let Ok(Some(plan)) = &answer {
            self.name_plan(name, &plan.plan_id);
        }
        self.answer = Some(answer);
    }

    /// Waits until a plan stands there; panics when it comes to rest elsewhere.
    /// Its next move is possible from then on, whether its lock is free yet or
    /// not.
    pub(crate) async fn becomes(
        &self,
        plan_id: &str,
        wanted: &str,
        within: Duration,
    ) -> wire::Plan {
        let what = format!("plan {plan_id} becomes {wanted}");
        eventually(&what, within, async || {
            let plan = self.get_plan(plan_id).await;
            let now = format!("{} {}", phase(&plan), state(&plan));
            if now == wanted {
                return Some(plan);
            }
            let stuck = matches!(state(&plan), "ERRORED" | "CONSTRAINED" | "CANCELLED" | "APPLIED");
            assert!(!stuck, "it is {} instead of {wanted}", stands(&plan));
            None
        })
        .await
    }

    /// Waits until a plan is not worked on, wherever it stands then.
    pub(crate) async fn comes_to_rest(&self, plan_id: &str) -> wire::Plan {
        eventually("the plan comes to rest", super::SOON, async || {
            let plan = self.get_plan(plan_id).await;
            (!matches!(state(&plan), "PROCESSING" | "QUEUED")).then_some(plan)
        })
        .await
    }

    /// The changesets of a plan, all pages.
    pub(crate) async fn changesets(&self, plan_id: &str) -> Vec<wire::Changeset> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = wire::ListChangesetsRequest {
                plan_id: plan_id.to_owned(),
                page_size: 7,
                page_token: page_token.clone(),
            };
            let answer = self.ask(async |mut client| client.list_changesets(request).await).await;
            let page = answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
            all.extend(page.changesets);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    /// How the service is, and one plan.
    pub(crate) async fn diagnostics(&self, plan_id: Option<&str>) -> wire::GetDiagnosticsResponse {
        let request = wire::GetDiagnosticsRequest { plan_id: plan_id.map(str::to_owned) };
        let answer = self.ask(async |mut client| client.get_diagnostics(request).await).await;
        answer.unwrap_or_else(|status| panic!("{}", shown(&status)))
    }

    /// A plan from near.
    pub(crate) async fn near_view(&self, plan_id: &str) -> wire::PlanDiagnostics {
        self.diagnostics(Some(plan_id)).await.plan.expect("the plan")
    }

    /// All that a plan has written, wherever it writes.
    pub(crate) async fn all_written(&self, plan_id: &str) -> Written {
        let near = self.near_view(plan_id).await;
        let plan = near.plan.expect("the plan");
        let project = self.project(&plan.project);
        Written {
            changesets: self.changesets(plan_id).await,
            events: near.events,
            tails: near.tails,
            left: self.scratch.everything(),
            project: project.now(),
            refs: project.refs(),
            plan,
        }
    }
}
