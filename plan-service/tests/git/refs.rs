//! What refs point to, and moving them all together.

use plan_service::{
    domain::{Oid, PlanId},
    git::{From, Moved, Raised, RefMove},
};

use crate::support::{Project, fence, write};

fn to(name: &str, from: From, to: Option<&Oid>) -> RefMove {
    RefMove { name: name.to_owned(), from, to: to.cloned() }
}

#[tokio::test]
async fn what_is_checked_out() {
    let project = Project::new().await;
    let head = project.repo.head().await.unwrap();
    assert_eq!(head.branch.as_deref(), Some("refs/heads/main"));
    assert_eq!(head.commit, project.first);
    project.git(&["checkout", "--quiet", "--orphan", "empty"]);
    let error = project.repo.head().await.unwrap_err().to_string();
    assert!(error.contains("no commit"), "{error}");
}

#[tokio::test]
async fn names_and_ids_are_resolved() {
    let project = Project::new().await;
    let (repo, first) = (&project.repo, Some(project.first.clone()));
    project.git(&["tag", "-a", "v1", "-m", "annotated"]);
    assert_eq!(repo.resolve("refs/heads/main").await.unwrap(), first);
    assert_eq!(repo.resolve("refs/tags/v1").await.unwrap(), first, "the commit, not the tag");
    assert_eq!(repo.resolve(project.first.as_str()).await.unwrap(), first);
    for missing in ["refs/heads/none", "refs/heads/mai", "refs/heads", &"1".repeat(40)] {
        assert_eq!(repo.resolve(missing).await.unwrap(), None, "{missing}");
    }
    let blob = project.oid("HEAD:file");
    assert_eq!(repo.resolve(blob.as_str()).await.unwrap(), None, "no commit");
    assert_eq!(repo.resolve(&"1".repeat(64)).await.unwrap(), None, "of another kind of repository");
    for wrong in ["main", "HEAD", "--all", "refs/heads/a b", "refs/heads/a\nb", "refs/x\0y", ""] {
        let error = repo.resolve(wrong).await.unwrap_err().to_string();
        assert!(error.contains("is not a ref"), "{error}");
    }
}

#[tokio::test]
async fn another_ref_that_ends_in_the_name_is_not_it() {
    let project = Project::new().await;
    project.git(&["update-ref", "refs/heads/refs/heads/x", "HEAD"]);
    project.git(&["update-ref", "refs/heads/y/z", "HEAD"]);
    assert_eq!(project.repo.resolve("refs/heads/x").await.unwrap(), None);
    assert_eq!(project.repo.resolve("refs/heads/y").await.unwrap(), None);
}

#[tokio::test]
async fn ancestors() {
    let project = Project::new().await;
    let next = project.aside(&project.first, |_| {});
    let (repo, first) = (&project.repo, &project.first);
    assert!(repo.is_ancestor(first, &next).await.unwrap());
    assert!(repo.is_ancestor(first, first).await.unwrap());
    assert!(!repo.is_ancestor(&next, first).await.unwrap());
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    assert!(repo.is_ancestor(&missing, first).await.is_err());
}

#[tokio::test]
async fn all_move_or_none_does() {
    let project = Project::new().await;
    let (repo, first) = (&project.repo, project.first.clone());
    let next = project.aside(&first, |root| write(&root.join("file"), "next"));
    let ours = fence(PlanId::new(), 3);
    assert_eq!(repo.raise_fence(ours).await.unwrap(), Raised::Raised);
    let branch = to("refs/heads/plan/x", From::Absent, Some(&next));
    let wrong = [
        to("refs/heads/main", From::Exactly(next.clone()), Some(&next)),
        to("refs/heads/main", From::Absent, Some(&next)),
        to("refs/heads/none", From::Exactly(first.clone()), Some(&next)),
        to("refs/heads/none", From::Exactly(first.clone()), None),
        to("refs/heads/main", From::Absent, None),
    ];
    for wrong in wrong {
        for moves in [[branch.clone(), wrong.clone()], [wrong, branch.clone()]] {
            assert_eq!(repo.move_refs(ours, &moves).await.unwrap(), Moved::Changed, "{moves:?}");
            assert_eq!(repo.resolve("refs/heads/plan/x").await.unwrap(), None, "{moves:?}");
            assert_eq!(repo.resolve("refs/heads/main").await.unwrap(), Some(first.clone()));
        }
    }
    let main = to("refs/heads/main", From::Exactly(first.clone()), Some(&next));
    assert_eq!(repo.move_refs(ours, &[branch, main]).await.unwrap(), Moved::Moved);
    for name in ["refs/heads/plan/x", "refs/heads/main"] {
        assert_eq!(repo.resolve(name).await.unwrap(), Some(next.clone()));
    }
    let log = project.git(&["reflog", "show", "main"]);
    assert!(log.contains(&format!("plan-service: plan {}", ours.plan)), "{log}");
}

#[tokio::test]
async fn refs_are_made_and_deleted() {
    let project = Project::new().await;
    let (repo, first) = (&project.repo, project.first.clone());
    let next = project.aside(&first, |root| write(&root.join("file"), "next"));
    let ours = fence(PlanId::new(), 3);
    let _ = repo.raise_fence(ours).await.unwrap();
    let name = "refs/heads/plan/x";
    for (from, target) in [
        (From::Anything, Some(&first)),
        (From::Anything, Some(&next)),
        (From::Exactly(next.clone()), None),
        (From::Anything, None),
        (From::Absent, None),
        (From::Absent, Some(&first)),
        (From::Anything, None),
    ] {
        let moves = [to(name, from.clone(), target)];
        assert_eq!(repo.move_refs(ours, &moves).await.unwrap(), Moved::Moved, "{moves:?}");
        assert_eq!(repo.resolve(name).await.unwrap().as_ref(), target, "{moves:?}");
    }
    assert_eq!(repo.move_refs(ours, &[]).await.unwrap(), Moved::Moved);
}

#[tokio::test]
async fn what_cannot_be_a_ref_is_an_error() {
    let project = Project::new().await;
    let ours = fence(PlanId::new(), 3);
    let _ = project.repo.raise_fence(ours).await.unwrap();
    let next = Some(&project.first);
    for wrong in ["main", "refs/heads/a b", "refs/heads/a\nb", "refs/heads/a\0b", "refs/heads/a..b"]
    {
        let moves = [to(wrong, From::Anything, next)];
        let error = project.repo.move_refs(ours, &moves).await.unwrap_err();
        assert!(error.what.contains("git update-ref"), "{error}");
    }
    // A branch whose name is a folder of ours.
    project.git(&["branch", "plan"]);
    let moves = [to("refs/heads/plan/x", From::Absent, next)];
    let error = project.repo.move_refs(ours, &moves).await.unwrap_err().to_string();
    assert!(error.contains("'refs/heads/plan' exists"), "{error}");
    // A commit that is not there.
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    let moves = [to("refs/heads/x", From::Absent, Some(&missing))];
    assert!(project.repo.move_refs(ours, &moves).await.is_err());
}
