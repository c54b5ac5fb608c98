//! A run that was paused past its lease moves no ref.

use futures::future::join_all;
use plan_service::{
    domain::{Oid, PlanId},
    git::{From, Git, Moved, Raised, RefMove},
};

use crate::support::{Project, fence};

fn branch(to: &Oid) -> [RefMove; 1] {
    let name = "refs/heads/plan/x".to_owned();
    [RefMove { name, from: From::Anything, to: Some(to.clone()) }]
}

#[tokio::test]
async fn an_older_run_is_refused() {
    let project = Project::new().await;
    let (repo, plan) = (&project.repo, PlanId::new());
    let (old, new) = (fence(plan, 9), fence(plan, 10));
    assert_eq!(repo.move_refs(old, &branch(&project.first)).await.unwrap(), Moved::FenceGone);
    assert_eq!(repo.raise_fence(old).await.unwrap(), Raised::Raised);
    assert_eq!(repo.raise_fence(old).await.unwrap(), Raised::Raised, "again");
    assert_eq!(repo.move_refs(old, &branch(&project.first)).await.unwrap(), Moved::Moved);
    assert_eq!(repo.raise_fence(new).await.unwrap(), Raised::Raised);
    assert_eq!(repo.raise_fence(old).await.unwrap(), Raised::Refused);
    let next = project.aside(&project.first, |_| {});
    assert_eq!(repo.move_refs(old, &branch(&next)).await.unwrap(), Moved::FenceGone);
    repo.drop_fence(old).await.unwrap();
    assert_eq!(repo.move_refs(new, &branch(&next)).await.unwrap(), Moved::Moved, "it still stands");
    assert_eq!(repo.resolve("refs/heads/plan/x").await.unwrap(), Some(next));
}

#[tokio::test]
async fn plans_do_not_see_each_others() {
    let project = Project::new().await;
    let (one, other) = (fence(PlanId::new(), 5), fence(PlanId::new(), 1));
    assert_eq!(project.repo.raise_fence(one).await.unwrap(), Raised::Raised);
    assert_eq!(project.repo.raise_fence(other).await.unwrap(), Raised::Raised);
    let moved = project.repo.move_refs(one, &branch(&project.first)).await.unwrap();
    assert_eq!(moved, Moved::Moved);
}

#[tokio::test]
async fn without_its_fence_a_run_moves_nothing() {
    let project = Project::new().await;
    let (repo, ours) = (&project.repo, fence(PlanId::new(), u64::MAX));
    assert_eq!(repo.raise_fence(ours).await.unwrap(), Raised::Raised);
    repo.drop_fence(ours).await.unwrap();
    repo.drop_fence(ours).await.unwrap();
    assert_eq!(repo.move_refs(ours, &branch(&project.first)).await.unwrap(), Moved::FenceGone);
    assert_eq!(repo.resolve("refs/heads/plan/x").await.unwrap(), None);
    assert_eq!(project.git(&["for-each-ref", "refs/plan-service"]), "");
}

#[tokio::test]
async fn those_that_stand_are_listed() {
    let project = Project::new().await;
    assert_eq!(project.repo.fenced_plans().await.unwrap(), []);
    let mut plans = [PlanId::new(), PlanId::new()];
    for plan in plans {
        assert_eq!(project.repo.raise_fence(fence(plan, 3)).await.unwrap(), Raised::Raised);
    }
    for other in ["refs/plan-service/fence/no-plan", "refs/plan-service/fences", "refs/heads/x"] {
        project.git(&["update-ref", other, project.first.as_str()]);
    }
    let mut found = project.repo.fenced_plans().await.unwrap();
    found.sort();
    plans.sort();
    assert_eq!(found, plans);
}

#[tokio::test]
async fn what_is_no_fence_is_an_error() {
    let project = Project::new().await;
    let ours = fence(PlanId::new(), 1);
    let name = format!("refs/plan-service/fence/{}", ours.plan);
    for wrong in ["HEAD:file", "HEAD"] {
        project.git(&["update-ref", &name, project.git(&["rev-parse", wrong]).trim()]);
        assert!(project.repo.raise_fence(ours).await.is_err(), "{wrong}");
        let moved = project.repo.move_refs(ours, &branch(&project.first)).await.unwrap();
        assert_eq!(moved, Moved::FenceGone, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_the_greatest_stands() {
    let project = Project::new().await;
    let plan = PlanId::new();
    let root = project.root().to_owned();
    let runs = (1..=24_u64).map(|token| {
        let root = root.clone();
        // Each as if in a process of its own.
        tokio::spawn(async move {
            let repo = Git::new("git").open(&root).await.unwrap();
            (token, repo.raise_fence(fence(plan, token)).await.unwrap())
        })
    });
    for result in join_all(runs).await {
        let (token, raised) = result.unwrap();
        assert!(raised == Raised::Raised || token < 24, "{token}");
    }
    for token in 1..24 {
        let moves = branch(&project.first);
        let moved = project.repo.move_refs(fence(plan, token), &moves).await.unwrap();
        assert_eq!(moved, Moved::FenceGone, "{token}");
    }
    let moved = project.repo.move_refs(fence(plan, 24), &branch(&project.first)).await.unwrap();
    assert_eq!(moved, Moved::Moved);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_moves_from_one_commit_one_happens() {
    let project = Project::new().await;
    let root = project.root().to_owned();
    let first = &project.first;
    let next = project.aside(first, |_| {});
    let runs = (0..16).map(|_| {
        let (root, first, next) = (root.clone(), first.clone(), next.clone());
        tokio::spawn(async move {
            let repo = Git::new("git").open(&root).await.unwrap();
            let ours = fence(PlanId::new(), 1);
            let _ = repo.raise_fence(ours).await.unwrap();
            let name = "refs/heads/main".to_owned();
            let moves = [RefMove { name, from: From::Exactly(first), to: Some(next) }];
            repo.move_refs(ours, &moves).await.unwrap()
        })
    });
    let moved = join_all(runs).await.into_iter().map(Result::unwrap);
    let (moved, changed): (Vec<_>, Vec<_>) = moved.partition(|moved| *moved == Moved::Moved);
    assert_eq!(moved.len(), 1);
    assert!(changed.iter().all(|moved| *moved == Moved::Changed), "{changed:?}");
}
