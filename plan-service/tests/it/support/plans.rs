//! A caller of the service.

use std::time::Duration;

use proto::plan::v1::{self as wire, PlanPhase, PlanState, plan_service_client::PlanServiceClient};
use service_kit::testing::eventually;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{DEADLINE, Repo, Template, is_conflict};

/// Phase and state.
type Standing = (PlanPhase, PlanState);

/// A client of one instance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Plans(PlanServiceClient<Channel>);

/// The longest that a test waits for a project's lock.
const PROJECT_WAIT: prost_types::Duration = prost_types::Duration { seconds: 50, nanos: 0 };

impl Plans {
    /// A client on a connection of its own.
    pub(crate) fn connect(url: &str) -> Self {
        const MOST: usize = 64 * 1024 * 1024;
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap().timeout(DEADLINE);
        Self(PlanServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(MOST))
    }

    /// The generated client, for calls that have no name here.
    pub(crate) fn raw(&self) -> PlanServiceClient<Channel> {
        self.0.clone()
    }

    pub(crate) async fn register(&self, repo: &Repo) {
        let path = repo.path().to_str().unwrap().to_owned();
        let request = wire::RegisterProjectRequest { name: repo.name.clone(), path };
        self.raw().register_project(request).await.unwrap();
    }

    pub(crate) async fn create(&self, template: Template) {
        let request = wire::CreateActionRequest { action: Some(template.action()) };
        self.raw().create_action(request).await.unwrap();
    }

    /// Makes a plan, waits for its strategy, and returns its id.
    pub(crate) async fn make(&self, action: &str, repo: &Repo) -> String {
        let request = wire::UseActionRequest {
            action: action.to_owned(),
            project: repo.name.clone(),
            ..Default::default()
        };
        let plan = self.raw().use_action(request).await.unwrap().into_inner().plan.unwrap();
        self.until(&plan.plan_id, (PlanPhase::Strategize, PlanState::Complete)).await;
        plan.plan_id
    }

    /// Makes an action and a plan of it on the project.
    pub(crate) async fn plan_of(&self, template: Template, repo: &Repo) -> String {
        let name = template.clone().action().name;
        self.create(template).await;
        self.make(&name, repo).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<wire::Plan, Status> {
        let request = wire::GetPlanRequest { plan_id: id.to_owned(), ..Default::default() };
        Ok(self.raw().get_plan(request).await?.into_inner().plan.unwrap())
    }

    pub(crate) async fn execute(&self, id: &str) -> Result<wire::Plan, Status> {
        let request = wire::ExecutePlanRequest { plan_id: id.to_owned() };
        Ok(self.raw().execute_plan(request).await?.into_inner().plan.unwrap())
    }

    /// Applies it, in line for the project's lock.
    pub(crate) async fn apply(&self, id: &str) -> Result<wire::Plan, Status> {
        let request =
            wire::ApplyPlanRequest { plan_id: id.to_owned(), project_wait: Some(PROJECT_WAIT) };
        Ok(self.raw().apply_plan(request).await?.into_inner().plan.unwrap())
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<wire::Plan, Status> {
        let request =
            wire::RetryPlanRequest { plan_id: id.to_owned(), project_wait: Some(PROJECT_WAIT) };
        Ok(self.raw().retry_plan(request).await?.into_inner().plan.unwrap())
    }

    /// Retries it as soon as its lock can be had.
    pub(crate) async fn retry_when_free(&self, id: &str) -> wire::Plan {
        when_free(async || self.retry(id).await).await
    }

    /// Executes it as soon as its lock can be had.
    pub(crate) async fn execute_when_free(&self, id: &str) -> wire::Plan {
        when_free(async || self.execute(id).await).await
    }

    /// Applies it as soon as its lock can be had.
    pub(crate) async fn apply_when_free(&self, id: &str) -> wire::Plan {
        when_free(async || self.apply(id).await).await
    }

    pub(crate) async fn diagnose(&self, id: Option<&str>) -> wire::GetDiagnosticsResponse {
        let request = wire::GetDiagnosticsRequest { plan_id: id.map(str::to_owned) };
        self.raw().get_diagnostics(request).await.unwrap().into_inner()
    }

    pub(crate) async fn changesets(&self, id: &str) -> Vec<wire::Changeset> {
        let request = wire::ListChangesetsRequest {
            plan_id: id.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        self.raw().list_changesets(request).await.unwrap().into_inner().changesets
    }

    /// Waits until nobody works on the plan any more, and returns it. An answer
    /// that does not come is asked for again.
    pub(crate) async fn at_rest(&self, id: &str) -> wire::Plan {
        self.at_rest_by(id, DEADLINE).await
    }

    pub(crate) async fn at_rest_by(&self, id: &str, deadline: Duration) -> wire::Plan {
        let busy = [PlanState::Processing, PlanState::Queued];
        eventually(&format!("plan {id} is at rest"), deadline, async || match self.get(id).await {
            Ok(plan) => (!busy.contains(&plan.state())).then_some(plan),
            Err(status) if status.code() == Code::Unavailable => None,
            Err(status) => panic!("{status:?}"),
        })
        .await
    }

    /// Waits until nobody works on the plan, which stands there then.
    #[track_caller]
    pub(crate) fn until(
        &self,
        id: &str,
        standing: Standing,
    ) -> impl Future<Output = wire::Plan> + use<> {
        let caller = std::panic::Location::caller();
        let (plans, id) = (self.clone(), id.to_owned());
        async move {
            let plan = plans.at_rest(&id).await;
            assert_eq!((plan.phase(), plan.state()), standing, "{caller}: {plan:#?}");
            plan
        }
    }

    /// Executes the plan to its end.
    pub(crate) async fn execute_whole(&self, id: &str) -> wire::Plan {
        self.execute(id).await.unwrap();
        self.until(id, (PlanPhase::Execute, PlanState::Complete)).await
    }

    /// Applies the plan to its end.
    pub(crate) async fn apply_whole(&self, id: &str) -> wire::Plan {
        self.apply(id).await.unwrap();
        self.until(id, (PlanPhase::Apply, PlanState::Applied)).await
    }

    /// Waits until no run of this instance is under way.
    pub(crate) async fn idle(&self) {
        eventually("no run is under way", DEADLINE, async || {
            (self.diagnose(None).await.active_runs == 0).then_some(())
        })
        .await;
    }
}

/// Makes a move as soon as the lock that it needs can be had.
async fn when_free(make: impl AsyncFn() -> Result<wire::Plan, Status>) -> wire::Plan {
    eventually("the plan's lock is free", DEADLINE, async || match make().await {
        Ok(plan) => Some(plan),
        Err(status) if is_conflict(&status) || status.code() == Code::Unavailable => None,
        // On a busy machine a short lease may be over before the work begins.
        Err(status) if status.message().contains("lock was lost") => None,
        Err(status) => panic!("{status:?}"),
    })
    .await
}
