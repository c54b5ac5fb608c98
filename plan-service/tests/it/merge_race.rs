//! Somebody commits in the project at the very moment in which a plan is merged.

use std::fs;

use proto::plan::v1::{PlanPhase, PlanState};

use super::support::{
    Scene, Template, sh,
    stubborn_git::{Hold, arm, held_at},
};

/// The merge was made from a commit that is not the branch's any more: it is made
/// anew on the new one, and nobody's commit is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_comes_first_is_kept() {
    let scene = Scene::on_sqlite("20s").await;
    let git = scene.path("held-git");
    held_at(&scene.gate, &git, "refs/heads/main", Hold::Before);
    let instance = scene.instance("only", &["--git", git.to_str().unwrap()]).await;
    let repo = scene.repo("project");
    let plans = instance.plans();
    plans.register(&repo).await;
    let template = Template::new("test/write").step(sh("write", "echo new > new.txt"));
    let id = plans.plan_of(template, &repo).await;
    plans.execute_whole(&id).await;
    arm(&scene.gate, "move");
    plans.apply(&id).await.unwrap();
    scene.gate.reached("move").await;
    repo.commit("somebodys.txt", "somebody's\n");
    let theirs = repo.head();
    scene.gate.open("move");
    scene.gate.reached("moved").await;
    assert_ne!(scene.gate.lines("code"), ["0"], "the branch was not where the merge was made from");
    plans.until(&id, (PlanPhase::Apply, PlanState::Applied)).await;
    assert_eq!(repo.git(&["rev-parse", "main^1"]), theirs, "merged onto it");
    assert_eq!((repo.merges_of(&id), repo.merges()), (1, 1));
    for (file, text) in [("new.txt", "new\n"), ("somebodys.txt", "somebody's\n")] {
        assert_eq!(fs::read_to_string(repo.path().join(file)).unwrap(), text);
    }
    repo.assert_clean();
    repo.assert_no_traces();
}

/// A file that somebody changes when the branch has moved and the work tree has
/// not: the merge is taken back as a whole, and their file is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_changed_in_between_is_kept() {
    let scene = Scene::on_sqlite("20s").await;
    let git = scene.path("held-git");
    held_at(&scene.gate, &git, "refs/heads/main", Hold::After);
    let instance = scene.instance("only", &["--git", git.to_str().unwrap()]).await;
    let repo = scene.repo("project");
    let plans = instance.plans();
    plans.register(&repo).await;
    let script = "echo new > new.txt; echo changed > README";
    let id = plans.plan_of(Template::new("test/write").step(sh("write", script)), &repo).await;
    plans.execute_whole(&id).await;
    let base = repo.head();
    arm(&scene.gate, "move");
    plans.apply(&id).await.unwrap();
    scene.gate.reached("move").await;
    assert_ne!(repo.head(), base, "the branch has moved");
    let readme = repo.path().join("README");
    fs::write(&readme, "somebody's\n").unwrap();
    scene.gate.open("move");
    let plan = plans.until(&id, (PlanPhase::Apply, PlanState::Errored)).await;
    assert_eq!(plan.problem.unwrap().reason, "UNCOMMITTED_CHANGES");
    assert_eq!(repo.head(), base);
    assert_eq!(repo.git(&["status", "--porcelain"]), " M README");
    assert_eq!(fs::read_to_string(&readme).unwrap(), "somebody's\n");
    repo.git(&["checkout", "--quiet", "--", "README"]);
    plans.retry_when_free(&id).await;
    plans.until(&id, (PlanPhase::Apply, PlanState::Applied)).await;
    assert_eq!((repo.merges_of(&id), repo.merges()), (1, 1));
    assert_eq!(fs::read_to_string(&readme).unwrap(), "changed\n");
    repo.assert_clean();
    repo.assert_no_traces();
}
