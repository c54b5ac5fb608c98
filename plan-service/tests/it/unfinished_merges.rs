//! Merges whose run is gone: made, and the project's work tree not brought up to
//! them; or noted, and never made. Whoever works on the project next finishes the
//! first kind, whichever move finds it; nobody takes the second kind for made.

use std::fs;

use proto::{
    lock::v1::{GetLockRequest, Lock},
    plan::v1::{self as wire, PlanPhase, PlanState},
};
use service_kit::testing::eventually;
use tonic::{Code, Status};

use super::support::{
    DEADLINE, Instance, Repo, Scene, Template, assert_same, failure, lock_client, sh,
    stubborn_git::{Hold, arm, held_at, kill_held, slow_file},
};

const LEASE: &str = "3s";
const LEASE_SECONDS: f64 = 3.0;
/// An instance that looks for abandoned plans again and again.
const LOOKS: [&str; 2] = ["--recovery-interval", "200ms"];
const APPLIED: (PlanPhase, PlanState) = (PlanPhase::Apply, PlanState::Applied);
const ERRORED: (PlanPhase, PlanState) = (PlanPhase::Apply, PlanState::Errored);

/// `slow.txt` is in the middle of what git writes.
const WRITE: &str = "for n in 1 2 3; do echo $n > a$n; echo $n > z$n; done; \
                     echo new > slow.txt; echo changed > README";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Retry,
    Revert,
    Cancel,
}

/// Two instances and a plan that is executed; the first is about to die in the
/// middle of its merge. Neither looks for abandoned plans.
struct Stage {
    scene: Scene,
    repo: Repo,
    dying: Instance,
    other: Instance,
    id: String,
}

impl Stage {
    /// The first one's git stops when it moves the project's branch.
    async fn new(hold: Hold) -> Self {
        let scene = Scene::on_postgres(LEASE).await;
        let git = scene.path("held-git");
        held_at(&scene.gate, &git, "refs/heads/main", hold);
        let dying = scene.instance("dying", &["--git", git.to_str().unwrap()]).await;
        let other = scene.instance("other", &[]).await;
        let repo = scene.repo("project");
        slow_file(&scene.gate, &repo);
        other.plans().register(&repo).await;
        let template = Template::new("test/write").step(sh("write", WRITE));
        let id = other.plans().plan_of(template, &repo).await;
        other.plans().execute_whole(&id).await;
        Self { scene, repo, dying, other, id }
    }

    /// The first instance applies the plan, until its git stops at this gate.
    async fn applies_until(&self, place: &str) {
        arm(&self.scene.gate, place);
        self.dying.plans().apply(&self.id).await.unwrap();
        self.scene.gate.reached(place).await;
    }

    /// The same, and both are killed there.
    async fn dies_at(&mut self, place: &str) {
        self.applies_until(place).await;
        self.dying.kill();
        if place == "move" {
            kill_held(&self.scene.gate).await;
        }
    }

    /// The same when the merge is made, and nobody has its locks any more.
    async fn dead_with_its_merge_made() -> Self {
        let mut stage = Self::new(Hold::After).await;
        stage.dies_at("move").await;
        assert_eq!(stage.repo.merges_of(&stage.id), 1);
        stage.locks_run_out().await;
        stage
    }

    async fn locks_run_out(&self) {
        eventually("no lock is held", DEADLINE, async || {
            self.scene.locks.held().await.is_empty().then_some(())
        })
        .await;
    }

    /// Makes a move at the other instance.
    async fn ask(&self, asked: Asked) -> Result<wire::Plan, Status> {
        let (plans, plan_id) = (self.other.plans(), self.id.clone());
        let plan = match asked {
            Asked::Retry => return plans.retry(&plan_id).await,
            Asked::Revert => {
                let request = wire::RevertPlanRequest { plan_id };
                plans.raw().revert_plan(request).await?.into_inner().plan
            }
            Asked::Cancel => {
                let request = wire::CancelPlanRequest { plan_id, reason: "unwanted".to_owned() };
                plans.raw().cancel_plan(request).await?.into_inner().plan
            }
        };
        Ok(plan.unwrap())
    }

    /// A move finds the merge and finishes it, and is told that it comes too late.
    async fn comes_too_late(&self, asked: Asked) {
        let status = self.ask(asked).await.expect_err("the plan is applied");
        failure(&status, Code::FailedPrecondition, "plan.v1", "INVALID_TRANSITION");
        self.other.plans().until(&self.id, APPLIED).await;
    }

    /// Another plan of the project, executed, which changes something else or
    /// builds on the first.
    async fn next_plan(&self, script: &str) -> String {
        let template = Template::new("test/next").step(sh("write", script));
        let id = self.other.plans().plan_of(template, &self.repo).await;
        self.other.plans().execute_whole(&id).await;
        id
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.repo.path().join(name)).unwrap()
    }

    /// Panics unless the plan is merged once and the work tree is as it should be.
    #[track_caller]
    fn assert_merged(&self) {
        assert_eq!(self.repo.merges_of(&self.id), 1);
        self.repo.assert_clean();
        assert_eq!(self.read("README"), "changed\n");
        assert_eq!(self.read("z3"), "3\n");
    }

    /// The same, and there is nothing else.
    #[track_caller]
    fn assert_merged_alone(&self) {
        self.assert_merged();
        assert_eq!(self.read("slow.txt"), "new\n");
        assert_eq!(self.repo.merges(), 1);
        self.repo.assert_no_traces();
    }
}

/// The next plan changes other files: git would merge it, and would take those of
/// the first for deleted ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_plan_finishes_a_merge_that_was_just_made() {
    let mut stage = Stage::new(Hold::After).await;
    stage.dies_at("move").await;
    let next = stage.next_plan("echo next > next.txt").await;
    stage.other.plans().apply_whole(&next).await;
    stage.assert_merged();
    assert_eq!((stage.read("next.txt").as_str(), stage.repo.merges()), ("next\n", 2));
    // Its row is its own to finish.
    let plan = stage.other.plans().get(&stage.id).await.unwrap();
    assert_eq!(plan.state(), PlanState::Processing, "{plan:#?}");
    stage.comes_too_late(Asked::Retry).await;
    stage.assert_merged();
    assert_eq!(stage.repo.merges(), 2);
    stage.repo.assert_no_traces();
}

/// The next plan changes a file of the first one's again: to the service it would
/// look as if somebody had changed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_plan_finishes_a_work_tree_that_is_half_written() {
    let mut stage = Stage::new(Hold::After).await;
    stage.dies_at("write").await;
    let next = stage.next_plan("echo newer > slow.txt").await;
    stage.other.plans().apply_whole(&next).await;
    stage.assert_merged();
    assert_eq!((stage.read("slow.txt").as_str(), stage.repo.merges()), ("newer\n", 2));
    let late = stage.scene.instance("late", &LOOKS).await;
    late.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged();
    assert_eq!((stage.read("slow.txt").as_str(), stage.repo.merges()), ("newer\n", 2));
    stage.repo.assert_no_traces();
}

/// The instance stands still, and its git would make the merge when the plan was
/// put to ERRORED without it: nobody looks for that merge any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_was_given_up_is_not_made_late() {
    let stage = Stage::new(Hold::Before).await;
    stage.applies_until("move").await;
    stage.dying.freeze();
    let looks = stage.scene.instance("looks", &LOOKS).await;
    let plan = looks.plans().until(&stage.id, ERRORED).await;
    assert_eq!(plan.problem.unwrap().reason, "INTERRUPTED");
    let before = stage.repo.picture();
    stage.scene.gate.open("move");
    stage.scene.gate.reached("moved").await;
    assert_ne!(stage.scene.gate.lines("code"), ["0"], "the late transaction is refused");
    assert_eq!(stage.repo.picture(), before);
    stage.ask(Asked::Retry).await.unwrap();
    stage.other.plans().until(&stage.id, APPLIED).await;
    stage.dying.thaw();
    stage.dying.plans().idle().await;
    stage.assert_merged_alone();
}

/// The instance stands still, and its git makes the merge when the next plan has
/// looked for such already, and runs its checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_plan_finishes_a_merge_that_is_made_late() {
    let stage = Stage::new(Hold::Before).await;
    stage.applies_until("move").await;
    stage.dying.freeze();
    let check = sh("check", ". \"$GATE/words.sh\"; pass check");
    let template = Template::new("test/next").step(sh("write", "echo next > next.txt"));
    let template = stage.scene.gate.on(template.check(check));
    let plans = stage.other.plans();
    let next = plans.plan_of(template, &stage.repo).await;
    plans.execute_whole(&next).await;
    plans.apply(&next).await.unwrap();
    stage.scene.gate.reached("check").await;
    stage.scene.gate.open("move");
    stage.scene.gate.reached("moved").await;
    assert_eq!(stage.scene.gate.lines("code"), ["0"], "nobody has the first plan");
    stage.scene.gate.open("check");
    plans.until(&next, APPLIED).await;
    stage.assert_merged();
    assert_eq!((stage.read("next.txt").as_str(), stage.repo.merges()), ("next\n", 2));
    stage.comes_too_late(Asked::Retry).await;
    stage.assert_merged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_finds_the_merge() {
    let stage = Stage::dead_with_its_merge_made().await;
    stage.comes_too_late(Asked::Revert).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_finds_the_merge() {
    let stage = Stage::dead_with_its_merge_made().await;
    stage.comes_too_late(Asked::Cancel).await;
    stage.assert_merged_alone();
}

/// The run that is told to end has made the merge, and dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_cancel_does_not_undo_the_merge() {
    let mut stage = Stage::new(Hold::After).await;
    stage.applies_until("move").await;
    let plan = stage.ask(Asked::Cancel).await.unwrap();
    assert!(plan.cancel_requested, "{plan:#?}");
    stage.dying.kill();
    kill_held(&stage.scene.gate).await;
    let late = stage.scene.instance("late", &LOOKS).await;
    late.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged_alone();
}

/// Somebody changes a file while the merge is made, and taking it back fails, too:
/// the run ends with an error, and the project has the merge.
async fn neither_finished_nor_taken_back() -> Stage {
    let stage = Stage::new(Hold::After).await;
    stage.applies_until("move").await;
    let readme = stage.repo.path().join("README");
    fs::write(&readme, "somebody's\n").unwrap();
    arm(&stage.scene.gate, "full");
    stage.scene.gate.open("move");
    let plan = stage.other.plans().until(&stage.id, ERRORED).await;
    assert_eq!(plan.problem.unwrap().reason, "GIT_FAILED");
    assert_eq!(stage.repo.merges_of(&stage.id), 1);
    fs::write(&readme, "a project\n").unwrap();
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_finds_the_merge_of_a_run_that_failed() {
    let stage = neither_finished_nor_taken_back().await;
    stage.comes_too_late(Asked::Revert).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_finds_the_merge_of_a_run_that_failed() {
    let stage = neither_finished_nor_taken_back().await;
    stage.comes_too_late(Asked::Cancel).await;
    stage.assert_merged_alone();
}

/// A wish that is noted while the merge can neither be finished nor taken back
/// ends no plan: the project has its merge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_does_not_cancel_what_the_project_has() {
    let stage = Stage::new(Hold::After).await;
    stage.applies_until("move").await;
    let readme = stage.repo.path().join("README");
    fs::write(&readme, "somebody's\n").unwrap();
    arm(&stage.scene.gate, "full");
    assert!(stage.ask(Asked::Cancel).await.unwrap().cancel_requested);
    stage.scene.gate.open("move");
    stage.dying.plans().idle().await;
    stage.locks_run_out().await;
    let plan = stage.other.plans().get(&stage.id).await.unwrap();
    assert_eq!(plan.state(), PlanState::Processing, "{plan:#?}");
    fs::write(&readme, "a project\n").unwrap();
    stage.comes_too_late(Asked::Cancel).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_plan_finishes_the_merge_of_a_run_that_failed() {
    let stage = neither_finished_nor_taken_back().await;
    let next = stage.next_plan("echo next > next.txt").await;
    stage.other.plans().apply_whole(&next).await;
    stage.assert_merged();
    stage.comes_too_late(Asked::Retry).await;
    stage.assert_merged();
    assert_eq!((stage.read("next.txt").as_str(), stage.repo.merges()), ("next\n", 2));
}

/// Lets git remove the merge commit that was noted and not made.
fn clean_up(repo: &Repo, id: &str) {
    let unreachable = repo.git(&["fsck", "--unreachable", "--no-reflogs", "--no-progress"]);
    let commits: Vec<_> =
        unreachable.lines().filter_map(|line| line.strip_prefix("unreachable commit ")).collect();
    let [commit] = commits[..] else { panic!("the merge alone: {unreachable}") };
    let message = repo.git(&["log", "-1", "--format=%B", commit]);
    assert!(message.contains(&format!("Plan: {id}")), "{message}");
    repo.git(&["gc", "--quiet", "--prune=now"]);
    assert!(!repo.try_git(&["cat-file", "-e", commit]).status.success(), "{commit} is gone");
    repo.git(&["rev-parse", "--verify", &format!("refs/heads/plan/{id}")]);
}

/// The instance and its git die before the merge that they have noted is made,
/// and the merge's commit is gone then.
async fn dead_with_its_commit_gone() -> Stage {
    let mut stage = Stage::new(Hold::Before).await;
    stage.dies_at("move").await;
    clean_up(&stage.repo, &stage.id);
    stage.locks_run_out().await;
    assert_eq!(stage.repo.merges(), 0);
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_makes_the_merge_anew_whose_commit_is_gone() {
    let stage = dead_with_its_commit_gone().await;
    stage.ask(Asked::Retry).await.unwrap();
    stage.other.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_begins_anew_when_the_commit_is_gone() {
    let stage = dead_with_its_commit_gone().await;
    let plans = stage.other.plans();
    let plan = stage.ask(Asked::Revert).await.unwrap();
    assert_eq!(plan.generation, 2);
    plans.until(&stage.id, (PlanPhase::Strategize, PlanState::Complete)).await;
    plans.execute_whole(&stage.id).await;
    plans.apply_whole(&stage.id).await;
    stage.assert_merged_alone();
}

/// Only git dies, and the run ends with an error: how it ended stands, whatever is
/// asked, until a move is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_failed_and_is_gone_changes_nothing() {
    let stage = Stage::new(Hold::Before).await;
    stage.applies_until("move").await;
    kill_held(&stage.scene.gate).await;
    let plan = stage.other.plans().until(&stage.id, ERRORED).await;
    assert_eq!(plan.problem.unwrap().reason, "GIT_FAILED");
    clean_up(&stage.repo, &stage.id);
    stage.locks_run_out().await;
    let before = [stage.scene.rows().await];
    let status = stage.other.plans().execute(&stage.id).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "plan.v1", "INVALID_TRANSITION");
    assert_same(&[stage.scene.rows().await], &before);
    let plan = stage.ask(Asked::Cancel).await.unwrap();
    assert_eq!(plan.state(), PlanState::Cancelled);
    stage.repo.assert_clean();
    stage.repo.assert_no_traces();
    assert_eq!(stage.repo.merges(), 0);
}

/// Whether the project has the merge is not known then: so nothing is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_project_is_away_no_move_decides_about_the_merge() {
    let stage = Stage::dead_with_its_merge_made().await;
    let before = [stage.scene.rows().await];
    let (home, away) = (stage.repo.path(), stage.scene.path("away"));
    fs::rename(home, &away).unwrap();
    for asked in [Asked::Retry, Asked::Revert, Asked::Cancel] {
        let status = stage.ask(asked).await.expect_err("the project is away");
        failure(&status, Code::FailedPrecondition, "plan.v1", "PROJECT_UNUSABLE");
        assert_same(&[stage.scene.rows().await], &before);
    }
    fs::rename(&away, home).unwrap();
    stage.comes_too_late(Asked::Revert).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_project_is_away_the_recovery_waits() {
    let stage = Stage::dead_with_its_merge_made().await;
    let before = [stage.scene.rows().await];
    let (home, away) = (stage.repo.path(), stage.scene.path("away"));
    fs::rename(home, &away).unwrap();
    let mut late = stage.scene.instance("late", &LOOKS).await;
    let gives_up = |line: &str| line.contains("cannot put a plan right");
    late.process.wait_for_line(gives_up, DEADLINE).await;
    assert_same(&[stage.scene.rows().await], &before);
    fs::rename(&away, home).unwrap();
    late.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged_alone();
}

/// A plan's lock as the lock server knows it.
async fn lock_of(scene: &Scene, id: &str) -> Lock {
    let request = GetLockRequest { resource: Some(format!("plan/{id}").parse().unwrap()) };
    let answer = lock_client(scene.locks.url()).get_lock(request).await;
    answer.expect("whoever repairs the work tree has the lock").into_inner().lock.unwrap()
}

fn end_of(lock: &Lock) -> f64 {
    let end = lock.expire_time.unwrap();
    end.seconds as f64 + f64::from(end.nanos) / 1e9
}

/// Lets git, which writes the work tree under this plan's lock, go on when the
/// lease that it began with is over.
async fn takes_longer_than_a_lease(scene: &Scene, id: &str) {
    scene.gate.reached("write").await;
    let first = lock_of(scene, id).await;
    // It is renewed for as long as a lease is: so that was after the first end.
    let over = end_of(&first) + LEASE_SECONDS;
    eventually("the lease it began with is over", DEADLINE, async || {
        let now = lock_of(scene, id).await;
        assert_eq!(now.fencing_token, first.fencing_token, "the same run has it all the time");
        (end_of(&now) >= over).then_some(())
    })
    .await;
    scene.gate.open("write");
}

/// It looks for abandoned plans only once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_may_take_longer_than_a_lease() {
    let stage = Stage::dead_with_its_merge_made().await;
    arm(&stage.scene.gate, "write");
    let late = stage.scene.instance("late", &[]).await;
    takes_longer_than_a_lease(&stage.scene, &stage.id).await;
    late.plans().until(&stage.id, APPLIED).await;
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_finds_a_merge_may_take_longer_than_a_lease() {
    let stage = Stage::dead_with_its_merge_made().await;
    arm(&stage.scene.gate, "write");
    let late = stage.comes_too_late(Asked::Revert);
    futures::join!(late, takes_longer_than_a_lease(&stage.scene, &stage.id));
    stage.assert_merged_alone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_plan_may_take_longer_than_a_lease_to_finish_a_merge() {
    let stage = Stage::dead_with_its_merge_made().await;
    let next = stage.next_plan("echo next > next.txt").await;
    arm(&stage.scene.gate, "write");
    let plans = stage.other.plans();
    futures::join!(plans.apply_whole(&next), takes_longer_than_a_lease(&stage.scene, &next));
    stage.assert_merged();
    assert_eq!((stage.read("next.txt").as_str(), stage.repo.merges()), ("next\n", 2));
    stage.comes_too_late(Asked::Retry).await;
    stage.assert_merged();
}
