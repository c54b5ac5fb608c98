//! An instance that is stopped with SIGSTOP past its lease in the middle of a
//! phase, while the other one takes the plan over: when it goes on, it writes
//! nothing more, anywhere.

use std::time::Duration;

use proto::plan::v1::{PlanPhase, PlanState, StepState};

use service_kit::testing::TcpProxy;

use super::support::{Gate, Instance, Plans, Repo, Scene, Template, assert_same, sh};

/// How long a lease is here: far above what a machine may stumble over.
const LEASE: &str = "3s";

/// Ticks outside the project, inside the worktree and on its output, until it is
/// let go: each run at a gate of its own.
const TICKS: &str = r#"
. "$GATE/words.sh"
run="$LOCK_FENCING_TOKEN"
echo "$run" >> "$GATE/runs"
at "runs.$(wc -l < "$GATE/runs")"
while [ -d "$GATE" ] && ! [ -e "$GATE/go.$run" ]; do
    echo "$run" >> "$GATE/ticks"
    echo "$run" >> ticks.txt
    if ! [ -e "$GATE/hush.$run" ]; then echo "tick of $run"; fi
    sleep 0.02
done
"#;

/// A plan that one instance works on and another one has taken over.
struct Taken {
    scene: Scene,
    repo: Repo,
    frozen: Instance,
    taker: Instance,
    id: String,
    tokens: [u64; 2],
}

fn quiet(gate: &Gate, token: u64) {
    std::fs::write(gate.path(&format!("hush.{token}")), "").unwrap();
}

fn ticks_of(gate: &Gate, token: u64) -> usize {
    let token = token.to_string();
    gate.lines("ticks").iter().filter(|line| **line == token).count()
}

impl Taken {
    /// The first instance executes and is stopped; the second retries.
    async fn new() -> Self {
        let scene = Scene::on_postgres(LEASE).await;
        let frozen = scene.instance("frozen", &[]).await;
        Self::with(scene, frozen, None).await
    }

    /// The same, with the first one's way to the database held up before it is
    /// stopped, so that writes of it are under way.
    async fn with(scene: Scene, frozen: Instance, way: Option<&TcpProxy>) -> Self {
        let taker = scene.instance("taker", &[]).await;
        let repo = scene.repo("project");
        frozen.plans().register(&repo).await;
        let first = sh("first", r#"echo "$PLAN_STEP" >> "$GATE/firsts"; echo 1 > first.txt"#);
        let template = Template::new("test/ticks").step(first).step(sh("ticks", TICKS));
        let id = frozen.plans().plan_of(scene.gate.on(template), &repo).await;
        let first = frozen.plans().execute(&id).await.unwrap().fencing_token;
        scene.gate.has_lines("ticks", 5).await;
        if let Some(way) = way {
            way.stall().await;
            // Output is written every 250 ms, and the command writes all the time.
            let ticks = scene.gate.lines("ticks").len();
            scene.gate.has_lines("ticks", ticks + 25).await;
        }
        frozen.freeze();
        let second = taker.plans().retry_when_free(&id).await.fencing_token;
        assert!(second > first);
        // The commands of the first ended with its lease, though it could not
        // end them itself.
        let ended = ticks_of(&scene.gate, first);
        scene.gate.reached("runs.2").await;
        // With its second tick, it has written of the first.
        service_kit::testing::eventually("it ticks", super::support::DEADLINE, async || {
            (ticks_of(&scene.gate, second) >= 2).then_some(())
        })
        .await;
        quiet(&scene.gate, second);
        let taken = Self { scene, repo, frozen, taker, id, tokens: [first, second] };
        taken.output_is_written().await;
        assert_eq!(ticks_of(&taken.scene.gate, first), ended, "the first has written on");
        taken
    }

    /// Waits until what the second run has written is in the database, after
    /// which it is silent.
    async fn output_is_written(&self) {
        let plans = self.taker.plans();
        let mut last = 0;
        let mut since = tokio::time::Instant::now();
        service_kit::testing::eventually(
            "its output is written",
            super::support::DEADLINE,
            async || {
                let plan = plans.get(&self.id).await.unwrap();
                let now = plan.steps[1].output_bytes;
                if now != last {
                    (last, since) = (now, tokio::time::Instant::now());
                }
                (now > 0 && since.elapsed() > Duration::from_secs(1)).then_some(())
            },
        )
        .await;
    }

    /// Everything that a run could write to: the database, the project, and the
    /// file outside.
    async fn everything(&self) -> [String; 3] {
        let ticks = ticks_of(&self.scene.gate, self.tokens[0]).to_string();
        [self.scene.rows().await, self.repo.picture(), ticks]
    }

    /// Lets the first go on, and waits until it has seen that it is too late.
    async fn thaw(&self) {
        self.frozen.thaw();
        self.frozen.plans().idle().await;
    }

    async fn finish(&self) {
        self.scene.gate.open(&self.tokens[1].to_string());
        let standing = (PlanPhase::Execute, PlanState::Complete);
        let plan = self.taker.plans().until(&self.id, standing).await;
        assert!(plan.steps.iter().all(|step| step.state() == StepState::Complete), "{plan:#?}");
        assert_eq!(self.scene.gate.lines("firsts").len(), 1, "a complete step is not run again");
    }

    async fn apply(&self) {
        let plans: Plans = self.taker.plans();
        plans.apply_whole(&self.id).await;
        self.repo.assert_clean();
        assert_eq!(self.repo.merges_of(&self.id), 1);
        let ticks = std::fs::read_to_string(self.repo.path().join("ticks.txt")).unwrap();
        let second = self.tokens[1].to_string();
        assert!(ticks.lines().all(|line| line == second), "only what the second run did");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_instance_writes_nothing_while_the_other_executes() {
    let taken = Taken::new().await;
    let before = taken.everything().await;
    taken.thaw().await;
    assert_same(&taken.everything().await, &before);
    taken.finish().await;
    taken.apply().await;
    taken.repo.assert_no_traces();
    for instance in [&taken.frozen, &taken.taker] {
        assert!(instance.worktrees().is_empty(), "{:?}", instance.worktrees());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_instance_writes_nothing_after_the_other_has_executed() {
    let taken = Taken::new().await;
    taken.finish().await;
    let before = taken.everything().await;
    taken.thaw().await;
    assert_same(&taken.everything().await, &before);
    taken.apply().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_instance_writes_nothing_after_the_other_has_applied() {
    let taken = Taken::new().await;
    taken.finish().await;
    taken.apply().await;
    let before = taken.everything().await;
    taken.thaw().await;
    assert_same(&taken.everything().await, &before);
    taken.repo.assert_clean();
    taken.repo.assert_no_traces();
}

/// Writes of the first that were on their way to the database all the time arrive
/// when the plan is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_writes_to_the_database_are_refused() {
    let scene = Scene::on_postgres(LEASE).await;
    let (start, rest) = scene.database().split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let proxy = TcpProxy::start(server.parse().unwrap()).await;
    let by_proxy = format!("{start}@{}/{name}", proxy.address());
    let flags = ["--store-timeout", "30s"];
    let frozen = scene.instance_on(&by_proxy, "frozen", &flags).await;
    let taken = Taken::with(scene, frozen, Some(&proxy)).await;
    let before = taken.everything().await;
    proxy.resume().await;
    taken.thaw().await;
    assert_same(&taken.everything().await, &before);
    taken.finish().await;
    taken.apply().await;
}
