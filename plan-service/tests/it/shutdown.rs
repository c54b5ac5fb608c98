//! SIGTERM: no new work; phases under way have their grace; what does not end by
//! then is stopped and marked; no lock is left.

use std::time::{Duration, Instant};

use proto::plan::v1::{PlanPhase, PlanState};
use service_kit::testing::{Signal, eventually};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::support::{DEADLINE, Program, Scene, Template, sh};

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
    let details = refused.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{refused:?}"));
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("plan.v1", "SHUTTING_DOWN"));
    assert!(details.retry_info().is_some());
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
    super::support::failure(&status, Code::Unavailable, "plan.v1", "SHUTTING_DOWN");
}
