//! An instance that is stopped with SIGSTOP in the middle of Apply: while a check
//! runs, between the check and the merge, in the very transaction that merges,
//! and while git writes the work tree.

use proto::plan::v1::{PlanPhase, PlanState};
use tonic::Code;

use super::support::{
    Instance, Repo, Scene, Template, assert_same, failure, sh,
    stubborn_git::{Hold, arm, held_at, slow_file},
};

const LEASE: &str = "3s";
const APPLIED: (PlanPhase, PlanState) = (PlanPhase::Apply, PlanState::Applied);

/// A check that each run passes at a gate of its own.
const CHECK: &str = r#"
. "$GATE/words.sh"
echo "$LOCK_FENCING_TOKEN" >> "$GATE/checks"
at "checks.$(wc -l < "$GATE/checks")"
pass "check.$LOCK_FENCING_TOKEN"
"#;

/// Two instances and a plan that is executed; the first is about to be stopped.
struct Stage {
    scene: Scene,
    repo: Repo,
    frozen: Instance,
    taker: Instance,
    id: String,
}

impl Stage {
    async fn new(checks: bool, hold: bool) -> Self {
        let scene = Scene::on_postgres(LEASE).await;
        let taker = scene.instance("taker", &[]).await;
        let git = scene.path("held-git");
        held_at(&scene.gate, &git, "refs/heads/main", Hold::Before);
        let flags = if hold { vec!["--git", git.to_str().unwrap()] } else { Vec::new() };
        let frozen = scene.instance("frozen", &flags).await;
        let repo = scene.repo("project");
        slow_file(&scene.gate, &repo);
        taker.plans().register(&repo).await;
        let step = sh("write", "echo new > slow.txt; echo changed > README");
        let template = Template::new("test/apply").step(step);
        let template = if checks { template.check(sh("check", CHECK)) } else { template };
        let id = taker.plans().plan_of(scene.gate.on(template), &repo).await;
        taker.plans().execute_whole(&id).await;
        Self { scene, repo, frozen, taker, id }
    }

    /// Lets the first go on, waits until it has seen that it is too late, and
    /// panics if anything is other than before.
    async fn thaw_changes_nothing(&self) {
        let before = [self.scene.rows().await, self.repo.picture()];
        self.frozen.thaw();
        self.frozen.plans().idle().await;
        let after = [self.scene.rows().await, self.repo.picture()];
        assert_same(&after, &before);
    }

    fn assert_merged_once(&self) {
        assert_eq!(self.repo.merges_of(&self.id), 1);
        assert_eq!(self.repo.merges(), 1);
        self.repo.assert_clean();
        let read = |name| std::fs::read_to_string(self.repo.path().join(name)).unwrap();
        assert_eq!((read("slow.txt").as_str(), read("README").as_str()), ("new\n", "changed\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_while_a_check_runs() {
    let stage = Stage::new(true, false).await;
    let first = stage.frozen.plans().apply(&stage.id).await.unwrap().fencing_token;
    stage.scene.gate.reached(&format!("check.{first}")).await;
    stage.frozen.freeze();
    let second = stage.taker.plans().retry_when_free(&stage.id).await.fencing_token;
    stage.scene.gate.reached(&format!("check.{second}")).await;
    stage.thaw_changes_nothing().await;
    assert_eq!(stage.repo.merges(), 0);
    stage.scene.gate.open(&format!("check.{second}"));
    stage.taker.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged_once();
    stage.repo.assert_no_traces();
}

/// The check has succeeded, within the lease; only the instance has not heard of
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_as_it_is_about_to_merge() {
    for taken_over in [false, true] {
        let stage = Stage::new(true, false).await;
        let first = stage.frozen.plans().apply(&stage.id).await.unwrap().fencing_token;
        stage.scene.gate.reached(&format!("check.{first}")).await;
        stage.frozen.freeze();
        stage.scene.gate.open(&format!("check.{first}"));
        let second = stage.taker.plans().retry_when_free(&stage.id).await.fencing_token;
        stage.scene.gate.reached(&format!("check.{second}")).await;
        if !taken_over {
            stage.thaw_changes_nothing().await;
            assert_eq!(stage.repo.merges(), 0);
        }
        stage.scene.gate.open(&format!("check.{second}"));
        stage.taker.plans().until(&stage.id, APPLIED).await;
        if taken_over {
            stage.thaw_changes_nothing().await;
        }
        stage.assert_merged_once();
        stage.repo.assert_no_traces();
    }
}

/// git was started by the first instance to move the project's branch, and does
/// it when another run has the plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_in_the_transaction_that_merges() {
    for taken_over in [false, true] {
        let stage = Stage::new(true, true).await;
        let base = stage.repo.head();
        arm(&stage.scene.gate, "move");
        let first = stage.frozen.plans().apply(&stage.id).await.unwrap().fencing_token;
        stage.scene.gate.open(&format!("check.{first}"));
        stage.scene.gate.reached("move").await;
        stage.frozen.freeze();
        let second = stage.taker.plans().retry_when_free(&stage.id).await.fencing_token;
        stage.scene.gate.reached(&format!("check.{second}")).await;
        if taken_over {
            stage.scene.gate.open(&format!("check.{second}"));
            stage.taker.plans().until(&stage.id, APPLIED).await;
        }
        let before = stage.repo.picture();
        stage.scene.gate.open("move");
        stage.scene.gate.reached("moved").await;
        assert_ne!(stage.scene.gate.lines("code"), ["0"], "the late transaction is refused");
        assert_eq!(stage.repo.picture(), before);
        stage.thaw_changes_nothing().await;
        if !taken_over {
            assert_eq!(stage.repo.head(), base);
            stage.scene.gate.open(&format!("check.{second}"));
            stage.taker.plans().until(&stage.id, APPLIED).await;
        }
        stage.assert_merged_once();
        stage.repo.assert_no_traces();
    }
}

/// The merge was made before anybody else had the plan: whoever comes next
/// finishes it and makes no second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_when_the_merge_is_made() {
    let stage = Stage::new(false, true).await;
    arm(&stage.scene.gate, "move");
    stage.frozen.plans().apply(&stage.id).await.unwrap();
    stage.scene.gate.reached("move").await;
    stage.frozen.freeze();
    stage.scene.gate.open("move");
    stage.scene.gate.reached("moved").await;
    assert_eq!(stage.scene.gate.lines("code"), ["0"]);
    finished_by_the_other(&stage).await;
}

/// git is writing the work tree, and is ended with the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_while_the_work_tree_is_written() {
    let stage = Stage::new(false, false).await;
    arm(&stage.scene.gate, "write");
    stage.frozen.plans().apply(&stage.id).await.unwrap();
    stage.scene.gate.reached("write").await;
    stage.frozen.freeze();
    finished_by_the_other(&stage).await;
}

/// A move at the other instance finds the merge, finishes it, and is then told
/// that the plan is applied.
async fn finished_by_the_other(stage: &Stage) {
    let plans = stage.taker.plans();
    let told = service_kit::testing::eventually(
        "the plan's lock is free",
        super::support::DEADLINE,
        async || {
            let status = plans.retry(&stage.id).await.expect_err("there is nothing to retry");
            (!super::support::is_conflict(&status)).then_some(status)
        },
    )
    .await;
    failure(&told, Code::FailedPrecondition, "plan.v1", "INVALID_TRANSITION");
    plans.until(&stage.id, APPLIED).await;
    stage.assert_merged_once();
    stage.thaw_changes_nothing().await;
    stage.assert_merged_once();
    stage.repo.assert_no_traces();
}
