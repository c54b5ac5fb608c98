//! What is told of a step that runs again: what it writes now, and nothing of
//! what the run before it wrote.

use proto::plan::v1::{
    self as wire, PlanPhase, PlanState, StepState, watch_plan_response::Event as Told,
};
use tonic::Streaming;

use super::support::{Instance, Scene, Template, sh};

/// Writes the token, so that each run writes something else of the same length,
/// and fails until it is let through.
const STEP: &str = r#"
. "$GATE/words.sh"
pass "run.$LOCK_FENCING_TOKEN"
printf '%020d\n' "$LOCK_FENCING_TOKEN"
[ -e "$GATE/go.whole" ]
"#;

/// What was heard of one plan.
struct Watch(Streaming<wire::WatchPlanResponse>);

impl Watch {
    async fn open(instance: &Instance, id: &str) -> Self {
        let request = wire::WatchPlanRequest { plan_id: id.to_owned(), until_rest: false };
        Self(instance.plans().raw().watch_plan(request).await.unwrap().into_inner())
    }

    /// What its step has written, by run, from here to a plan that stands so.
    async fn until(&mut self, state: PlanState) -> Vec<(u64, String)> {
        let mut heard = Vec::new();
        loop {
            let event = self.0.message().await.unwrap().expect("it is not final yet").event;
            match event.unwrap() {
                Told::Plan(plan) if plan.state() == state => return heard,
                Told::Output(part) => {
                    assert_eq!((part.offset, part.skipped_bytes), (0, 0), "{part:?}");
                    heard.push((part.fencing_token, String::from_utf8(part.data).unwrap()));
                }
                _ => {}
            }
        }
    }
}

fn wrote(token: u64) -> (u64, String) {
    (token, format!("{token:020}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_what_each_run_writes() {
    let scene = Scene::on_sqlite("20s").await;
    let instance = scene.instance("one", &[]).await;
    let repo = scene.repo("project");
    let plans = instance.plans();
    plans.register(&repo).await;
    let template = scene.gate.on(Template::new("test/again").step(sh("say", STEP)));
    let id = plans.plan_of(template, &repo).await;
    let mut whole = Watch::open(&instance, &id).await;

    let first = plans.execute(&id).await.unwrap().fencing_token;
    scene.gate.open(&format!("run.{first}"));
    assert_eq!(whole.until(PlanState::Errored).await, [wrote(first)]);
    let mut between = Watch::open(&instance, &id).await;
    between.until(PlanState::Errored).await;
    assert_eq!(plans.get(&id).await.unwrap().steps[0].output_bytes, 21);

    let second = plans.retry(&id).await.unwrap();
    let second = (second.fencing_token, second.steps[0].output_bytes);
    assert_eq!(second.1, 0, "it has written nothing yet");
    scene.gate.reached(&format!("run.{}", second.0)).await;
    let tails = plans.diagnose(Some(&id)).await.plan.unwrap().tails;
    assert!(tails.is_empty(), "{tails:?}");
    let mut late = Watch::open(&instance, &id).await;
    scene.gate.open(&format!("run.{}", second.0));
    assert_eq!(late.until(PlanState::Errored).await, [wrote(second.0)]);
    assert_eq!(whole.until(PlanState::Errored).await, [wrote(second.0)]);
    // It began with what was kept of the first.
    assert_eq!(between.until(PlanState::Errored).await, [wrote(first), wrote(second.0)]);

    // Also when the plan has begun anew.
    let request = wire::RevertPlanRequest { plan_id: id.clone() };
    plans.raw().revert_plan(request).await.unwrap();
    assert_eq!(whole.until(PlanState::Complete).await, []);
    scene.gate.open("whole");
    let third = plans.execute(&id).await.unwrap();
    assert_eq!(third.steps[0].state(), StepState::Waiting);
    scene.gate.open(&format!("run.{}", third.fencing_token));
    plans.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    assert_eq!(whole.until(PlanState::Complete).await, [wrote(third.fencing_token)]);
}
