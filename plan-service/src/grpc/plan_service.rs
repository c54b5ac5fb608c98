//! `plan.v1.PlanService`: checks each request, has the engine carry it out, and
//! makes a message of what came of it.

use futures::FutureExt as _;
use proto::plan::v1::{self as wire, plan_service_server::PlanService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    check::Check,
    convert,
    observe::observe,
    page::{Page, page},
    watch::{self, Events},
};
use crate::{
    domain::{ActionName, ChangesetId, Name, Phase, PlanId, State},
    engine::Planner,
    error::PlanError,
    store::PlanFilter,
};

/// How many diffs are made at a time: each takes two processes, and the memory for
/// an answer at its limits. Whoever comes then waits.
const DIFFS_AT_A_TIME: usize = 4;

/// Serves the plan API.
#[derive(Debug)]
pub struct PlanApi {
    planner: Planner,
    diffs: Semaphore,
}

impl PlanApi {
    /// An API on a planner.
    pub fn new(planner: Planner) -> Self {
        Self { planner, diffs: Semaphore::new(DIFFS_AT_A_TIME) }
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PlanService for PlanApi {
    async fn register_project(
        &self,
        request: Request<wire::RegisterProjectRequest>,
    ) -> Reply<wire::RegisterProjectResponse> {
        let wire::RegisterProjectRequest { name, path } = request.into_inner();
        observe("RegisterProject", &name, async {
            let mut check = Check::default();
            let asked = check.name("name", &name).zip(check.path(&path));
            let (name, path) = check.finish_with(asked)?;
            let project = self.planner.register_project(name, path).await?;
            Ok(wire::RegisterProjectResponse { project: Some(convert::project(project)) })
        })
        .await
    }

    async fn get_project(
        &self,
        request: Request<wire::GetProjectRequest>,
    ) -> Reply<wire::GetProjectResponse> {
        let wire::GetProjectRequest { name } = request.into_inner();
        observe("GetProject", &name, async {
            let mut check = Check::default();
            let asked = check.name("name", &name);
            let project = self.planner.project(&check.finish_with(asked)?).await?;
            Ok(wire::GetProjectResponse { project: Some(convert::project(project)) })
        })
        .await
    }

    async fn list_projects(
        &self,
        request: Request<wire::ListProjectsRequest>,
    ) -> Reply<wire::ListProjectsResponse> {
        observe("ListProjects", "", self.projects(request.into_inner())).await
    }

    async fn create_action(
        &self,
        request: Request<wire::CreateActionRequest>,
    ) -> Reply<wire::CreateActionResponse> {
        let wire::CreateActionRequest { action } = request.into_inner();
        let name = action.as_ref().map_or_else(String::new, |action| action.name.clone());
        observe("CreateAction", &name, async {
            let mut check = Check::default();
            let asked = check.action(action);
            let action = self.planner.create_action(check.finish_with(asked)?).await?;
            Ok(wire::CreateActionResponse { action: Some(convert::action(action)) })
        })
        .await
    }

    async fn get_action(
        &self,
        request: Request<wire::GetActionRequest>,
    ) -> Reply<wire::GetActionResponse> {
        let wire::GetActionRequest { name } = request.into_inner();
        observe("GetAction", &name, async {
            let mut check = Check::default();
            let asked = check.action_name("name", &name);
            let action = self.planner.action(&check.finish_with(asked)?).await?;
            Ok(wire::GetActionResponse { action: Some(convert::action(action)) })
        })
        .await
    }

    async fn list_actions(
        &self,
        request: Request<wire::ListActionsRequest>,
    ) -> Reply<wire::ListActionsResponse> {
        let request = request.into_inner();
        let namespace = request.namespace.clone().unwrap_or_default();
        observe("ListActions", &namespace, self.actions(request)).await
    }

    async fn use_action(
        &self,
        request: Request<wire::UseActionRequest>,
    ) -> Reply<wire::UseActionResponse> {
        let wire::UseActionRequest { action, project, arguments, plan_id } = request.into_inner();
        observe("UseAction", &action, async {
            let mut check = Check::default();
            let asked = check.action_name("action", &action).zip(check.name("project", &project));
            let id = plan_id.as_deref().and_then(|id| check.plan_id(id));
            let (action, project) = check.finish_with(asked)?;
            let arguments = arguments.into_iter().collect();
            let plan = Box::pin(self.planner.use_action(&action, &project, &arguments, id)).await?;
            Ok(wire::UseActionResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    async fn get_plan(
        &self,
        request: Request<wire::GetPlanRequest>,
    ) -> Reply<wire::GetPlanResponse> {
        let wire::GetPlanRequest { plan_id, with_lock } = request.into_inner();
        observe("GetPlan", &plan_id, async {
            let id = id(&plan_id)?;
            let mut plan = self.planner.plan(id).await?;
            let lock =
                if with_lock { Some(Box::pin(self.planner.lock_of(id)).await) } else { None };
            if plan.state == State::Processing && lock == Some(Ok(None)) {
                // Its run may have ended since.
                plan = self.planner.plan(id).await?;
            }
            Ok(convert::plan_with_lock(plan, lock))
        })
        .await
    }

    async fn list_plans(
        &self,
        request: Request<wire::ListPlansRequest>,
    ) -> Reply<wire::ListPlansResponse> {
        let request = request.into_inner();
        let project = request.project.clone().unwrap_or_default();
        observe("ListPlans", &project, self.plans(request)).await
    }

    async fn execute_plan(
        &self,
        request: Request<wire::ExecutePlanRequest>,
    ) -> Reply<wire::ExecutePlanResponse> {
        let wire::ExecutePlanRequest { plan_id } = request.into_inner();
        observe("ExecutePlan", &plan_id, async {
            let plan = Box::pin(self.planner.execute(id(&plan_id)?)).await?;
            Ok(wire::ExecutePlanResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    async fn apply_plan(
        &self,
        request: Request<wire::ApplyPlanRequest>,
    ) -> Reply<wire::ApplyPlanResponse> {
        let wire::ApplyPlanRequest { plan_id, project_wait } = request.into_inner();
        observe("ApplyPlan", &plan_id, async {
            let mut check = Check::default();
            let wait = check.project_wait(project_wait.as_ref());
            let asked = check.plan_id(&plan_id);
            let plan = Box::pin(self.planner.apply(check.finish_with(asked)?, wait)).await?;
            Ok(wire::ApplyPlanResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    async fn revert_plan(
        &self,
        request: Request<wire::RevertPlanRequest>,
    ) -> Reply<wire::RevertPlanResponse> {
        let wire::RevertPlanRequest { plan_id } = request.into_inner();
        observe("RevertPlan", &plan_id, async {
            let plan = Box::pin(self.planner.revert(id(&plan_id)?)).await?;
            Ok(wire::RevertPlanResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    async fn retry_plan(
        &self,
        request: Request<wire::RetryPlanRequest>,
    ) -> Reply<wire::RetryPlanResponse> {
        let wire::RetryPlanRequest { plan_id, project_wait } = request.into_inner();
        observe("RetryPlan", &plan_id, async {
            let mut check = Check::default();
            let wait = check.project_wait(project_wait.as_ref());
            let asked = check.plan_id(&plan_id);
            let plan = Box::pin(self.planner.retry(check.finish_with(asked)?, wait)).await?;
            Ok(wire::RetryPlanResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    async fn cancel_plan(
        &self,
        request: Request<wire::CancelPlanRequest>,
    ) -> Reply<wire::CancelPlanResponse> {
        let wire::CancelPlanRequest { plan_id, reason } = request.into_inner();
        observe("CancelPlan", &plan_id, async {
            let mut check = Check::default();
            check.reason(&reason);
            let asked = check.plan_id(&plan_id);
            let plan = Box::pin(self.planner.cancel(check.finish_with(asked)?, &reason)).await?;
            Ok(wire::CancelPlanResponse { plan: Some(convert::plan(plan)) })
        })
        .await
    }

    type WatchPlanStream = Events;

    async fn watch_plan(
        &self,
        request: Request<wire::WatchPlanRequest>,
    ) -> Reply<Self::WatchPlanStream> {
        let wire::WatchPlanRequest { plan_id, until_rest } = request.into_inner();
        observe("WatchPlan", &plan_id, async {
            let watch = self.planner.watch(id(&plan_id)?, until_rest).await?;
            Ok(watch::events(watch))
        })
        .await
    }

    async fn get_diff(
        &self,
        request: Request<wire::GetDiffRequest>,
    ) -> Reply<wire::GetDiffResponse> {
        let wire::GetDiffRequest { plan_id, max_bytes } = request.into_inner();
        observe("GetDiff", &plan_id, async {
            let mut check = Check::default();
            let most = check.max_bytes(max_bytes);
            let asked = check.plan_id(&plan_id);
            let id = check.finish_with(asked)?;
            // Until the answer is made, and not only until git has ended.
            let _turn = tokio::select! {
                biased;
                () = self.planner.refuses() => return Err(PlanError::ShuttingDown),
                turn = self.diffs.acquire() => turn,
            };
            let diff = self.planner.diff(id, most).await?;
            Ok(convert::diff(diff, most))
        })
        .await
    }

    async fn list_changesets(
        &self,
        request: Request<wire::ListChangesetsRequest>,
    ) -> Reply<wire::ListChangesetsResponse> {
        let request = request.into_inner();
        let plan_id = request.plan_id.clone();
        observe("ListChangesets", &plan_id, self.changesets(request)).await
    }

    async fn get_diagnostics(
        &self,
        request: Request<wire::GetDiagnosticsRequest>,
    ) -> Reply<wire::GetDiagnosticsResponse> {
        let wire::GetDiagnosticsRequest { plan_id } = request.into_inner();
        observe("GetDiagnostics", plan_id.as_deref().unwrap_or_default(), async {
            let id = plan_id.as_deref().map(id).transpose()?;
            Ok(convert::diagnostics(Box::pin(self.planner.diagnostics(id)).await?))
        })
        .await
    }
}

/// The lists.
impl PlanApi {
    async fn projects(
        &self,
        request: wire::ListProjectsRequest,
    ) -> Result<wire::ListProjectsResponse, PlanError> {
        let mut check = Check::default();
        let size = check.page_size(request.page_size);
        let filters = ["ListProjects"];
        let after = check.page_token(&filters, &request.page_token, |text| Name::parse(text).ok());
        check.finish()?;
        let read = |after: Option<Name>, many| {
            async move { self.planner.projects(after.as_ref(), many).await }.boxed()
        };
        let Page { entries, next_page_token } =
            page(&filters, size, after, read, |one| one.name.clone(), convert::project).await?;
        Ok(wire::ListProjectsResponse { projects: entries, next_page_token })
    }

    async fn actions(
        &self,
        request: wire::ListActionsRequest,
    ) -> Result<wire::ListActionsResponse, PlanError> {
        let mut check = Check::default();
        let namespace = request.namespace.as_deref();
        let namespace = namespace.and_then(|namespace| check.name("namespace", namespace));
        let size = check.page_size(request.page_size);
        let filters = ["ListActions", namespace.as_ref().map_or("", Name::as_str)];
        let after =
            check.page_token(&filters, &request.page_token, |text| ActionName::parse(text).ok());
        check.finish()?;
        let namespace = namespace.as_ref();
        let read = |after: Option<ActionName>, many| {
            async move { self.planner.actions(namespace, after.as_ref(), many).await }.boxed()
        };
        let place = |one: &crate::store::StoredAction| one.template.name.clone();
        let Page { entries, next_page_token } =
            page(&filters, size, after, read, place, convert::action).await?;
        Ok(wire::ListActionsResponse { actions: entries, next_page_token })
    }

    async fn plans(
        &self,
        request: wire::ListPlansRequest,
    ) -> Result<wire::ListPlansResponse, PlanError> {
        let mut check = Check::default();
        let filter = PlanFilter {
            project: request.project.as_deref().and_then(|name| check.name("project", name)),
            action: request.action.as_deref().and_then(|name| check.action_name("action", name)),
            phase: check.phase(request.phase),
            state: check.state(request.state),
        };
        let size = check.page_size(request.page_size);
        let filters = [
            "ListPlans",
            filter.project.as_ref().map_or("", Name::as_str),
            filter.action.as_ref().map_or("", ActionName::as_str),
            filter.phase.map_or("", Phase::as_str),
            filter.state.map_or("", State::as_str),
        ];
        let before =
            check.page_token(&filters, &request.page_token, |text| PlanId::parse(text).ok());
        check.finish()?;
        let read = |before, many| self.planner.plans(&filter, before, many).boxed();
        let Page { entries, next_page_token } =
            page(&filters, size, before, read, |one| one.id, convert::plan).await?;
        Ok(wire::ListPlansResponse { plans: entries, next_page_token })
    }

    async fn changesets(
        &self,
        request: wire::ListChangesetsRequest,
    ) -> Result<wire::ListChangesetsResponse, PlanError> {
        let mut check = Check::default();
        let size = check.page_size(request.page_size);
        let plan = check.plan_id(&request.plan_id);
        let shown = plan.map_or_else(String::new, |plan| plan.to_string());
        let filters = ["ListChangesets", &shown];
        let after =
            check.page_token(&filters, &request.page_token, |text| ChangesetId::parse(text).ok());
        let plan = check.finish_with(plan)?;
        let read = |after, many| self.planner.changesets(plan, after, many).boxed();
        let Page { entries, next_page_token } =
            page(&filters, size, after, read, |one| one.id, convert::changeset).await?;
        Ok(wire::ListChangesetsResponse { changesets: entries, next_page_token })
    }
}

/// The plan that a request is about, where that is all that is checked.
fn id(plan_id: &str) -> Result<PlanId, PlanError> {
    let mut check = Check::default();
    let id = check.plan_id(plan_id);
    check.finish_with(id)
}
