//! What a run can leave in a project when it is broken off or cannot reach it,
//! and who takes that away.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use proto::plan::v1::{self as wire, PlanPhase, PlanState};

use super::support::{Gate, Instance, Repo, Scene, Template, sh};

const CANCELLED: (PlanPhase, PlanState) = (PlanPhase::Execute, PlanState::Cancelled);

async fn cancel(instance: &Instance, id: &str) -> wire::Plan {
    let request = wire::CancelPlanRequest { plan_id: id.to_owned(), ..Default::default() };
    instance.plans().raw().cancel_plan(request).await.unwrap().into_inner().plan.unwrap()
}

fn writes() -> Template {
    Template::new("test/write").step(sh("write", "echo new > new.txt"))
}

/// The branch of a plan that was cancelled while its project was away goes when
/// an instance starts, and nobody else's does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_whose_project_was_away() {
    let scene = Scene::on_sqlite("20s").await;
    let mut instance = scene.instance("one", &[]).await;
    let repo = scene.repo("project");
    instance.plans().register(&repo).await;
    let cancelled = instance.plans().plan_of(writes(), &repo).await;
    let living = instance.plans().make("test/write", &repo).await;
    instance.plans().execute_whole(&cancelled).await;
    instance.plans().execute_whole(&living).await;
    // A service on another database has a plan of this project, too.
    let other = Scene::on_sqlite("20s").await;
    let stranger = other.instance("stranger", &[]).await;
    stranger.plans().register(&repo).await;
    let strangers = stranger.plans().plan_of(writes(), &repo).await;
    stranger.plans().execute_whole(&strangers).await;

    let away = scene.path("away");
    fs::rename(repo.path(), &away).unwrap();
    assert_eq!(cancel(&instance, &cancelled).await.state(), PlanState::Cancelled);
    fs::rename(&away, repo.path()).unwrap();
    assert!(repo.refs().contains(&cancelled), "nobody could take it away");

    instance.kill();
    instance.start_again().await;
    let refs = repo.refs();
    assert!(!refs.contains(&cancelled), "{refs}");
    for id in [&living, &strangers] {
        assert_eq!(refs.matches(id.as_str()).count(), 2, "branch and fence of {id}: {refs}");
    }
    // Both go on as if nothing had been.
    instance.plans().apply_whole(&living).await;
    stranger.plans().apply_whole(&strangers).await;
    repo.assert_no_traces();
}

/// A program that is git, except that it stops at the gate `add` once it has
/// added a worktree.
fn slow_to_add(gate: &Gate, program: &Path) {
    let text = format!(
        "#!/bin/sh\ncase \" $* \" in *\" worktree add \"*) ;; *) exec git \"$@\" ;; esac\n\
         GATE='{}'\n. '{}'\ngit \"$@\"\ncode=$?\npass add\nexit \"$code\"\n",
        gate.path("").display(),
        gate.path("words.sh").display(),
    );
    fs::write(program, text).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A run that is ended while git makes its worktree leaves none that git knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worktree_whose_making_was_broken_off() {
    let scene = Scene::on_sqlite("20s").await;
    let git = scene.path("slow-git");
    slow_to_add(&scene.gate, &git);
    let instance = scene.instance("one", &["--git", git.to_str().unwrap()]).await;
    let repo = scene.repo("project");
    instance.plans().register(&repo).await;
    let id = instance.plans().plan_of(writes(), &repo).await;
    instance.plans().execute(&id).await.unwrap();
    scene.gate.reached("add").await;
    assert_eq!(worktrees(&repo), 2, "git has made it");
    cancel(&instance, &id).await;
    instance.plans().until(&id, CANCELLED).await;
    instance.plans().idle().await;
    repo.assert_no_traces();
    assert!(instance.worktrees().is_empty(), "{:?}", instance.worktrees());
}

fn worktrees(repo: &Repo) -> usize {
    repo.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count()
}
