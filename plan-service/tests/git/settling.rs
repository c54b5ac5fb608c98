//! Putting a worktree back, whatever a step did to it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use plan_service::git::Start;

use crate::support::{Project, git, make_repository, try_git, write};

/// The worktree is as it was made, for us and for the git of a step.
fn is_settled(path: &Path, head: &str) {
    assert_eq!(git(path, &["status", "--porcelain", "--untracked-files=all"]), "");
    assert_eq!(git(path, &["diff-index", "--cached", "HEAD"]), "");
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(fs::read_to_string(path.join("src/a")).unwrap(), "a\n");
    assert_eq!(git(path, &["rev-parse", "--symbolic-full-name", "HEAD"]).trim(), head);
    // Nothing of a step's own is under way.
    let status = git(path, &["status"]);
    assert!(!status.contains("progress") && !status.contains("You are"), "{status}");
}

/// Settles after what a step did.
async fn after(step: impl FnOnce(&Project, &Path)) {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    step(&project, worktree.path());
    worktree.settle(&start, &project.first).await.unwrap();
    is_settled(worktree.path(), "refs/heads/plan/x");
    let tree = project.repo.tree_of(&project.first).await.unwrap();
    assert_eq!(worktree.snapshot().await.unwrap(), tree);
    worktree.remove().await.unwrap();
}

#[tokio::test]
async fn files() {
    after(|_, path| {
        write(&path.join("file"), "changed\n");
        fs::remove_file(path.join("src/a")).unwrap();
        write(&path.join("new/one"), "new\n");
        fs::create_dir_all(path.join("empty/folder")).unwrap();
        git(path, &["init", "--quiet", "nested"]);
        write(&path.join("nested/file"), "new\n");
    })
    .await;
}

#[tokio::test]
async fn files_and_folders_in_each_others_place() {
    after(|_, path| {
        fs::remove_dir_all(path.join("src")).unwrap();
        write(&path.join("src"), "now a file\n");
        fs::remove_file(path.join("file")).unwrap();
        write(&path.join("file/in"), "now a folder\n");
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_a_link_now() {
    after(|project, path| {
        // Their inodes and times are those that git has seen.
        let elsewhere = project.beside("elsewhere");
        fs::rename(path.join("src"), &elsewhere).unwrap();
        symlink(&elsewhere, path.join("src")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_the_link_leads_to_stays() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let elsewhere = project.beside("elsewhere");
    write(&elsewhere.join("a"), "elsewhere\n");
    write(&elsewhere.join("other"), "elsewhere\n");
    fs::remove_dir_all(worktree.path().join("src")).unwrap();
    symlink(&elsewhere, worktree.path().join("src")).unwrap();
    worktree.settle(&start, &project.first).await.unwrap();
    is_settled(worktree.path(), "refs/heads/plan/x");
    assert_eq!(fs::read_to_string(elsewhere.join("a")).unwrap(), "elsewhere\n");
    assert_eq!(fs::read_to_string(elsewhere.join("other")).unwrap(), "elsewhere\n");
}

#[tokio::test]
async fn another_branch() {
    after(|_, path| {
        git(path, &["checkout", "--quiet", "-b", "other"]);
        write(&path.join("file"), "changed\n");
        git(path, &["commit", "--quiet", "--all", "-m", "by itself"]);
    })
    .await;
}

#[tokio::test]
async fn a_detached_head() {
    after(|_, path| drop(git(path, &["checkout", "--quiet", "--detach"]))).await;
}

#[tokio::test]
async fn no_git_file() {
    after(|_, path| fs::remove_file(path.join(".git")).unwrap()).await;
}

#[tokio::test]
async fn another_git_file() {
    after(|project, path| {
        fs::write(path.join(".git"), format!("gitdir: {}/.git\n", project.root().display()))
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_repository_in_its_place() {
    after(|_, path| {
        fs::remove_file(path.join(".git")).unwrap();
        make_repository(path, &[]);
        write(&path.join("more"), "more\n");
        git(path, &["add", "more"]);
    })
    .await;
}

#[tokio::test]
async fn a_link_in_its_place() {
    after(|project, path| {
        fs::remove_file(path.join(".git")).unwrap();
        symlink(project.root().join(".git"), path.join(".git")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_broken_index() {
    after(|project, path| {
        let git_dir = project.root().join(".git/worktrees/work");
        write(&git_dir.join("index"), "broken");
        write(&git_dir.join("index.lock"), "");
        write(&git_dir.join("plan-service-index"), "broken");
        write(&git_dir.join("plan-service-index.lock"), "");
        write(&git_dir.join("HEAD.lock"), "");
        write(&path.join("file"), "changed\n");
    })
    .await;
}

#[tokio::test]
async fn no_files_of_git_at_all() {
    after(|project, path| {
        fs::remove_dir_all(project.root().join(".git/worktrees/work")).unwrap();
        fs::remove_file(path.join(".git")).unwrap();
        write(&path.join("file"), "changed\n");
    })
    .await;
}

#[tokio::test]
async fn an_index_that_hides_changes() {
    after(|_, path| {
        git(path, &["update-index", "--skip-worktree", "file"]);
        git(path, &["update-index", "--assume-unchanged", "src/a"]);
        write(&path.join("file"), "changed\n");
        write(&path.join("src/a"), "changed\n");
    })
    .await;
}

#[tokio::test]
async fn a_merge_in_the_middle() {
    after(|project, path| {
        let other = project.aside(&project.first, |root| write(&root.join("file"), "other\n"));
        write(&path.join("file"), "changed\n");
        git(path, &["commit", "--quiet", "--all", "-m", "mine"]);
        assert!(!try_git(path, &["merge", other.as_str()]).status.success());
        git(path, &["update-ref", "refs/heads/plan/x", project.first.as_str()]);
    })
    .await;
}

#[tokio::test]
async fn a_rebase_in_the_middle() {
    after(|project, path| {
        let other = project.aside(&project.first, |root| write(&root.join("file"), "other\n"));
        write(&path.join("file"), "changed\n");
        git(path, &["commit", "--quiet", "--all", "-m", "mine"]);
        assert!(!try_git(path, &["rebase", other.as_str()]).status.success());
        git(path, &["update-ref", "refs/heads/plan/x", project.first.as_str()]);
    })
    .await;
}

#[tokio::test]
async fn folders_that_are_read_only() {
    after(|_, path| {
        write(&path.join("file"), "changed\n");
        write(&path.join("new/one"), "new\n");
        fs::remove_file(path.join("src/a")).unwrap();
        for folder in ["new", "src"] {
            fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o555)).unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn ignored_files_stay_by_the_rules_of_the_commit() {
    let mut project = Project::new().await;
    project.write(".gitignore", "/target/\n*.log\n");
    project.first = project.commit("ignoring");
    let (worktree, start) = project.worktree().await;
    let path = worktree.path();
    write(&path.join("target/built"), "built\n");
    write(&path.join("a.log"), "log\n");
    write(&path.join("b.tmp"), "tmp\n");
    // By the step's own rules it would be the other way round.
    write(&path.join(".gitignore"), "*.tmp\n");
    worktree.settle(&start, &project.first).await.unwrap();
    is_settled(path, "refs/heads/plan/x");
    assert!(path.join("target/built").exists());
    assert!(path.join("a.log").exists());
    assert!(!path.join("b.tmp").exists());
}

#[tokio::test]
async fn on_another_commit() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let path = worktree.path();
    write(&path.join("new"), "new\n");
    fs::remove_file(path.join("src/b")).unwrap();
    let tree = worktree.snapshot().await.unwrap();
    let next = project.repo.commit_tree(&tree, &[&project.first], "next").await.unwrap();
    project.git(&["update-ref", "refs/heads/plan/x", next.as_str()]);
    let before = fs::metadata(path.join("new")).unwrap().modified().unwrap();
    worktree.settle(&start, &next).await.unwrap();
    is_settled(path, "refs/heads/plan/x");
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "new\n");
    let after = fs::metadata(path.join("new")).unwrap().modified().unwrap();
    assert_eq!(after, before, "what fits is not written again");
    worktree.settle(&Start::Detached(project.first.clone()), &project.first).await.unwrap();
    is_settled(path, "HEAD");
    assert!(!path.join("new").exists());
    assert_eq!(git(path, &["rev-parse", "HEAD"]).trim(), project.first.as_str());
    assert_eq!(project.oid("refs/heads/plan/x"), next, "the branch is not settled's to move");
}

#[tokio::test]
async fn a_start_that_is_none() {
    let project = Project::new().await;
    let (worktree, _) = project.worktree().await;
    let start = Start::Branch("a branch".to_owned());
    assert!(worktree.settle(&start, &project.first).await.is_err());
    let start = Start::Detached(project.repo.tree_of(&project.first).await.unwrap());
    let Start::Detached(tree) = &start else { unreachable!() };
    assert!(worktree.settle(&start, tree).await.is_err(), "a tree is no commit");
}
