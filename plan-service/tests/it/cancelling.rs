//! The wish that a plan be cancelled: it outlives a run that dies, comes in time
//! for one that is about to end, and reaches one at an instance that is full; and
//! it undoes no merge.

use proto::plan::v1::{self as wire, PlanPhase, PlanState};
use service_kit::testing::eventually;
use tonic::{Code, Status};

use super::support::{
    DEADLINE, Instance, Plans, Repo, Scene, Template, assert_same, failure, is_conflict, sh,
    stubborn_git::{Hold, arm, held_at, held_when},
};

/// An instance that looks for abandoned plans again and again.
const LOOKS: [&str; 2] = ["--recovery-interval", "200ms"];
const WHY: &str = "nobody wants it any more";

async fn cancel(plans: &Plans, id: &str) -> Result<wire::Plan, Status> {
    let request = wire::CancelPlanRequest { plan_id: id.to_owned(), reason: WHY.to_owned() };
    Ok(plans.raw().cancel_plan(request).await?.into_inner().plan.unwrap())
}

/// Asks for it while a run has the plan: the answer is that the run is told.
#[track_caller]
fn tell_its_run(plans: &Plans, id: &str) -> impl Future<Output = ()> + use<> {
    let caller = std::panic::Location::caller();
    let (plans, id) = (plans.clone(), id.to_owned());
    async move {
        let plan =
            cancel(&plans, &id).await.unwrap_or_else(|status| panic!("{caller}: {status:?}"));
        let told = (plan.state(), plan.cancel_requested);
        assert_eq!(told, (PlanState::Processing, true), "{caller}: {plan:#?}");
    }
}

/// Waits until the plan is at rest: cancelled, for the reason that was given.
async fn is_cancelled(plans: &Plans, id: &str, phase: PlanPhase) {
    let plan = plans.until(id, (phase, PlanState::Cancelled)).await;
    let problem = plan.problem.as_ref().unwrap();
    assert_eq!(problem.reason, "CANCELLED", "{plan:#?}");
    assert!(problem.message.contains(WHY), "{problem:?}");
    assert!(!plan.cancel_requested, "it is not to be stopped any more");
}

/// A plan whose run stands still and has been told, by another instance, that it
/// is to be cancelled.
struct Told {
    scene: Scene,
    repo: Repo,
    worker: Instance,
    other: Instance,
    id: String,
    phase: PlanPhase,
}

impl Told {
    async fn new(phase: PlanPhase) -> Self {
        let scene = Scene::on_postgres("3s").await;
        let worker = scene.instance("worker", &[]).await;
        let other = scene.instance("other", &[]).await;
        let repo = scene.repo("project");
        worker.plans().register(&repo).await;
        let wait = |place: &str| format!(". \"$GATE/words.sh\"; pass {place}; echo x > {place}");
        let template = Template::new("test/waits")
            .step(sh("first", "echo 1 > first.txt"))
            .step(sh("second", &wait("step")))
            .check(sh("check", &wait("check")));
        let id = worker.plans().plan_of(scene.gate.on(template), &repo).await;
        let told = Self { scene, repo, worker, other, id, phase };
        told.tell().await;
        told
    }

    async fn tell(&self) {
        let (plans, gate) = (self.worker.plans(), &self.scene.gate);
        plans.execute(&self.id).await.unwrap();
        gate.reached("step").await;
        if self.phase == PlanPhase::Apply {
            gate.open("step");
            plans.until(&self.id, (PlanPhase::Execute, PlanState::Complete)).await;
            plans.apply_when_free(&self.id).await;
            gate.reached("check").await;
        }
        self.worker.freeze();
        tell_its_run(&self.other.plans(), &self.id).await;
        let refs = self.repo.refs();
        for name in [format!("heads/plan/{}", self.id), format!("fence/{}", self.id)] {
            assert!(refs.contains(&name), "{name} is there while it runs: {refs}");
        }
    }

    /// Waits until this instance sees the plan as it is to be, and panics when it
    /// has left something in the project.
    async fn comes_true(&self, at: &Instance) {
        is_cancelled(&at.plans(), &self.id, self.phase).await;
        let refs = self.repo.git(&["for-each-ref", "--format=%(refname)"]);
        assert_eq!(refs, "refs/heads/main");
        assert_eq!(self.repo.merges(), 0);
        self.repo.assert_clean();
    }
}

/// The run's instance is killed before it could act on the wish.
async fn recovered(phase: PlanPhase) {
    let mut told = Told::new(phase).await;
    told.worker.kill();
    let third = told.scene.instance("third", &LOOKS).await;
    told.comes_true(&third).await;
    // The dead one's worktree is its own to remove.
    told.worker.start_again().await;
    told.repo.assert_no_traces();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recovery_cancels_what_a_dead_run_was_told() {
    recovered(PlanPhase::Execute).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recovery_cancels_what_a_dead_run_was_told_in_apply() {
    recovered(PlanPhase::Apply).await;
}

/// Another move comes before the recovery; and the run that was told goes on when
/// it is too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_move_cancels_what_a_frozen_run_was_told() {
    let told = Told::new(PlanPhase::Execute).await;
    let plans = told.other.plans();
    let refused = eventually("the plan's lock is free", DEADLINE, async || {
        let status = plans.retry(&told.id).await.expect_err("there is nothing to retry");
        (!is_conflict(&status)).then_some(status)
    })
    .await;
    failure(&refused, Code::FailedPrecondition, "plan.v1", "INVALID_TRANSITION");
    told.comes_true(&told.other).await;
    let before = [told.scene.rows().await, told.repo.picture()];
    told.worker.thaw();
    told.worker.plans().idle().await;
    assert_same(&[told.scene.rows().await, told.repo.picture()], &before);
    told.repo.assert_no_traces();
}

/// All the work is done when the wish comes, and the run would be at its end
/// before it looks for one again. Each round leaves it a moment in which it could
/// happen to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_at_the_last_moment_is_not_lost() {
    const ROUNDS: usize = 4;
    let scene = Scene::on_postgres("20s").await;
    let git = scene.path("held-git");
    held_when(&scene.gate, &git, "worktree remove");
    let worker = scene.instance("worker", &["--git", git.to_str().unwrap()]).await;
    let other = scene.instance("other", &[]).await;
    let repo = scene.repo("project");
    other.plans().register(&repo).await;
    other.plans().create(Template::new("test/quick").step(sh("write", "echo x > x"))).await;
    for round in 0..ROUNDS {
        let place = format!("end{round}");
        let id = other.plans().make("test/quick", &repo).await;
        arm(&scene.gate, &place);
        worker.plans().execute(&id).await.unwrap();
        scene.gate.reached(&place).await;
        worker.freeze();
        scene.gate.open(&place);
        scene.gate.reached(&format!("{place}.ended")).await;
        tell_its_run(&other.plans(), &id).await;
        worker.thaw();
        is_cancelled(&other.plans(), &id, PlanPhase::Execute).await;
        repo.assert_no_traces();
    }
}

/// The run has nothing left to do but to write its end, and cannot, when the wish
/// comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_while_the_end_cannot_be_written_is_not_lost() {
    let scene = Scene::on_postgres("60s").await;
    let (database, url) = scene.by_proxy().await;
    let git = scene.path("held-git");
    held_when(&scene.gate, &git, "worktree remove");
    let worker = scene.instance_on(&url, "worker", &["--git", git.to_str().unwrap()]).await;
    let other = scene.instance("other", &[]).await;
    let repo = scene.repo("project");
    other.plans().register(&repo).await;
    let template = Template::new("test/quick").step(sh("write", "echo x > x"));
    let id = other.plans().plan_of(template, &repo).await;
    arm(&scene.gate, "end");
    worker.plans().execute(&id).await.unwrap();
    scene.gate.reached("end").await;
    database.cut().await;
    scene.gate.open("end");
    eventually("the end cannot be written", DEADLINE, async || {
        worker.process.output().contains("the end of a run was not written").then_some(())
    })
    .await;
    tell_its_run(&other.plans(), &id).await;
    database.resume().await;
    is_cancelled(&other.plans(), &id, PlanPhase::Execute).await;
    repo.assert_no_traces();
}

/// The project has the merge when the wish comes: the plan is applied, by its run
/// or, when that has died, by the recovery.
async fn merged_before(run_dies: bool) {
    let scene = Scene::on_postgres("3s").await;
    let git = scene.path("held-git");
    held_at(&scene.gate, &git, "refs/heads/main", Hold::After);
    let mut worker = scene.instance("worker", &["--git", git.to_str().unwrap()]).await;
    let other = scene.instance("other", &LOOKS).await;
    let (repo, plans) = (scene.repo("project"), worker.plans());
    plans.register(&repo).await;
    let template = Template::new("test/quick").step(sh("write", "echo x > x"));
    let id = plans.plan_of(template, &repo).await;
    plans.execute_whole(&id).await;
    arm(&scene.gate, "move");
    plans.apply_when_free(&id).await;
    scene.gate.reached("move").await;
    tell_its_run(&plans, &id).await;
    if run_dies {
        worker.kill();
    }
    scene.gate.open("move");
    other.plans().until(&id, (PlanPhase::Apply, PlanState::Applied)).await;
    assert_eq!(repo.merges_of(&id), 1);
    repo.assert_clean();
    repo.assert_no_traces();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_after_the_merge_comes_too_late() {
    merged_before(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_after_the_merge_of_a_dead_run_comes_too_late() {
    merged_before(true).await;
}

/// Waits until it is let go, at a gate of the plan's own.
const WAITS: &str = r#". "$GATE/words.sh"; pass "$PLAN_ID"; echo x > x"#;

/// An instance that is full, by one plan that runs there and one that waits to.
struct Full {
    scene: Scene,
    repo: Repo,
    instance: Instance,
    works: String,
    waits: String,
    /// It has been strategized, and nobody works on it.
    rests: String,
}

impl Full {
    async fn new() -> Self {
        let scene = Scene::on_postgres("20s").await;
        let flags = ["--max-runs", "1", "--max-queued-runs", "1"];
        let instance = scene.instance("full", &flags).await;
        let repo = scene.repo("project");
        let plans = instance.plans();
        plans.register(&repo).await;
        let works = scene.gate.on(Template::new("test/waits").step(sh("waits", WAITS)));
        let works = plans.plan_of(works, &repo).await;
        let waits = plans.make("test/waits", &repo).await;
        let rests = plans.make("test/waits", &repo).await;
        plans.execute(&works).await.unwrap();
        scene.gate.reached(&works).await;
        plans.execute(&waits).await.unwrap();
        Self { scene, repo, instance, works, waits, rests }
    }
}

/// Panics unless it was refused because the instance is full, in words that say
/// what to do about it.
#[track_caller]
fn is_overloaded(refused: &Status) {
    let details = failure(refused, Code::ResourceExhausted, "plan.v1", "OVERLOADED");
    assert!(refused.message().contains("--max-runs"), "{refused:?}");
    assert!(details.retry_info().is_some(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_instance_tells_the_runs_that_it_has() {
    let full = Full::new().await;
    let plans = full.instance.plans();
    is_overloaded(&plans.execute(&full.rests).await.unwrap_err());
    // The one that waits for its turn.
    tell_its_run(&plans, &full.waits).await;
    is_cancelled(&plans, &full.waits, PlanPhase::Execute).await;
    // With another one in its place, the one that works.
    plans.execute_when_free(&full.rests).await;
    tell_its_run(&plans, &full.works).await;
    is_cancelled(&plans, &full.works, PlanPhase::Execute).await;
    // Now it is the third one's turn.
    full.scene.gate.open(&full.rests);
    plans.until(&full.rests, (PlanPhase::Execute, PlanState::Complete)).await;
    plans.apply_whole(&full.rests).await;
    full.repo.assert_no_traces();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_instance_tells_a_run_of_another() {
    let full = Full::new().await;
    let other = full.scene.instance("other", &[]).await;
    other.plans().execute(&full.rests).await.unwrap();
    full.scene.gate.reached(&full.rests).await;
    tell_its_run(&full.instance.plans(), &full.rests).await;
    is_cancelled(&other.plans(), &full.rests, PlanPhase::Execute).await;
}

/// To cancel a plan that rests takes a place, as every move does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_instance_refuses_to_cancel_a_plan_that_rests() {
    let full = Full::new().await;
    let plans = full.instance.plans();
    let before = plans.get(&full.rests).await.unwrap();
    is_overloaded(&cancel(&plans, &full.rests).await.unwrap_err());
    assert_eq!(plans.get(&full.rests).await.unwrap(), before, "nothing has changed");
    for id in [&full.works, &full.waits] {
        full.scene.gate.open(id);
        plans.until(id, (PlanPhase::Execute, PlanState::Complete)).await;
    }
    plans.idle().await;
    let plan = cancel(&plans, &full.rests).await.unwrap();
    assert_eq!(plan.state(), PlanState::Cancelled);
    is_cancelled(&plans, &full.rests, PlanPhase::Strategize).await;
}
