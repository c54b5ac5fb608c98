//! What people have not committed, where a merge would write.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, SystemTime},
};

use plan_service::domain::Oid;

use crate::support::{Project, run, shown, try_git, write};

/// A commit that changes `file`, deletes `src/a`, adds `new` and `deep/er/new`.
fn merge_of(project: &Project) -> Oid {
    project.aside(&project.first, |root| {
        write(&root.join("file"), "next\n");
        fs::remove_file(root.join("src/a")).unwrap();
        write(&root.join("new"), "new\n");
        write(&root.join("deep/er/new"), "new\n");
    })
}

/// What is named; and whether git refuses to go there, which must be the same.
async fn touched(project: &Project, to: &Oid) -> Vec<String> {
    let before = status(project);
    let found = project.repo.touched_uncommitted(&project.first, to).await.unwrap();
    let output = run(&project.repo.sync_work_tree(&project.first, to));
    assert_eq!(output.status.success(), found.is_empty(), "{found:?} {output:?}");
    if !found.is_empty() {
        assert_eq!(status(project), before, "nothing has changed");
    }
    shown(&found)
}

fn status(project: &Project) -> String {
    project.git(&["status", "--porcelain", "--untracked-files=all"])
}

#[tokio::test]
async fn nothing_or_something_else() {
    let project = Project::new().await;
    project.write(".git/info/exclude", "*.log\n");
    let to = merge_of(&project);
    project.write("src/b", "changed\n");
    project.write("staged", "staged\n");
    project.git(&["add", "staged"]);
    project.write("untracked", "untracked\n");
    project.write("newer", "its name only begins like another\n");
    project.write("deep/er.log", "ignored\n");
    project.write("deep/er/other.log", "ignored\n");
    assert_eq!(touched(&project, &to).await, [""; 0]);
    assert_eq!(project.repo.touched_uncommitted(&to, &to).await.unwrap(), []);
}

#[tokio::test]
async fn changed() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("file", "changed\n");
    project.write("src/a", "changed\n");
    assert_eq!(touched(&project, &to).await, ["file", "src/a"]);
}

#[tokio::test]
async fn changed_and_staged() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("file", "changed\n");
    project.git(&["add", "file"]);
    assert_eq!(touched(&project, &to).await, ["file"]);
    // Staged, and put back on the disk.
    project.write("file", "one\ntwo\nthree\n");
    assert_eq!(touched(&project, &to).await, ["file"]);
}

#[tokio::test]
async fn staged_as_new() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("new", "mine\n");
    project.git(&["add", "new"]);
    assert_eq!(touched(&project, &to).await, ["new"]);
}

#[tokio::test]
async fn deleted() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.git(&["rm", "--quiet", "file"]);
    assert_eq!(touched(&project, &to).await, ["file"]);
}

#[tokio::test]
async fn untracked_in_the_way() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("new", "mine\n");
    project.write("deep/er/new", "mine\n");
    assert_eq!(touched(&project, &to).await, ["deep/er/new", "new"]);
}

#[tokio::test]
async fn ignored_in_the_way() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write(".git/info/exclude", "new\ndeep\n");
    project.write("new", "mine\n");
    let found = project.repo.touched_uncommitted(&project.first, &to).await.unwrap();
    assert_eq!(shown(&found), ["new"]);
    project.remove("new");
    project.write("deep", "mine\n");
    let found = project.repo.touched_uncommitted(&project.first, &to).await.unwrap();
    assert_eq!(shown(&found), ["deep"]);
}

#[tokio::test]
async fn a_file_where_a_folder_is_to_be() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("deep", "mine\n");
    assert_eq!(touched(&project, &to).await, ["deep"]);
    project.remove("deep");
    symlink("src", project.root().join("deep")).unwrap();
    assert_eq!(touched(&project, &to).await, ["deep"]);
    project.git(&["add", "deep"]);
    assert_eq!(touched(&project, &to).await, ["deep"]);
}

#[tokio::test]
async fn a_folder_where_a_file_is_to_be() {
    let project = Project::new().await;
    let to = merge_of(&project);
    project.write("new/mine/1", "mine\n");
    project.write("new/2", "mine\n");
    assert_eq!(touched(&project, &to).await, ["new/2", "new/mine/1"]);
    // Staged ones git itself would just remove.
    project.git(&["add", "new"]);
    let found = project.repo.touched_uncommitted(&project.first, &to).await.unwrap();
    assert_eq!(shown(&found), ["new/2", "new/mine/1"]);
}

#[tokio::test]
async fn an_empty_folder_is_not_in_the_way() {
    let project = Project::new().await;
    let to = merge_of(&project);
    fs::create_dir_all(project.root().join("new/empty")).unwrap();
    assert_eq!(touched(&project, &to).await, [""; 0]);
}

#[tokio::test]
async fn files_and_folders_that_change_places() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        fs::remove_dir_all(root.join("src")).unwrap();
        write(&root.join("src"), "now a file\n");
        fs::remove_file(root.join("file")).unwrap();
        write(&root.join("file/in"), "now a folder\n");
    });
    project.write("src/mine", "mine\n");
    assert_eq!(touched(&project, &to).await, ["src/mine"]);
    project.remove("src/mine");
    project.write("file", "changed\n");
    assert_eq!(touched(&project, &to).await, ["file"]);
    project.git(&["checkout", "--quiet", "file"]);
    assert_eq!(touched(&project, &to).await, [""; 0]);
    assert_eq!(project.read("src"), "now a file\n");
    assert_eq!(project.read("file/in"), "now a folder\n");
}

#[tokio::test]
async fn a_folder_that_somebody_made_a_link() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| write(&root.join("src/new"), "new\n"));
    let elsewhere = project.beside("elsewhere");
    fs::rename(project.root().join("src"), &elsewhere).unwrap();
    symlink(&elsewhere, project.root().join("src")).unwrap();
    assert_eq!(touched(&project, &to).await, ["src"]);
    assert!(!elsewhere.join("new").exists());
}

#[tokio::test]
async fn a_merge_that_somebody_is_in_the_middle_of() {
    let project = Project::new().await;
    let to = merge_of(&project);
    let other = project.aside(&project.first, |root| write(&root.join("src/b"), "other\n"));
    let base = project.git(&["stash", "create"]);
    assert_eq!(base, "");
    project.write("src/b", "mine\n");
    project.commit("mine");
    assert!(!try_git(project.root(), &["merge", other.as_str()]).status.success());
    let head = project.oid("HEAD");
    let found = project.repo.touched_uncommitted(&head, &to).await.unwrap();
    assert!(shown(&found).contains(&"src/b".to_owned()), "{found:?}");
    // Also where it is not in the way by its name.
    let next = project.aside(&head, |root| write(&root.join("file"), "next\n"));
    let found = project.repo.touched_uncommitted(&head, &next).await.unwrap();
    assert_eq!(shown(&found), ["src/b"]);
}

#[tokio::test]
async fn a_file_that_was_only_touched() {
    let project = Project::new().await;
    let to = merge_of(&project);
    touch(&project.root().join("file"));
    touch(&project.root().join("src/a"));
    let index = fs::read(project.root().join(".git/index")).unwrap();
    let found = project.repo.touched_uncommitted(&project.first, &to).await.unwrap();
    assert_eq!(found, []);
    assert_eq!(fs::read(project.root().join(".git/index")).unwrap(), index, "only looked at");
    assert_eq!(touched(&project, &to).await, [""; 0]);
}

fn touch(path: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

#[tokio::test]
async fn what_git_would_refuse_for_other_reasons() {
    let project = Project::new().await;
    let to = merge_of(&project);
    // git is told not to look at it, and does when it is to write it.
    project.git(&["update-index", "--assume-unchanged", "file"]);
    project.write("file", "changed behind git's back\n");
    let error = project.repo.touched_uncommitted(&project.first, &to).await.unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert!(!run(&project.repo.sync_work_tree(&project.first, &to)).status.success());
}

#[tokio::test]
async fn line_ends_that_git_converts() {
    let project = Project::new().await;
    project.write(".gitattributes", "* text=auto eol=crlf\n");
    let from = project.commit("with line ends");
    project.git(&["rm", "--quiet", "--cached", "-r", "."]);
    project.git(&["reset", "--quiet", "--hard"]);
    assert_eq!(project.read("file"), "one\r\ntwo\r\nthree\r\n");
    let to = project.aside(&from, |root| write(&root.join("file"), "next\n"));
    assert_eq!(project.repo.touched_uncommitted(&from, &to).await.unwrap(), []);
    assert!(run(&project.repo.sync_work_tree(&from, &to)).status.success());
    assert_eq!(project.read("file"), "next\r\n");
}
