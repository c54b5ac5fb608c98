//! The git program: missing, too old, hanging, talkative.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use nix::{sys::signal::kill, unistd::Pid};
use plan_service::git::{Git, Repo};
use service_kit::testing::eventually;

use crate::support::{Project, program};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_installed_one_will_do() {
    let version = Git::new("git").check().await.unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
}

#[tokio::test]
async fn a_missing_one_is_named() {
    let error = Git::new("/nowhere/git").check().await.unwrap_err().to_string();
    assert!(error.contains("\"/nowhere/git\" cannot be started"), "{error}");
    assert!(error.contains("install git 2.38 or newer"), "{error}");
}

#[tokio::test]
async fn an_old_one_is_refused() {
    let error = program("old").check().await.unwrap_err().to_string();
    assert!(error.contains("git 2.37.9, and git 2.38 or newer is needed"), "{error}");
}

#[tokio::test]
async fn another_program_is_refused() {
    let error = Git::new("echo").check().await.unwrap_err().to_string();
    assert!(error.contains("this is no git"), "{error}");
}

#[tokio::test]
async fn complaints_are_quoted_by_their_end() {
    let error = program("loud").check().await.unwrap_err();
    assert_eq!(error.status, Some(3));
    assert!(error.stderr.ends_with("the reason"), "{error}");
    assert!(error.stderr.len() < 10_000, "{}", error.stderr.len());
}

/// A project whose repository is worked on by the program that never ends.
async fn with_a_slow_git(limit: Duration) -> (Project, Repo) {
    let project = Project::new().await;
    // It takes the program's place after the project was opened.
    let at = project.beside("git");
    let found = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    symlink(String::from_utf8(found.stdout).unwrap().trim(), &at).unwrap();
    let repo = Git::new(&at).with_time_limit(limit).open(project.root()).await.unwrap();
    fs::remove_file(&at).unwrap();
    let slow = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/git/programs/slow");
    symlink(slow, &at).unwrap();
    (project, repo)
}

/// The processes of the slow program, once they are there.
async fn processes(project: &Project) -> Vec<i32> {
    let file = project.root().join(".git/slow");
    eventually("the program has started", DEADLINE, async || {
        let text = fs::read_to_string(&file).ok()?;
        let ids = text.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>().ok()?;
        (ids.len() == 2).then_some(ids)
    })
    .await
}

async fn all_end(processes: Vec<i32>) {
    eventually("all processes have ended", DEADLINE, async || {
        processes.iter().all(|id| kill(Pid::from_raw(*id), None).is_err()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_takes_too_long_is_ended_with_all_it_started() {
    let (project, repo) = with_a_slow_git(Duration::from_secs(2)).await;
    let error = repo.head().await.unwrap_err().to_string();
    assert!(error.contains("it took longer than 2s and was ended"), "{error}");
    all_end(processes(&project).await).await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_ended_with_all_it_started() {
    let (project, repo) = with_a_slow_git(Duration::from_secs(1000)).await;
    let task = tokio::spawn(async move { repo.head().await });
    let processes = processes(&project).await;
    task.abort();
    all_end(processes).await;
}
