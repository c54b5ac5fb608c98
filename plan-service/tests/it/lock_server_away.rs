//! The lock server is killed in the middle of a phase: what is under way goes on
//! while its lease is trusted, and no command outlives the lease.

use std::time::Duration;

use proto::{
    lock::v1 as lock,
    plan::v1::{PlanPhase, PlanState},
};
use service_kit::testing::eventually;
use tonic::Code;

use super::support::{DEADLINE, Scene, Template, failure, lock_client, sh, uptime};

/// Writes the time again and again until it is let go.
const TICKS: &str = r#"
. "$GATE/words.sh"
at ticks
while [ -d "$GATE" ] && ! [ -e "$GATE/go.ticks" ]; do
    read -r now rest < /proc/uptime
    echo "$now" >> "$GATE/ticks"
    sleep 0.01
done
echo done > done.txt
"#;

async fn ticking(scene: &Scene) -> (super::support::Instance, String) {
    let instance = scene.instance("only", &["--lock-timeout", "500ms"]).await;
    let repo = scene.repo("project");
    instance.plans().register(&repo).await;
    let template = Template::new("test/ticks").step(sh("ticks", TICKS));
    let id = instance.plans().plan_of(scene.gate.on(template), &repo).await;
    instance.plans().execute(&id).await.unwrap();
    scene.gate.has_lines("ticks", 3).await;
    (instance, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phase_goes_on_while_its_lease_is_trusted() {
    let mut scene = Scene::on_postgres("20s").await;
    let (instance, id) = ticking(&scene).await;
    let plans = instance.plans();
    let waiting = {
        let repo = scene.repo("second");
        plans.register(&repo).await;
        plans.make("test/ticks", &repo).await
    };
    scene.locks.kill();
    // Nothing begins without a lock, and nothing has changed.
    let status = plans.execute(&waiting).await.unwrap_err();
    let details = failure(&status, Code::Unavailable, "plan.v1", "LOCK_SERVER_UNAVAILABLE");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    let plan = plans.get(&waiting).await.unwrap();
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Strategize, PlanState::Complete));
    assert!(!plans.diagnose(None).await.lock_server.unwrap().reachable);
    let ticks = scene.gate.lines("ticks").len();
    scene.gate.has_lines("ticks", ticks + 10).await;
    scene.locks.start_again().await;
    scene.gate.open("ticks");
    plans.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    eventually("the lock server is reachable again", DEADLINE, async || {
        plans.diagnose(None).await.lock_server.unwrap().reachable.then_some(())
    })
    .await;
    plans.execute_whole(&waiting).await;
    plans.apply_whole(&id).await;
    eventually("no lock is held", DEADLINE, async || {
        scene.locks.held().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_end_before_the_lease_can_be_anothers() {
    let mut scene = Scene::on_postgres("3s").await;
    let (instance, id) = ticking(&scene).await;
    let plans = instance.plans();
    scene.locks.kill();
    // The same locks by a server that the instance does not know.
    let elsewhere = scene.locks.start_elsewhere().await;
    let request = lock::AcquireRequest {
        resource: Some(format!("plan/{id}").parse().unwrap()),
        owner_id: "somebody else".to_owned(),
        wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..Default::default()
    };
    let asked = uptime();
    let mut client = lock_client(&elsewhere.url());
    let answer = client.acquire(request.clone()).await.unwrap().into_inner();
    let taken = uptime();
    let ticks = scene.gate.lines("ticks");
    assert!(taken > asked + 0.5, "the lease was live when the lock server went away");
    let last: f64 = ticks.last().unwrap().parse().unwrap();
    assert!(last < taken, "a command wrote at {last}, and another had the lock at {taken}");
    assert!(last > asked, "the phase went on at first: {last}, {asked}");
    let plan = plans.until(&id, (PlanPhase::Execute, PlanState::Errored)).await;
    assert_eq!(plan.problem.as_ref().unwrap().reason, "LOCK_LOST", "{plan:#?}");
    assert_eq!(scene.gate.quiet("ticks", Duration::from_secs(1)).await, ticks.len());
    // It can be retried, once there is a lock to be had.
    let release = lock::ReleaseRequest {
        resource: request.resource,
        owner_id: request.owner_id,
        fencing_token: Some(answer.lock.unwrap().fencing_token),
    };
    client.release(release).await.unwrap();
    elsewhere.stop().await;
    scene.locks.start_again().await;
    scene.gate.open("ticks");
    plans.retry_when_free(&id).await;
    plans.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    assert!(instance.worktrees().is_empty() || plans.diagnose(None).await.active_runs > 0);
}
