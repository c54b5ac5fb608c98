//! Lock files of other git processes: waited for, then named.

use std::{fs, path::PathBuf, time::Duration};

use plan_service::{
    domain::PlanId,
    git::{From, Git, Moved, RefMove, Repo},
};

use crate::support::{Project, fence, run, write};

const REF: &str = "refs/heads/main";

async fn impatient(project: &Project) -> Repo {
    let git = Git::new("git").with_lock_wait(Duration::from_millis(100));
    git.open(project.root()).await.unwrap()
}

fn lock(project: &Project, name: &str) -> PathBuf {
    let lock = project.root().join(".git").join(name);
    write(&lock, "");
    lock
}

#[tokio::test]
async fn one_that_stays_is_explained() {
    let project = Project::new().await;
    let (repo, ours) = (impatient(&project).await, fence(PlanId::new(), 1));
    let _ = repo.raise_fence(ours).await.unwrap();
    let next = project.aside(&project.first, |_| {});
    let from = From::Exactly(project.first.clone());
    let moves = [RefMove { name: REF.to_owned(), from, to: Some(next) }];
    let lock = lock(&project, "refs/heads/main.lock");
    let error = repo.move_refs(ours, &moves).await.unwrap_err().to_string();
    assert!(error.contains("main.lock"), "{error}");
    assert!(error.contains("another git process"), "{error}");
    assert!(error.contains("if none runs"), "{error}");
    fs::remove_file(lock).unwrap();
    assert_eq!(repo.move_refs(ours, &moves).await.unwrap(), Moved::Moved);
}

#[tokio::test]
async fn of_a_fence_too() {
    let project = Project::new().await;
    let (repo, ours) = (impatient(&project).await, fence(PlanId::new(), 1));
    let lock = lock(&project, &format!("refs/plan-service/fence/{}.lock", ours.plan));
    let error = repo.raise_fence(ours).await.unwrap_err().to_string();
    assert!(error.contains("another git process"), "{error}");
    fs::remove_file(&lock).unwrap();
    let _ = repo.raise_fence(ours).await.unwrap();
    write(&lock, "");
    let error = repo.drop_fence(ours).await.unwrap_err().to_string();
    assert!(error.contains("another git process"), "{error}");
    fs::remove_file(lock).unwrap();
    repo.drop_fence(ours).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_away_is_waited_for() {
    let project = Project::new().await;
    let ours = fence(PlanId::new(), 1);
    let _ = project.repo.raise_fence(ours).await.unwrap();
    let next = project.aside(&project.first, |_| {});
    let from = From::Exactly(project.first.clone());
    let moves = [RefMove { name: REF.to_owned(), from, to: Some(next) }];
    let lock = lock(&project, "refs/heads/main.lock");
    let moving = project.repo.move_refs(ours, &moves);
    let (moved, ()) = tokio::join!(moving, async {
        // Longer than git itself waits.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        fs::remove_file(lock).unwrap();
    });
    assert_eq!(moved.unwrap(), Moved::Moved);
}

#[tokio::test]
async fn the_index_of_the_project_is_waited_for() {
    let project = Project::new().await;
    let next = project.aside(&project.first, |root| write(&root.join("file"), "next\n"));
    let lock = lock(&project, "index.lock");
    let command = project.repo.sync_work_tree(&project.first, &next);
    let (output, ()) = tokio::join!(
        async { tokio::task::spawn_blocking(move || run(&command)).await.unwrap() },
        async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            fs::remove_file(lock).unwrap();
        }
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(project.read("file"), "next\n");
}
