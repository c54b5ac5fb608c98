//! The plans' database stalls or is gone, and the lock server is not: a run keeps
//! its leases, and its commands live as long as these do, neither longer nor less
//! long; what it has come to is written when the database is back.

use std::time::{Duration, Instant};

use proto::{
    lock::v1 as lock,
    plan::v1::{PlanPhase, PlanState},
};
use service_kit::testing::{TcpProxy, eventually};

use super::support::{
    DEADLINE, Instance, Scene, Template, lock_client, sh,
    stubborn_git::{arm, held_when},
    uptime,
};

const LEASE: &str = "3s";
const LEASE_SECONDS: f64 = 3.0;

/// Writes the time again and again until it is let go.
const TICKS: &str = r#"
. "$GATE/words.sh"
while [ -d "$GATE" ] && ! [ -e "$GATE/go.ticks" ]; do
    read -r now rest < /proc/uptime
    echo "$now" >> "$GATE/ticks"
    sleep 0.01
done
echo done > done.txt
"#;

/// A plan that runs at an instance whose database does not answer.
struct Stalled {
    scene: Scene,
    instance: Instance,
    database: TcpProxy,
    id: String,
}

impl Stalled {
    /// The lease has run out twice since the database stalled, but for its
    /// renewals.
    async fn new() -> Self {
        let scene = Scene::on_postgres(LEASE).await;
        let (database, url) = scene.by_proxy().await;
        let flags = ["--store-timeout", "30s", "--lock-timeout", "500ms"];
        let instance = scene.instance_on(&url, "only", &flags).await;
        let repo = scene.repo("project");
        instance.plans().register(&repo).await;
        let template = Template::new("test/ticks").step(sh("ticks", TICKS));
        let id = instance.plans().plan_of(scene.gate.on(template), &repo).await;
        instance.plans().execute(&id).await.unwrap();
        scene.gate.has_lines("ticks", 3).await;
        database.stall().await;
        let stalled = Self { scene, instance, database, id };
        stalled.ticks_until(uptime() + 2.0 * LEASE_SECONDS).await;
        stalled
    }

    /// When the command wrote last.
    fn last_tick(&self) -> f64 {
        self.scene.gate.lines("ticks").last().unwrap().parse().unwrap()
    }

    async fn ticks_until(&self, moment: f64) {
        eventually("the command lives on by a lease that is renewed", DEADLINE, async || {
            (self.last_tick() > moment).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_kept_while_the_database_stalls() {
    let stalled = Stalled::new().await;
    stalled.database.resume().await;
    stalled.scene.gate.open("ticks");
    let plans = stalled.instance.plans();
    plans.until(&stalled.id, (PlanPhase::Execute, PlanState::Complete)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_end_with_the_lease_while_the_database_stalls() {
    let mut stalled = Stalled::new().await;
    stalled.scene.locks.kill();
    // The same locks by a server that the instance does not know.
    let elsewhere = stalled.scene.locks.start_elsewhere().await;
    let request = lock::AcquireRequest {
        resource: Some(format!("plan/{}", stalled.id).parse().unwrap()),
        owner_id: "somebody else".to_owned(),
        wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..Default::default()
    };
    lock_client(&elsewhere.url()).acquire(request).await.unwrap();
    let (taken, last) = (uptime(), stalled.last_tick());
    assert!(last < taken, "a command wrote at {last}, and another had the lock at {taken}");
    let gate = &stalled.scene.gate;
    let ticks = gate.lines("ticks").len();
    assert_eq!(gate.quiet("ticks", Duration::from_secs(1)).await, ticks);
    stalled.database.resume().await;
    let plans = stalled.instance.plans();
    let plan = plans.until(&stalled.id, (PlanPhase::Execute, PlanState::Errored)).await;
    assert_eq!(plan.problem.as_ref().unwrap().reason, "LOCK_LOST", "{plan:#?}");
}

/// The database is gone for longer than a run without a lease tries to write its
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_is_written_when_the_database_is_back() {
    const LONG: Duration = Duration::from_secs(12);
    let scene = Scene::on_postgres("60s").await;
    let (database, url) = scene.by_proxy().await;
    let git = scene.path("held-git");
    held_when(&scene.gate, &git, "worktree remove");
    let flags = ["--git", git.to_str().unwrap()];
    let instance = scene.instance_on(&url, "only", &flags).await;
    let (repo, plans) = (scene.repo("project"), instance.plans());
    plans.register(&repo).await;
    let template = Template::new("test/quick").step(sh("write", "echo x > x"));
    let id = plans.plan_of(template, &repo).await;
    arm(&scene.gate, "end");
    plans.execute(&id).await.unwrap();
    scene.gate.reached("end").await;
    database.cut().await;
    scene.gate.open("end");
    still_tries_after(&instance, LONG).await;
    database.resume().await;
    plans.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    plans.apply_whole(&id).await;
}

/// Waits until it has failed to write the end of a run, and fails still so much
/// later.
async fn still_tries_after(instance: &Instance, span: Duration) {
    let tries = || instance.process.output().matches("the end of a run was not written").count();
    eventually("an end is not written", DEADLINE, async || (tries() > 0).then_some(())).await;
    let (since, mut before) = (Instant::now(), 0);
    eventually("it tries once more", DEADLINE, async || {
        let now = tries();
        if since.elapsed() < span {
            before = now;
        }
        (now > before).then_some(())
    })
    .await;
}
