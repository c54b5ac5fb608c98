//! Worktrees: made, taken away, forgotten, many at once.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use futures::future::join_all;
use plan_service::{
    domain::Oid,
    git::{Git, Start, remove_folder},
};

use crate::support::{Project, git, write};

fn registered(project: &Project) -> usize {
    project.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count() - 1
}

#[tokio::test]
async fn on_a_branch_or_on_none() {
    let project = Project::new().await;
    let (worktree, _) = project.worktree().await;
    let path = worktree.path().to_owned();
    assert_eq!(git(&path, &["symbolic-ref", "HEAD"]), "refs/heads/plan/x\n");
    assert_eq!(git(&path, &["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(path.join("src/a")).unwrap(), "a\n");
    let next = project.aside(&project.first, |root| write(&root.join("new"), "new\n"));
    let start = Start::Detached(next.clone());
    let other = project.repo.add_worktree(&project.beside("other"), &start).await.unwrap();
    assert_eq!(git(other.path(), &["rev-parse", "HEAD"]).trim(), next.as_str());
    assert_eq!(git(other.path(), &["branch", "--show-current"]), "");
    assert_eq!(fs::read_to_string(other.path().join("new")).unwrap(), "new\n");
    assert_eq!(registered(&project), 2);
    worktree.remove().await.unwrap();
    other.remove().await.unwrap();
    assert_eq!(registered(&project), 0);
    assert!(!path.exists());
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_branch_that_is_checked_out_elsewhere() {
    let project = Project::new().await;
    let (dead, start) = project.worktree().await;
    let other = project.repo.add_worktree(&project.beside("other"), &start).await.unwrap();
    assert_eq!(git(other.path(), &["symbolic-ref", "HEAD"]), "refs/heads/plan/x\n");
    let main = Start::Branch("refs/heads/main".to_owned());
    let third = project.repo.add_worktree(&project.beside("third"), &main).await.unwrap();
    assert_eq!(git(third.path(), &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    drop(dead);
}

#[tokio::test]
async fn what_cannot_be_made() {
    let project = Project::new().await;
    let add = |name: &str, at: Start| {
        let (repo, path) = (project.repo.clone(), project.beside(name));
        async move { repo.add_worktree(&path, &at).await.unwrap_err().to_string() }
    };
    let error = add("work", Start::Branch("refs/heads/none".to_owned())).await;
    assert!(error.contains("there is no refs/heads/none"), "{error}");
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    let error = add("work", Start::Detached(missing.clone())).await;
    assert!(error.contains(missing.as_str()), "{error}");
    assert!(!project.beside("work").exists());
    let here = Start::Detached(project.first.clone());
    write(&project.beside("full/file"), "");
    let error = add("full", here.clone()).await;
    assert!(error.contains("not empty"), "{error}");
    let error = add("full/file/below", here).await;
    assert!(error.contains("full/file/below"), "{error}");
    assert_eq!(registered(&project), 0);
}

#[tokio::test]
async fn taken_away_whatever_is_in_it() {
    let project = Project::new().await;
    let (worktree, _) = project.worktree().await;
    let path = worktree.path();
    let outside = project.beside("outside");
    write(&outside.join("file"), "stays\n");
    write(&path.join("locked/in/here"), "");
    std::os::unix::fs::symlink(&outside, path.join("locked/link")).unwrap();
    for folder in ["locked/in", "locked"] {
        fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o500)).unwrap();
    }
    fs::set_permissions(path.join("src"), fs::Permissions::from_mode(0o000)).unwrap();
    git(path, &["init", "--quiet", "nested"]);
    fs::remove_file(path.join(".git")).unwrap();
    worktree.remove().await.unwrap();
    assert!(!project.beside("work").exists());
    assert_eq!(registered(&project), 0);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "stays\n");
}

#[tokio::test]
async fn taken_away_when_it_is_gone_already() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    fs::remove_dir_all(worktree.path()).unwrap();
    worktree.remove().await.unwrap();
    assert_eq!(registered(&project), 0);
    // By git, with all that it knows of it.
    let path = project.beside("work");
    let worktree = project.repo.add_worktree(&path, &start).await.unwrap();
    git(&path, &["worktree", "remove", "--force", "--force", "."]);
    worktree.remove().await.unwrap();
    // A link in its place leads somewhere else.
    let worktree = project.repo.add_worktree(&path, &start).await.unwrap();
    write(&project.beside("outside/file"), "stays\n");
    fs::remove_dir_all(&path).unwrap();
    std::os::unix::fs::symlink(project.beside("outside"), &path).unwrap();
    worktree.remove().await.unwrap();
    assert!(fs::symlink_metadata(&path).is_err());
    assert!(project.beside("outside/file").exists());
    assert_eq!(registered(&project), 0);
}

#[tokio::test]
async fn the_dead_are_forgotten_and_others_left_alone() {
    let project = Project::new().await;
    let (dead, start) = project.worktree().await;
    let living = project.repo.add_worktree(&project.beside("living"), &start).await.unwrap();
    let persons = project.beside("a person's");
    project.git(&["worktree", "add", "--quiet", "--detach", persons.to_str().unwrap()]);
    // A step has deleted the file by which git would find it alive.
    fs::remove_file(living.path().join(".git")).unwrap();
    fs::remove_dir_all(&persons).unwrap();
    remove_folder(dead.path()).await.unwrap();
    drop(dead);
    project.repo.prune_worktrees().await.unwrap();
    let list = project.git(&["worktree", "list", "--porcelain"]);
    assert!(list.contains("/living\n") && list.contains("/a person's\n"), "{list}");
    assert_eq!(registered(&project), 2, "{list}");
    // Neither does a person's command take it away.
    project.git(&["worktree", "prune"]);
    assert_eq!(registered(&project), 1);
    assert_eq!(
        living.snapshot().await.unwrap(),
        project.repo.tree_of(&project.first).await.unwrap()
    );
}

#[tokio::test]
async fn those_of_one_folder_are_forgotten() {
    let project = Project::new().await;
    let here = Start::Detached(project.first.clone());
    for name in ["run/one", "run/other", "runner/third", "run/living"] {
        drop(project.repo.add_worktree(&project.beside(name), &here).await.unwrap());
    }
    for name in ["run/one", "run/other", "runner/third"] {
        remove_folder(&project.beside(name)).await.unwrap();
    }
    project.repo.forget_worktrees_in(&project.beside("run")).await.unwrap();
    let list = project.git(&["worktree", "list", "--porcelain"]);
    assert!(list.contains("/runner/third\n") && list.contains("/run/living\n"), "{list}");
    assert_eq!(registered(&project), 2, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_from_five_processes() {
    let project = Project::new().await;
    // Each with a list of its own of who works with which repository.
    let gits = (0..5).map(|_| Git::new("git")).collect::<Vec<_>>();
    let tasks = (0..50).map(|number| {
        let (git, root) = (gits[number % 5].clone(), project.root().to_owned());
        let (path, commit) =
            (project.beside(&format!("{}/{number}", number % 5)), project.first.clone());
        tokio::spawn(one_of_many(git, root, path, commit))
    });
    for result in join_all(tasks).await {
        result.unwrap();
    }
    assert_eq!(registered(&project), 0);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

async fn one_of_many(git: Git, root: impl AsRef<Path>, path: impl AsRef<Path>, commit: Oid) {
    let repo = git.open(root.as_ref()).await.unwrap();
    let path = path.as_ref();
    let start = Start::Detached(commit.clone());
    let worktree = repo.add_worktree(path, &start).await.unwrap();
    write(&path.join("mine"), &path.display().to_string());
    repo.prune_worktrees().await.unwrap();
    let tree = worktree.snapshot().await.unwrap();
    let next = repo.commit_tree(&tree, &[&commit], "mine").await.unwrap();
    worktree.settle(&Start::Detached(next.clone()), &next).await.unwrap();
    assert_eq!(repo.changes(&commit, &next).await.unwrap().len(), 1);
    worktree.remove().await.unwrap();
}
