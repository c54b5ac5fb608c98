//! An instance that is killed with SIGKILL in the middle of Execute, and in the
//! middle of writing the project's work tree.

use std::{fs, time::Duration};

use proto::plan::v1::{PlanPhase, PlanState, StepState};
use service_kit::testing::eventually;

use super::support::{
    DEADLINE, Program, Repo, Scene, Template, sh,
    stubborn_git::{Hold, arm, held_at, slow_file},
};

const LEASE: &str = "2s";
/// An instance that looks for abandoned plans again and again.
const LOOKS: [&str; 2] = ["--recovery-interval", "200ms"];

/// A command, a child, and a grandchild that has gone into a session of its own.
const FAMILY: &str = r#"
. "$GATE/words.sh"
echo "$$" >> "$GATE/ids"
sleep 1000 &
echo "$!" >> "$GATE/ids"
setsid sh -c 'echo $$ >> "$GATE/ids"; trap "" TERM HUP INT; exec sleep 1000' < /dev/null > /dev/null 2>&1 &
while [ "$(wc -l < "$GATE/ids")" -lt 3 ]; do sleep 0.02; done
at family
pass family
"#;

fn files_in(repo: &Repo, commit: &str) -> Vec<String> {
    let names = repo.git(&["ls-tree", "-r", "--name-only", commit]);
    names.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_survives_and_another_instance_carries_on() {
    let scene = Scene::on_postgres(LEASE).await;
    let mut killed = scene.instance("killed", &[]).await;
    let other = scene.instance("other", &LOOKS).await;
    let repo = scene.repo("project");
    killed.plans().register(&repo).await;
    let count = r#"echo "$PLAN_STEP" >> "$GATE/steps"; echo x > "$PLAN_STEP.txt""#;
    let template = Template::new("test/family").step(sh("one", count)).step(sh("two", count));
    let template = template.step(sh("family", FAMILY)).step(sh("last", count));
    let id = killed.plans().plan_of(scene.gate.on(template), &repo).await;
    killed.plans().execute(&id).await.unwrap();
    scene.gate.reached("family").await;
    let family: Vec<_> = scene.gate.lines("ids").iter().map(|id| Program::of(id)).collect();
    assert_eq!(family.len(), 3);
    assert!(!killed.worktrees().is_empty());
    killed.kill();
    for program in &family {
        program.ends(Duration::from_secs(10)).await;
    }
    let plan = other.plans().until(&id, (PlanPhase::Execute, PlanState::Errored)).await;
    assert_eq!(plan.problem.as_ref().unwrap().reason, "INTERRUPTED");
    let states: Vec<_> = plan.steps.iter().map(proto::plan::v1::Step::state).collect();
    let expected =
        [StepState::Complete, StepState::Complete, StepState::Stopped, StepState::Waiting];
    assert_eq!(states, expected);
    scene.gate.open("family");
    other.plans().retry(&id).await.unwrap();
    let plan = other.plans().until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    assert_eq!(scene.gate.lines("steps"), ["one", "two", "last"], "no step runs twice");
    let files = files_in(&repo, &plan.head_commit);
    assert_eq!(files, ["README", "last.txt", "one.txt", "two.txt"]);
    // What it has left in its folder goes when it starts again, and git forgets it.
    assert!(!killed.worktrees().is_empty());
    killed.start_again().await;
    eventually("the abandoned worktree is gone", DEADLINE, async || {
        killed.worktrees().is_empty().then_some(())
    })
    .await;
    killed.plans().apply_whole(&id).await;
    repo.assert_clean();
    repo.assert_no_traces();
}

/// The branch has moved and the database does not know: it is put back, and the
/// step runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_branch_and_the_database() {
    let scene = Scene::on_postgres(LEASE).await;
    let git = scene.path("held-git");
    held_at(&scene.gate, &git, "refs/heads/plan/", Hold::After);
    let mut killed = scene.instance("killed", &["--git", git.to_str().unwrap()]).await;
    let other = scene.instance("other", &LOOKS).await;
    let repo = scene.repo("project");
    killed.plans().register(&repo).await;
    let write =
        r#"echo "$PLAN_STEP" >> "$GATE/steps"; echo "$LOCK_FENCING_TOKEN" > "$PLAN_STEP.txt""#;
    let wait = format!(". \"$GATE/words.sh\"; pass one; {write}");
    let template = Template::new("test/ahead").step(sh("one", &wait)).step(sh("two", write));
    let id = killed.plans().plan_of(scene.gate.on(template), &repo).await;
    let branch = format!("refs/heads/plan/{id}");
    killed.plans().execute(&id).await.unwrap();
    scene.gate.reached("one").await;
    let base = repo.git(&["rev-parse", &branch]);
    arm(&scene.gate, "move");
    scene.gate.open("one");
    scene.gate.reached("move").await;
    killed.kill();
    assert_ne!(repo.git(&["rev-parse", &branch]), base, "the branch is ahead");
    let plan = other.plans().until(&id, (PlanPhase::Execute, PlanState::Errored)).await;
    assert_ne!(plan.steps[0].state(), StepState::Complete);
    let token = other.plans().retry(&id).await.unwrap().fencing_token;
    let plan = other.plans().until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    assert_eq!(scene.gate.lines("steps"), ["one", "one", "two"]);
    assert_eq!(repo.git(&["rev-parse", &branch]), plan.head_commit);
    let commits = repo.git(&["rev-list", "--count", &format!("{base}..{branch}")]);
    assert_eq!(commits, "2", "one commit for each step");
    let changesets = other.plans().changesets(&id).await;
    let steps: Vec<_> = changesets.iter().map(|one| one.step.as_str()).collect();
    assert_eq!(steps, ["one", "two"], "{changesets:#?}");
    other.plans().apply_whole(&id).await;
    let text = fs::read_to_string(repo.path().join("one.txt")).unwrap();
    assert_eq!(text.trim(), token.to_string(), "what the second run did");
    scene.gate.open("move");
    repo.assert_clean();
}

/// The merge is made, git writes the work tree, and is killed there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_work_tree_is_written() {
    let scene = Scene::on_postgres(LEASE).await;
    let mut killed = scene.instance("killed", &[]).await;
    let other = scene.instance("other", &LOOKS).await;
    let repo = scene.repo("project");
    slow_file(&scene.gate, &repo);
    killed.plans().register(&repo).await;
    let write = "for n in 1 2 3 4 5 6 7 8 9; do echo $n > a$n; echo $n > z$n; done; \
                 echo new > slow.txt; rm README";
    let template = Template::new("test/slow").step(sh("write", write));
    let id = killed.plans().plan_of(template, &repo).await;
    killed.plans().execute_whole(&id).await;
    arm(&scene.gate, "write");
    killed.plans().apply(&id).await.unwrap();
    scene.gate.reached("write").await;
    killed.kill();
    let standing = (PlanPhase::Apply, PlanState::Applied);
    other.plans().until(&id, standing).await;
    assert_eq!(repo.merges_of(&id), 1);
    repo.assert_clean();
    repo.assert_no_traces();
    assert!(!repo.path().join("README").exists());
    // The project is not left locked either: the next plan goes through.
    let next = Template::new("test/next").step(sh("write", "echo next > next.txt"));
    let next = other.plans().plan_of(next, &repo).await;
    other.plans().execute_whole(&next).await;
    other.plans().apply_whole(&next).await;
    repo.assert_clean();
}
