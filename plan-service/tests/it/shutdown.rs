//! SIGTERM: no new work; phases under way have their grace; what does not end by
//! then is stopped and marked; no lock is left.

use std::time::{Duration, Instant};

use proto::{
    lock::v1 as lock,
    plan::v1::{self as wire, PlanPhase, PlanState},
};
use service_kit::testing::{Signal, eventually};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::support::{
    DEADLINE, Plans, Program, Scene, Template, failure, lock_client, sh,
    stubborn_git::{arm, held_when},
};

const GRACE: Duration = Duration::from_secs(4);
/// What the machine may add.
const SLACK: Duration = Duration::from_secs(2);

const SHORT: &str = r#". "$GATE/words.sh"; pass short; echo short > short.txt"#;
/// Will not end when it is asked to, nor will its child.
const LONG: &str = r#"
. "$GATE/words.sh"
trap '' TERM INT HUP
echo "$$" >> "$GATE/ids"
sleep 1000 &
echo "$!" >> "$GATE/ids"
at long
while [ -d "$GATE" ] && ! [ -e "$GATE/go.long" ]; do sleep 0.02; done
echo long > long.txt
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_phase_ends_and_a_long_one_is_stopped() {
    let scene = Scene::on_postgres("60s").await;
    let flags = ["--shutdown-grace", "4s"];
    let mut ending = scene.instance("ending", &flags).await;
    let other = scene.instance("other", &[]).await;
    let repo = scene.repo("project");
    let plans = ending.plans();
    plans.register(&repo).await;
    let short = scene.gate.on(Template::new("test/short").step(sh("short", SHORT)));
    let long = scene.gate.on(Template::new("test/long").step(sh("long", LONG)));
    let short = plans.plan_of(short, &repo).await;
    let third = plans.make("test/short", &repo).await;
    let long = plans.plan_of(long, &repo).await;
    plans.execute(&short).await.unwrap();
    plans.execute(&long).await.unwrap();
    scene.gate.reached("short").await;
    scene.gate.reached("long").await;
    let programs: Vec<_> = scene.gate.lines("ids").iter().map(|id| Program::of(id)).collect();
    ending.process.signal(Signal::SIGTERM);
    let asked = Instant::now();
    // It takes the signal a moment to arrive.
    let refused = eventually("new work is refused", DEADLINE, async || {
        plans.execute(&third).await.err().filter(|status| status.code() == Code::Unavailable)
    })
    .await;
    // Once connections have been told to end, there is nobody to give details.
    if !refused.details().is_empty() {
        let details = failure(&refused, Code::Unavailable, "plan.v1", "SHUTTING_DOWN");
        assert!(details.retry_info().is_some());
    }
    assert!(asked.elapsed() < GRACE, "told at once");
    scene.gate.open("short");
    other.plans().until(&short, (PlanPhase::Execute, PlanState::Complete)).await;
    ending.assert_ends_well((GRACE + SLACK).saturating_sub(asked.elapsed())).await;
    for program in &programs {
        program.ends(SLACK).await;
    }
    let plan = other.plans().get(&long).await.unwrap();
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Execute, PlanState::Errored));
    assert_eq!(plan.problem.unwrap().reason, "INTERRUPTED");
    assert_eq!(scene.locks.held().await, Vec::<String>::new());
    assert!(ending.worktrees().is_empty(), "{:?}", ending.worktrees());
    let plan = other.plans().get(&third).await.unwrap();
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Strategize, PlanState::Complete));
    // Another instance carries on at once.
    scene.gate.open("long");
    other.plans().retry(&long).await.unwrap();
    other.plans().until(&long, (PlanPhase::Execute, PlanState::Complete)).await;
    other.plans().apply_whole(&long).await;
    repo.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_instance_ends_at_once() {
    let scene = Scene::on_sqlite("60s").await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut ending = scene.instance("ending", &[]).await;
        let connected = ending.plans();
        connected.diagnose(None).await;
        ending.process.signal(signal);
        ending.assert_ends_well(Duration::from_secs(3)).await;
    }
}

/// Who watches a plan is told by an error with details, or by the plan's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_does_not_hold_it_up() {
    let scene = Scene::on_sqlite("60s").await;
    let mut ending = scene.instance("ending", &[]).await;
    let repo = scene.repo("project");
    let plans = ending.plans();
    plans.register(&repo).await;
    let id = plans.plan_of(Template::new("test/none").step(sh("none", "true")), &repo).await;
    let request = proto::plan::v1::WatchPlanRequest { plan_id: id, until_rest: false };
    let mut watch = plans.raw().watch_plan(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    ending.process.signal(Signal::SIGTERM);
    ending.assert_ends_well(Duration::from_secs(4)).await;
    let status = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the plan is not final, and nobody has said why the watch ended"),
            Err(status) => break status,
        }
    };
    failure(&status, Code::Unavailable, "plan.v1", "SHUTTING_DOWN");
}

/// Waits until it takes no calls any more: it takes the signal a moment to arrive.
async fn refuses_calls(plans: &Plans, id: &str) {
    eventually("calls are refused", DEADLINE, async || {
        let refused = plans.execute(id).await.expect_err("it is executed already");
        (refused.code() == Code::Unavailable).then_some(())
    })
    .await;
}

/// A call that is under way.
type Applying = JoinHandle<Result<wire::Plan, Status>>;

fn begin_to_apply(plans: &Plans, id: &str) -> Applying {
    let (plans, id) = (plans.clone(), id.to_owned());
    tokio::spawn(async move { plans.apply(&id).await })
}

/// Waits until the call is answered: the instance stops, and another one may do it.
async fn is_sent_elsewhere(applying: Applying) {
    let status = applying.await.unwrap().expect_err("the instance stops");
    let details = failure(&status, Code::Unavailable, "plan.v1", "SHUTTING_DOWN");
    assert!(details.retry_info().is_some());
}

/// Takes the lock of a project, and gives it back.
struct Project(lock::AcquireRequest);

impl Project {
    fn of(name: &str) -> Self {
        let resource = Some(format!("project/{name}").parse().unwrap());
        let owner_id = "somebody else".to_owned();
        Self(lock::AcquireRequest { resource, owner_id, ..Default::default() })
    }

    async fn take(&self, scene: &Scene) {
        lock_client(scene.locks.url()).acquire(self.0.clone()).await.unwrap();
    }

    async fn give_back(&self, scene: &Scene) {
        let lock::AcquireRequest { resource, owner_id, .. } = self.0.clone();
        let request = lock::ReleaseRequest { resource, owner_id, fencing_token: None };
        lock_client(scene.locks.url()).release(request).await.unwrap();
    }

    /// Waits until somebody waits for it in line.
    async fn is_wanted(&self, scene: &Scene) {
        let request = lock::GetLockRequest { resource: self.0.resource.clone() };
        let mut client = lock_client(scene.locks.url());
        eventually("a call waits for the project", DEADLINE, async || {
            let lock = client.get_lock(request.clone()).await.unwrap().into_inner().lock.unwrap();
            (lock.queue_length > 0).then_some(())
        })
        .await;
    }
}

/// Who waits in line for a project is told at once, and the plan is free for
/// another instance: not only when the lease has run out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_a_project_is_answered() {
    const LEASE: Duration = Duration::from_secs(60);
    let scene = Scene::on_postgres("60s").await;
    let mut ending = scene.instance("ending", &["--shutdown-grace", "30s"]).await;
    let other = scene.instance("other", &[]).await;
    let repo = scene.repo("project");
    let plans = ending.plans();
    plans.register(&repo).await;
    let template = Template::new("test/small").step(sh("write", "echo x > x"));
    let id = plans.plan_of(template, &repo).await;
    plans.execute_whole(&id).await;
    plans.idle().await;
    let project = Project::of(&repo.name);
    project.take(&scene).await;
    let began = Instant::now();
    let applying = begin_to_apply(&plans, &id);
    project.is_wanted(&scene).await;
    ending.process.signal(Signal::SIGTERM);
    is_sent_elsewhere(applying).await;
    assert_eq!(scene.locks.held().await, [format!("project/{}", repo.name)]);
    // Long before its grace is over.
    ending.assert_ends_well(Duration::from_secs(10)).await;
    let plan = other.plans().get(&id).await.unwrap();
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Execute, PlanState::Complete));
    project.give_back(&scene).await;
    other.plans().apply(&id).await.unwrap();
    assert!(began.elapsed() < LEASE, "a lease that nobody renews is live still");
    other.plans().until(&id, (PlanPhase::Apply, PlanState::Applied)).await;
    repo.assert_no_traces();
}

/// An instance that has a plan's locks and looks at the project when it is told to
/// stop does not begin to work on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_about_to_begin_does_not() {
    let scene = Scene::on_postgres("60s").await;
    let git = scene.path("held-git");
    held_when(&scene.gate, &git, "merge-tree");
    let flags = ["--shutdown-grace", "30s", "--git", git.to_str().unwrap()];
    let mut ending = scene.instance("ending", &flags).await;
    let other = scene.instance("other", &[]).await;
    let repo = scene.repo("project");
    let plans = ending.plans();
    plans.register(&repo).await;
    let id =
        plans.plan_of(Template::new("test/small").step(sh("write", "echo x > x")), &repo).await;
    plans.execute_whole(&id).await;
    // While this one runs, the instance has time.
    let short = scene.gate.on(Template::new("test/short").step(sh("short", SHORT)));
    let short = plans.plan_of(short, &repo).await;
    plans.execute(&short).await.unwrap();
    scene.gate.reached("short").await;
    arm(&scene.gate, "look");
    let applying = begin_to_apply(&plans, &id);
    scene.gate.reached("look").await;
    ending.process.signal(Signal::SIGTERM);
    refuses_calls(&plans, &id).await;
    scene.gate.open("look");
    is_sent_elsewhere(applying).await;
    assert_eq!(scene.locks.held().await, [format!("plan/{short}")]);
    scene.gate.open("short");
    ending.assert_ends_well(DEADLINE).await;
    other.plans().until(&short, (PlanPhase::Execute, PlanState::Complete)).await;
    let plan = other.plans().get(&id).await.unwrap();
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Execute, PlanState::Complete));
    other.plans().apply_whole(&id).await;
}
