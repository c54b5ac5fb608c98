//! Commands that behave badly: each gets a clear problem or is simply handled,
//! nothing of it is left, and the service lives on.

use std::time::{Duration, Instant};

use proto::plan::v1::{self as wire, PlanPhase, PlanState, StepState};

use super::support::{Instance, Plans, Program, Repo, Scene, Template, peak_memory, sh};

/// One instance and one project.
struct Site {
    scene: Scene,
    instance: Instance,
    repo: Repo,
    plans: Plans,
}

impl Site {
    async fn new() -> Self {
        let scene = Scene::on_sqlite("20s").await;
        let instance = scene.instance("only", &[]).await;
        let repo = scene.repo("project");
        let plans = instance.plans();
        plans.register(&repo).await;
        Self { scene, instance, repo, plans }
    }

    /// A plan of this one step, executed until it rests.
    async fn executed(&self, name: &str, step: wire::StepTemplate) -> wire::Plan {
        let template = Template::new(&format!("bad/{name}")).step(step);
        let id = self.plans.plan_of(self.scene.gate.on(template), &self.repo).await;
        self.plans.execute(&id).await.unwrap();
        self.plans.at_rest(&id).await
    }

    /// The problem that such a plan ends with.
    async fn problem(&self, name: &str, step: wire::StepTemplate) -> wire::Problem {
        let plan = self.executed(name, step).await;
        let standing = (plan.phase(), plan.state());
        assert_eq!(standing, (PlanPhase::Execute, PlanState::Errored), "{plan:#?}");
        assert_eq!(plan.steps[0].state(), StepState::Failed, "{plan:#?}");
        let problem = plan.problem.unwrap();
        assert_eq!(problem.step, plan.steps[0].name);
        problem
    }

    /// Panics unless the service still does its work, and nothing is left.
    async fn lives_on(&self) {
        let plan = self.executed("good", sh("good", "echo good > good.txt")).await;
        assert_eq!(plan.state(), PlanState::Complete, "{plan:#?}");
        self.plans.apply_whole(&plan.plan_id).await;
        self.repo.assert_clean();
        self.plans.idle().await;
        assert!(self.instance.worktrees().is_empty(), "{:?}", self.instance.worktrees());
        let worktrees = self.repo.git(&["worktree", "list"]);
        assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
    }
}

fn program(name: &str, argv: &[&str]) -> wire::StepTemplate {
    let argv = argv.iter().map(|part| (*part).to_owned()).collect();
    wire::StepTemplate { name: name.to_owned(), argv, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_of_output_stays_out_of_memory() {
    const SIZE: u64 = 1 << 30;
    const MOST_MEMORY: u64 = 200 << 20;
    let site = Site::new().await;
    let step = program("flood", &["head", "-c", &SIZE.to_string(), "/dev/zero"]);
    let plan = site.executed("flood", step).await;
    assert_eq!(plan.state(), PlanState::Complete, "{plan:#?}");
    assert_eq!(plan.steps[0].output_bytes, SIZE);
    let tails = site.plans.diagnose(Some(&plan.plan_id)).await.plan.unwrap().tails;
    assert_eq!(tails[0].skipped_bytes + tails[0].data.len() as u64, SIZE);
    assert!((1..=64 * 1024).contains(&tails[0].data.len()), "{}", tails[0].data.len());
    let peak = peak_memory(site.instance.process.id());
    eprintln!("VmHWM: {} MiB", peak >> 20);
    assert!(peak < MOST_MEMORY, "{peak} bytes");
    site.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_fail_are_named() {
    let site = Site::new().await;
    let problem = site.problem("missing", program("missing", &["no-such-program", "x"])).await;
    assert_eq!(problem.reason, "PROGRAM_NOT_FOUND");
    assert!(problem.message.contains("no-such-program"), "{problem:?}");
    let problem = site.problem("missing2", program("missing", &["./no/such", "x"])).await;
    assert_eq!(problem.reason, "PROGRAM_NOT_FOUND");
    let problem = site.problem("plain", program("plain", &["./README"])).await;
    assert_eq!(problem.reason, "PROGRAM_NOT_FOUND");
    assert!(problem.message.contains("README"), "{problem:?}");
    let problem = site.problem("folder", program("folder", &["/"])).await;
    assert_eq!(problem.reason, "PROGRAM_NOT_FOUND");
    let problem = site.problem("seven", sh("seven", "echo why >&2; exit 7")).await;
    assert_eq!(problem.reason, "STEP_FAILED");
    assert!(problem.message.contains('7'), "{problem:?}");
    let problem = site.problem("signal", sh("signal", "kill -SEGV $$")).await;
    assert_eq!(problem.reason, "STEP_FAILED");
    assert!(problem.message.contains("11"), "{problem:?}");
    site.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_never_ends_is_ended() {
    let site = Site::new().await;
    let script = r#"
trap '' TERM INT HUP
echo "$$" >> "$GATE/ids"
sleep 1000 &
echo "$!" >> "$GATE/ids"
setsid sh -c 'echo $$ >> "$GATE/ids"; exec sleep 1000' > /dev/null 2>&1 &
while [ "$(wc -l < "$GATE/ids")" -lt 3 ]; do sleep 0.02; done
: > "$GATE/at.all"
while :; do sleep 0.05; done
"#;
    let limit = prost_types::Duration { seconds: 2, nanos: 0 };
    let step = wire::StepTemplate { time_limit: Some(limit), ..sh("endless", script) };
    let began = Instant::now();
    let (problem, programs) = futures::join!(site.problem("endless", step), async {
        site.scene.gate.reached("all").await;
        site.scene.gate.lines("ids").iter().map(|id| Program::of(id)).collect::<Vec<_>>()
    });
    assert_eq!(problem.reason, "STEP_TIMED_OUT");
    assert!(problem.message.contains("2s"), "{problem:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(programs.iter().all(|program| !program.lives()), "ended before the step was");
    site.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_do_not_outlive_their_command() {
    let site = Site::new().await;
    // Two of them hold the output open, one in a session of its own.
    let script = r#"
. "$GATE/words.sh"
sleep 1000 &
echo "$!" >> "$GATE/ids"
setsid sh -c 'echo $$ >> "$GATE/ids"; trap "" TERM HUP; while :; do echo late > late.txt; sleep 0.05; done' &
(setsid sh -c 'echo $$ >> "$GATE/ids"; exec sleep 1000' > /dev/null 2>&1 < /dev/null &)
while [ "$(wc -l < "$GATE/ids")" -lt 3 ]; do sleep 0.02; done
pass family
echo done > done.txt
"#;
    let (plan, programs) = futures::join!(site.executed("family", sh("family", script)), async {
        site.scene.gate.reached("family").await;
        let ids = site.scene.gate.lines("ids");
        let programs = ids.iter().map(|id| Program::of(id)).collect::<Vec<_>>();
        site.scene.gate.open("family");
        programs
    });
    assert_eq!(plan.state(), PlanState::Complete, "{plan:#?}");
    assert_eq!(programs.len(), 3);
    assert!(programs.iter().all(|program| !program.lives()), "ended before the step was");
    site.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_has_no_children_left_after_all_that() {
    let site = Site::new().await;
    site.executed("one", sh("one", "sleep 1000 & exit 3")).await;
    site.lives_on().await;
    let id = site.instance.process.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    // Not every kernel tells.
    if let Ok(children) = children {
        assert_eq!(children.trim(), "");
    }
}

/// Nobody blames the step, and nothing that it needs is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_disappears_while_a_step_runs() {
    let scene = Scene::on_sqlite("20s").await;
    let mut instance = scene.instance("only", &[]).await;
    let repo = scene.repo("project");
    let plans = instance.plans();
    plans.register(&repo).await;
    let script = ". \"$GATE/words.sh\"; pass here; echo new > new.txt";
    let template = scene.gate.on(Template::new("test/slow").step(sh("slow", script)));
    let id = plans.plan_of(template, &repo).await;
    plans.execute(&id).await.unwrap();
    scene.gate.reached("here").await;
    let away = scene.path("away");
    std::fs::rename(repo.path(), &away).unwrap();
    scene.gate.open("here");
    let plan = plans.until(&id, (PlanPhase::Execute, PlanState::Errored)).await;
    let problem = plan.problem.unwrap();
    assert_eq!(problem.reason, "PROJECT_UNUSABLE", "{problem:?}");
    assert!(problem.message.ends_with("; retry when it is back"), "{}", problem.message);
    std::fs::rename(&away, repo.path()).unwrap();
    plans.retry_when_free(&id).await;
    plans.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    plans.apply_whole(&id).await;
    repo.assert_clean();
    // What git knows of the first run's worktree could not be removed then.
    instance.kill();
    instance.start_again().await;
    repo.assert_no_traces();
}
