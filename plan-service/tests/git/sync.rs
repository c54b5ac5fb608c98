//! Bringing a merge into the project's work tree, after its branch has moved.

use std::{fs, os::unix::fs::PermissionsExt as _};

use plan_service::domain::Oid;

use crate::support::{Project, run, shown, write};

/// Moves the branch only, as the merge does.
fn move_branch(project: &Project, to: &Oid) {
    project.git(&["update-ref", "refs/heads/main", to.as_str()]);
}

#[tokio::test]
async fn what_people_have_elsewhere_stays() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        write(&root.join("file"), "next\n");
        fs::set_permissions(root.join("file"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(root.join("src/a")).unwrap();
        write(&root.join("new folder/ä"), "new\n");
    });
    project.write("src/b", "changed\n");
    project.write("staged", "staged\n");
    project.git(&["add", "staged"]);
    project.write("untracked", "untracked\n");
    move_branch(&project, &to);
    let command = project.repo.sync_work_tree(&project.first, &to);
    for _again in 0..2 {
        let output = run(&command);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(project.git(&["status", "--porcelain"]), " M src/b\nA  staged\n?? untracked\n");
    }
    assert_eq!(project.read("file"), "next\n");
    assert_eq!(project.read("new folder/ä"), "new\n");
    assert_eq!(project.read("src/b"), "changed\n");
    assert!(!project.root().join("src/a").exists());
    let mode = fs::metadata(project.root().join("file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}

#[tokio::test]
async fn what_people_have_there_is_not_overwritten() {
    for path in ["file", "src/a", "new"] {
        let project = Project::new().await;
        let to = project.aside(&project.first, |root| {
            write(&root.join("file"), "next\n");
            fs::remove_file(root.join("src/a")).unwrap();
            write(&root.join("new"), "next\n");
            write(&root.join("src/b"), "next\n");
        });
        project.write(path, "mine\n");
        move_branch(&project, &to);
        let output = run(&project.repo.sync_work_tree(&project.first, &to));
        assert!(!output.status.success(), "{path}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(path), "{output:?}");
        assert_eq!(project.read(path), "mine\n");
        assert_eq!(project.read("src/b"), "b\n", "nothing else has changed");
    }
}

#[tokio::test]
async fn only_from_where_it_is() {
    let project = Project::new().await;
    let next = project.aside(&project.first, |root| write(&root.join("file"), "next\n"));
    let other = project.aside(&project.first, |root| write(&root.join("file"), "other\n"));
    assert!(run(&project.repo.sync_work_tree(&project.first, &next)).status.success());
    assert!(!run(&project.repo.sync_work_tree(&project.first, &other)).status.success());
    assert_eq!(project.read("file"), "next\n");
}

#[tokio::test]
async fn hooks_are_not_run_and_the_environment_is_told() {
    let project = Project::new().await;
    let command = project.repo.sync_work_tree(&project.first, &project.first);
    assert_eq!(command.cwd, project.root());
    let value = |name: &str| command.env[std::ffi::OsStr::new(name)].clone();
    assert_eq!(value("GIT_DIR"), project.root().join(".git"));
    assert_eq!(value("GIT_WORK_TREE"), project.root());
    assert_eq!(value("LC_ALL"), "C");
}

const MARK: &str = "plan-service brings the work tree up to date\n";

/// As a sync that was killed has left it: some files written, the index not,
/// and its lock there.
async fn half_done() -> (Project, Oid, Oid) {
    let project = Project::new().await;
    project.write("gone", "gone\n");
    project.write("going", "going\n");
    let from = project.commit("one more");
    let to = project.aside(&from, |root| {
        for name in ["file", "src/a", "src/b", "new", "newer", "newest"] {
            write(&root.join(name), "next, and a bit longer\n");
        }
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.join("new"), executable).unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        fs::remove_file(root.join("going")).unwrap();
    });
    move_branch(&project, &to);
    project.write("file", "next, and a bit longer\n");
    project.write("new", "next, and a bit longer\n");
    project.write("newer", "next, a");
    project.remove("gone");
    // One was removed, and not yet written.
    project.remove("src/a");
    project.write(".git/index.lock", MARK);
    project.write(".git/plan-service-index", "half");
    project.write(".git/plan-service-index.lock", "");
    (project, from, to)
}

/// Repairs, and gives what was kept.
async fn repair(project: &Project, from: &Oid, to: &Oid, until: &Oid) -> Vec<String> {
    let found = project.repo.look_for_repairs(from, to, until).await.unwrap();
    if !found.paths.is_empty() {
        let list = project.beside("paths");
        fs::write(&list, &found.paths).unwrap();
        let output = run(&project.repo.repair_work_tree(until, &list));
        assert!(output.status.success(), "{output:?}");
    }
    let left = fs::read_dir(project.root().join(".git")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left = left.filter(|name| name.contains("plan-service") || name.contains(".lock"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    shown(&found.kept)
}

#[tokio::test]
async fn one_that_was_killed_is_finished() {
    let (project, from, to) = half_done().await;
    for _again in 0..2 {
        assert_eq!(repair(&project, &from, &to, &to).await, [""; 0]);
        assert_eq!(project.git(&["status", "--porcelain"]), "");
    }
    assert_eq!(project.oid("HEAD"), to);
    assert_eq!(project.read("newer"), "next, and a bit longer\n");
}

#[tokio::test]
async fn one_that_was_killed_is_taken_back() {
    let (project, from, to) = half_done().await;
    move_branch(&project, &from);
    for _again in 0..2 {
        assert_eq!(repair(&project, &from, &to, &from).await, [""; 0]);
        assert_eq!(project.git(&["status", "--porcelain"]), "");
    }
    assert_eq!(project.read("file"), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn files_and_folders_that_change_places_are_finished() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        fs::remove_dir_all(root.join("src")).unwrap();
        write(&root.join("src"), "now a file\n");
        fs::remove_file(root.join("file")).unwrap();
        write(&root.join("file/a\tb\nc"), "now a folder\n");
    });
    move_branch(&project, &to);
    project.remove("src/a");
    project.remove("file");
    assert_eq!(repair(&project, &project.first, &to, &to).await, [""; 0]);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    assert_eq!(project.read("src"), "now a file\n");
    assert_eq!(project.read("file/a\tb\nc"), "now a folder\n");
    // And back again.
    move_branch(&project, &project.first);
    project.git(&["read-tree", project.first.as_str()]);
    assert_eq!(repair(&project, &project.first, &to, &project.first).await, [""; 0]);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    assert_eq!(project.read("src/a"), "a\n");
    assert_eq!(project.read("file"), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn what_is_somebodys_is_kept_where_files_and_folders_change_places() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        fs::remove_dir_all(root.join("src")).unwrap();
        write(&root.join("src"), "now a file\n");
        fs::remove_file(root.join("file")).unwrap();
        write(&root.join("file/in"), "now a folder\n");
        write(&root.join("mine/in"), "new\n");
        write(&root.join("link/in"), "new\n");
    });
    move_branch(&project, &to);
    project.write("src/mine", "mine\n");
    project.write("file", "mine\n");
    project.write("mine", "mine\n");
    let elsewhere = project.beside("elsewhere");
    write(&elsewhere.join("in"), "new\n");
    std::os::unix::fs::symlink(&elsewhere, project.root().join("link")).unwrap();
    let kept = repair(&project, &project.first, &to, &to).await;
    assert_eq!(kept, ["file", "file/in", "link/in", "mine/in", "src"]);
    assert_eq!(project.read("src/mine"), "mine\n");
    assert_eq!(project.read("file"), "mine\n");
    assert_eq!(project.read("mine"), "mine\n");
    assert!(elsewhere.join("in").exists());
}

#[tokio::test]
async fn what_is_somebodys_is_kept() {
    let (project, from, to) = half_done().await;
    project.write("src/b", "mine\n");
    project.write("newest", "mine\n");
    project.write("other", "mine\n");
    assert_eq!(repair(&project, &from, &to, &to).await, ["newest", "src/b"]);
    assert_eq!(project.read("src/b"), "mine\n");
    assert_eq!(project.read("newest"), "mine\n");
    assert_eq!(project.read("other"), "mine\n");
    assert_eq!(project.read("file"), "next, and a bit longer\n");
}

#[tokio::test]
async fn after_one_that_came_to_its_end_there_is_nothing_to_repair() {
    let (project, from, to) = half_done().await;
    assert_eq!(repair(&project, &from, &to, &to).await, [""; 0]);
    project.write("other", "mine\n");
    project.git(&["add", "other"]);
    assert_eq!(repair(&project, &from, &to, &to).await, [""; 0]);
    assert_eq!(project.git(&["status", "--porcelain"]), "A  other\n");
}

#[tokio::test]
async fn the_lock_of_another_git_is_respected() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| write(&root.join("file"), "next\n"));
    project.write(".git/index.lock", "DIRC");
    let output = run(&project.repo.sync_work_tree(&project.first, &to));
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("index.lock; if none runs, one was killed"), "{said}");
    assert_eq!(project.read(".git/index.lock"), "DIRC");
    assert_eq!(project.read("file"), "one\ntwo\nthree\n");
}
