//! Readers who look at all plans again and again, and note what is not whole.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::plan::v1::{self as wire, plan_service_client::PlanServiceClient};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::{PlanWorld, phase, state};
use crate::answer::shown;

/// Those who read.
#[derive(Debug)]
pub(crate) struct Readers {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl PlanWorld {
    /// Has so many begin to read, at all instances.
    pub(crate) fn begin_to_read(&mut self, count: usize) {
        let done = Arc::<AtomicBool>::default();
        let read = |client| tokio::spawn(read(client, Arc::clone(&done)));
        let tasks = self.clients().take(count).map(read).collect();
        self.readers = Some(Readers { done, tasks });
    }
}

impl Readers {
    /// Has them stop, and says how many plans they saw; each was whole.
    pub(crate) async fn end(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        let mut seen = 0;
        for task in self.tasks {
            seen += task.await.expect("every plan that was seen was whole");
        }
        seen
    }
}

/// Reads until told to stop, and says how many plans it saw.
async fn read(mut client: PlanServiceClient<Channel>, done: Arc<AtomicBool>) -> u64 {
    let mut seen = 0;
    let mut before: HashMap<String, (u64, u64)> = HashMap::new();
    while !done.load(Ordering::Relaxed) {
        let answer = client.list_plans(wire::ListPlansRequest::default()).await;
        let page = answer.unwrap_or_else(|status| panic!("{}", shown(&status))).into_inner();
        for plan in &page.plans {
            assert_whole(plan);
            let now = (plan.version, plan.fencing_token);
            let before = before.insert(plan.plan_id.clone(), now).unwrap_or_default();
            assert!(now.0 >= before.0 && now.1 >= before.1, "{now:?} after {before:?}");
            seen += 1;
        }
    }
    seen
}

/// Checks that all parts of a plan belong together.
fn assert_whole(plan: &wire::Plan) {
    let steps = |wanted| plan.steps.iter().filter(|step| step.state() == wanted).count();
    let complete = steps(wire::StepState::Complete);
    let running = state(plan) == "PROCESSING";
    assert_eq!(plan.run.is_some(), running, "a run works on it where it is PROCESSING: {plan:?}");
    let decided = match (phase(plan), state(plan)) {
        ("ACTION", _) | ("STRATEGIZE", "PROCESSING") => return,
        ("STRATEGIZE", "COMPLETE") => complete == 0,
        ("EXECUTE", "PROCESSING") => true,
        ("EXECUTE", "COMPLETE") | ("APPLY", _) => complete == plan.steps.len(),
        other => panic!("a plan that is {other:?}: {plan:?}"),
    };
    assert!(decided && plan.steps.len() == 3, "steps that go with its phase: {plan:?}");
    let strategy = plan.strategy.as_ref().expect("a strategy");
    assert_eq!(strategy.base_commit.len(), 40, "{strategy:?}");
    for step in &plan.steps {
        let has_commit = !step.commit.is_empty();
        let is_complete = step.state() == wire::StepState::Complete;
        assert_eq!(has_commit, is_complete, "a commit where it is complete: {step:?}");
    }
    // The last complete step's commit is where the branch is.
    let last = plan.steps.iter().rfind(|step| step.state() == wire::StepState::Complete);
    if let Some(last) = last {
        assert_eq!(last.commit, plan.head_commit, "{plan:?}");
    }
    assert!(state(plan) != "APPLIED" || plan.merge.is_some(), "a merge: {plan:?}");
}
