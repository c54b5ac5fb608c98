//! What a step has left in its worktree.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
};

use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::support::{Project, git, os, write};

#[tokio::test]
async fn everything_that_is_not_ignored() {
    let mut project = Project::new().await;
    project.write(".gitignore", "*.log\ntarget/\n");
    project.write("known.log", "known though ignored\n");
    project.git(&["add", "--force", "known.log"]);
    project.first = project.commit("ignoring");
    let (worktree, _) = project.worktree().await;
    let path = worktree.path();
    assert_eq!(
        worktree.snapshot().await.unwrap(),
        project.repo.tree_of(&project.first).await.unwrap()
    );
    write(&path.join("known.log"), "changed\n");
    write(&path.join("a.log"), "ignored\n");
    write(&path.join("target/b"), "ignored\n");
    write(&path.join("new/ä"), "new\n");
    fs::write(path.join(os(b"\xff")), "new\n").unwrap();
    fs::write(path.join("-n"), "new\n").unwrap();
    symlink("/etc", path.join("link")).unwrap();
    fs::remove_file(path.join("src/a")).unwrap();
    fs::create_dir(path.join("empty folder")).unwrap();
    let tree = worktree.snapshot().await.unwrap();
    project.git(&["config", "core.quotePath", "true"]);
    assert_eq!(
        project.names(&tree),
        ["-n", ".gitignore", "file", "known.log", "link", "new/\\303\\244", "src/b", "\\377"]
            .map(|name| if name.contains('\\') { format!("\"{name}\"") } else { name.to_owned() })
    );
    assert_eq!(project.git(&["show", &format!("{tree}:known.log")]), "changed\n");
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "again");
}

#[tokio::test]
async fn what_a_step_did_with_git_does_not_matter() {
    let project = Project::new().await;
    let (worktree, _) = project.worktree().await;
    let path = worktree.path();
    write(&path.join("new"), "new\n");
    let tree = worktree.snapshot().await.unwrap();
    git(path, &["rm", "--quiet", "--cached", "file"]);
    git(path, &["update-index", "--assume-unchanged", "src/a"]);
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "the index");
    git(path, &["checkout", "--quiet", "-b", "other"]);
    git(path, &["add", "--all"]);
    git(path, &["commit", "--quiet", "-m", "by itself"]);
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "a commit");
    fs::remove_file(path.join(".git")).unwrap();
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "no .git file");
    fs::remove_file(path.join(".git")).unwrap();
    git(path, &["init", "--quiet"]);
    git(path, &["commit", "--quiet", "--allow-empty", "-m", "anew"]);
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "a repository of its own");
    let git_dir = path.parent().unwrap().join("project/.git/worktrees/work");
    for name in ["HEAD", "index", "gitdir", "commondir", "locked"] {
        write(&git_dir.join(name), "broken");
    }
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "broken files");
    fs::remove_dir_all(git_dir).unwrap();
    assert_eq!(worktree.snapshot().await.unwrap(), tree, "no files");
}

#[tokio::test]
async fn modes_and_kinds() {
    let project = Project::new().await;
    let (worktree, _) = project.worktree().await;
    let path = worktree.path();
    fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(path.join("src/a")).unwrap();
    write(&path.join("src/a/now"), "a folder\n");
    // What git does not keep is not there for it.
    mkfifo(&path.join("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(path.join("socket")).unwrap();
    let tree = worktree.snapshot().await.unwrap();
    assert_eq!(project.names(&tree), ["file", "src/a/now", "src/b"]);
    assert!(project.git(&["ls-tree", tree.as_str(), "file"]).starts_with("100755"));
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let file = worktree.path().join("file");
    fs::remove_file(&file).unwrap();
    mkfifo(&file, Mode::S_IRWXU).unwrap();
    let error = worktree.snapshot().await.unwrap_err().to_string();
    assert!(error.contains("file: can only add regular files"), "{error}");
    worktree.settle(&start, &project.first).await.unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_repository_inside() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let path = worktree.path();
    git(path, &["init", "--quiet", "vendor/lib"]);
    write(&path.join("vendor/lib/file"), "file\n");
    let error = worktree.snapshot().await.unwrap_err().to_string();
    assert!(error.contains("vendor/lib"), "{error}");
    git(&path.join("vendor/lib"), &["add", "."]);
    git(&path.join("vendor/lib"), &["commit", "--quiet", "-m", "its own"]);
    let error = worktree.snapshot().await.unwrap_err().to_string();
    assert!(error.contains("\"vendor/lib\" is a git repository of its own"), "{error}");
    // Ignored ones are nobody's matter.
    write(&path.join(".gitignore"), "/vendor/\n");
    assert!(worktree.snapshot().await.is_err(), "it is in our index by now");
    worktree.settle(&start, &project.first).await.unwrap();
    assert!(!path.join("vendor").exists());
    git(path, &["init", "--quiet", "vendor/lib"]);
    write(&path.join(".gitignore"), "/vendor/\n");
    let tree = worktree.snapshot().await.unwrap();
    assert_eq!(project.names(&tree), [".gitignore", "file", "src/a", "src/b"]);
}

#[tokio::test]
async fn a_submodule_that_a_step_adds() {
    let library = Project::new().await;
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    let path = worktree.path();
    git(path, &["submodule", "--quiet", "add", library.root().to_str().unwrap(), "lib"]);
    let tree = worktree.snapshot().await.unwrap();
    assert!(project.git(&["ls-tree", tree.as_str(), "lib"]).starts_with("160000 commit"));
    let commit = project.repo.commit_tree(&tree, &[&project.first], "lib").await.unwrap();
    worktree.settle(&start, &commit).await.unwrap();
    assert!(path.join("lib/file").exists(), "it stays for the next step");
    assert_eq!(worktree.snapshot().await.unwrap(), tree);
}

#[tokio::test]
async fn filters_work_as_they_are_configured() {
    let mut project = Project::new().await;
    project.write(".gitattributes", "*.up filter=up\n");
    project.first = project.commit("filtered");
    project.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
    project.git(&["config", "filter.up.smudge", "tr A-Z a-z"]);
    let (worktree, start) = project.worktree().await;
    let path = worktree.path();
    write(&path.join("x.up"), "text\n");
    let tree = worktree.snapshot().await.unwrap();
    assert_eq!(project.git(&["show", &format!("{tree}:x.up")]), "TEXT\n");
    let commit = project.repo.commit_tree(&tree, &[&project.first], "x").await.unwrap();
    fs::remove_file(path.join("x.up")).unwrap();
    worktree.settle(&start, &commit).await.unwrap();
    assert_eq!(fs::read_to_string(path.join("x.up")).unwrap(), "text\n");
}

#[tokio::test]
async fn a_folder_that_is_gone() {
    let project = Project::new().await;
    let (worktree, start) = project.worktree().await;
    fs::remove_dir_all(worktree.path()).unwrap();
    for error in [
        worktree.snapshot().await.unwrap_err(),
        worktree.settle(&start, &project.first).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("there is no folder"), "{error}");
    }
    // A link in its place is not followed.
    std::os::unix::fs::symlink(project.root(), worktree.path()).unwrap();
    assert!(worktree.settle(&start, &project.first).await.is_err());
}
