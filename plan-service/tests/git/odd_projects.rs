//! Repositories that are made in unusual ways, and folders with unusual names.

use std::{fs, path::Path};

use plan_service::{
    domain::{Oid, PlanId},
    git::{From, Git, Merged, Moved, RefMove, Repo, Start},
};

use crate::support::{Project, fence, git, make_repository, os, run, try_git, write};

/// Makes a change in a worktree, commits it on a branch, and merges it.
async fn whole_way(repo: &Repo, work: &Path) {
    let head = repo.head().await.unwrap();
    let plan = fence(PlanId::new(), 7);
    let worktree = repo.add_worktree(work, &Start::Detached(head.commit.clone())).await.unwrap();
    write(&worktree.path().join("new"), "new\n");
    let tree = worktree.snapshot().await.unwrap();
    let commit = repo.commit_tree(&tree, &[&head.commit], "step").await.unwrap();
    worktree.settle(&Start::Detached(commit.clone()), &commit).await.unwrap();
    worktree.remove().await.unwrap();
    assert!(!work.exists());
    let merged = repo.merge_trees(&head.commit, &commit).await.unwrap();
    assert_eq!(merged, Merged::Clean { tree: tree.clone() });
    assert_eq!(repo.touched_uncommitted(&head.commit, &commit).await.unwrap(), []);
    let _ = repo.raise_fence(plan).await.unwrap();
    if let Some(name) = head.branch {
        let from = From::Exactly(head.commit.clone());
        let moves = [RefMove { name, from, to: Some(commit.clone()) }];
        assert_eq!(repo.move_refs(plan, &moves).await.unwrap(), Moved::Moved);
        let output = run(&repo.sync_work_tree(&head.commit, &commit));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read_to_string(repo.root().join("new")).unwrap(), "new\n");
        assert_eq!(git(repo.root(), &["status", "--porcelain"]), "");
    }
    repo.drop_fence(plan).await.unwrap();
    assert_eq!(git(repo.root(), &["for-each-ref", "refs/plan-service"]), "");
}

#[tokio::test]
async fn names_of_folders() {
    for name in [
        b"a b".as_slice(),
        b"-rf",
        b"it's \"quoted\" $(here) `there`",
        b"caf\xc3\xa9",
        b"\xff\xfe",
        b"line\nbreak",
        b"back\\slash",
        b"*?[a]",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(os(name));
        make_repository(&root, &[]);
        let repo = Git::new("git").open(&root).await.unwrap();
        whole_way(&repo, &folder.path().join("work").join(os(name))).await;
    }
}

#[tokio::test]
async fn with_sha256() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    make_repository(&root, &["--object-format=sha256"]);
    let repo = Git::new("git").open(&root).await.unwrap();
    assert_eq!(repo.head().await.unwrap().commit.as_str().len(), 64);
    whole_way(&repo, &folder.path().join("work")).await;
}

#[tokio::test]
async fn with_refs_in_tables() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    fs::create_dir(&root).unwrap();
    if !try_git(&root, &["init", "--ref-format=reftable"]).status.success() {
        eprintln!("skipped: this git has no reftable");
        return;
    }
    make_repository(&root, &["--ref-format=reftable"]);
    let repo = Git::new("git").open(&root).await.unwrap();
    whole_way(&repo, &folder.path().join("work")).await;
}

#[tokio::test]
async fn with_its_repository_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (folder.path().join("project"), folder.path().join("elsewhere"));
    make_repository(&root, &["--separate-git-dir", elsewhere.to_str().unwrap()]);
    let repo = Git::new("git").open(&root).await.unwrap();
    whole_way(&repo, &folder.path().join("work")).await;
}

#[tokio::test]
async fn a_linked_worktree() {
    let project = Project::new().await;
    let root = project.beside("linked");
    project.git(&["worktree", "add", "--quiet", "-b", "other", root.to_str().unwrap()]);
    let repo = Git::new("git").open(&root).await.unwrap();
    assert_eq!(repo.head().await.unwrap().branch.as_deref(), Some("refs/heads/other"));
    whole_way(&repo, &project.beside("work")).await;
    assert_eq!(project.oid("main"), project.first, "the main work tree's branch");
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn with_a_detached_head() {
    let project = Project::new().await;
    project.git(&["checkout", "--quiet", "--detach"]);
    let head = project.repo.head().await.unwrap();
    assert_eq!((head.branch, &head.commit), (None, &project.first));
    whole_way(&project.repo, &project.beside("work")).await;
}

#[tokio::test]
async fn a_sparse_one() {
    let project = Project::new().await;
    project.write("docs/a", "a\n");
    let commit = project.commit("docs");
    project.git(&["sparse-checkout", "set", "docs"]);
    assert!(!project.root().join("src").exists());
    let start = Start::Detached(commit.clone());
    let worktree = project.repo.add_worktree(&project.beside("work"), &start).await.unwrap();
    assert!(worktree.path().join("src/a").exists(), "steps have all files");
    assert_eq!(worktree.snapshot().await.unwrap(), project.repo.tree_of(&commit).await.unwrap());
    worktree.remove().await.unwrap();
    let next = project.aside(&commit, |root| write(&root.join("docs/b"), "b\n"));
    let output = run(&project.repo.sync_work_tree(&commit, &next));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(project.read("docs/b"), "b\n");
    assert!(!project.root().join("src").exists(), "it stays sparse");
}

#[tokio::test]
async fn with_a_submodule() {
    let library = Project::new().await;
    let project = Project::new().await;
    let url = library.root().to_str().unwrap();
    project.git(&["submodule", "--quiet", "add", url, "lib"]);
    let commit = project.commit("with a library");
    let start = Start::Detached(commit.clone());
    let worktree = project.repo.add_worktree(&project.beside("work"), &start).await.unwrap();
    assert_eq!(worktree.snapshot().await.unwrap(), project.repo.tree_of(&commit).await.unwrap());
    // What is going on inside of it is not the project's.
    project.write("lib/file", "changed");
    let next = project.aside(&commit, |root| write(&root.join("file"), "next\n"));
    assert_eq!(project.repo.touched_uncommitted(&commit, &next).await.unwrap(), []);
    let output = run(&project.repo.sync_work_tree(&commit, &next));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(project.read("lib/file"), "changed");
}

#[tokio::test]
async fn with_odd_settings_of_its_own() {
    let project = Project::new().await;
    let hook = project.root().join(".git/hooks/post-checkout");
    for (key, value) in [
        ("commit.gpgSign", "true"),
        ("gpg.program", "/nowhere/gpg"),
        ("core.fsmonitor", "/nowhere/monitor"),
        ("diff.external", "/nowhere/diff"),
        ("diff.noprefix", "true"),
        ("diff.renames", "false"),
        ("diff.relative", "true"),
        ("diff.autoRefreshIndex", "false"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("core.splitIndex", "true"),
        ("core.untrackedCache", "true"),
        ("status.showUntrackedFiles", "no"),
        ("submodule.recurse", "true"),
        ("worktree.useRelativePaths", "true"),
        ("i18n.commitEncoding", "ISO-8859-1"),
    ] {
        project.git(&["config", key, value]);
    }
    write(&hook, "#!/bin/sh\nexit 1\n");
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    whole_way(&project.repo, &project.beside("work")).await;
}

#[tokio::test]
async fn one_that_disappears() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let away = project.beside("away");
    fs::rename(project.root(), &away).unwrap();
    let repo = &project.repo;
    let oid: &Oid = &project.first;
    for error in [
        repo.head().await.unwrap_err(),
        repo.changes(oid, oid).await.unwrap_err(),
        repo.raise_fence(fence(PlanId::new(), 1)).await.unwrap_err(),
        repo.add_worktree(&project.beside("other"), &start).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("this folder does not exist any more"), "{error}");
    }
    for error in
        [worktree.snapshot().await.unwrap_err(), worktree.settle(&start, oid).await.unwrap_err()]
    {
        assert!(error.to_string().contains("repository"), "{error}");
        assert!(error.to_string().contains("has disappeared"), "{error}");
    }
    assert!(!project.root().exists(), "nothing has made it anew");
    worktree.remove().await.unwrap();
    assert!(!project.beside("work").exists());
}

#[tokio::test]
async fn one_whose_repository_disappears() {
    let project = Project::new().await;
    // git must not find the repository above.
    make_repository(project.folder.path(), &[]);
    fs::remove_dir_all(project.root().join(".git")).unwrap();
    let error = project.repo.head().await.unwrap_err().to_string();
    assert!(error.contains("not a git repository"), "{error}");
}
