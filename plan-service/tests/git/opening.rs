//! Folders that cannot be projects, and what would be right.

use std::{fs, os::unix::fs::symlink, path::Path};

use plan_service::git::{Git, OpenError};

use crate::support::{Project, git, make_repository, program};

async fn refused(path: &Path) -> OpenError {
    Git::new("git").open(path).await.unwrap_err()
}

#[tokio::test]
async fn nothing_to_open() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(Path::new("project")).await, OpenError::NotAbsolute);
    assert_eq!(refused(&folder.path().join("none")).await, OpenError::NotFound);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(refused(&file).await, OpenError::NotAFolder);
    assert_eq!(refused(&file.join("below")).await, OpenError::NotFound);
    symlink("nowhere", folder.path().join("link")).unwrap();
    assert_eq!(refused(&folder.path().join("link")).await, OpenError::NotFound);
}

#[tokio::test]
async fn no_repository() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(folder.path()).await;
    assert_eq!(error, OpenError::NotARepository);
    assert!(error.to_string().contains("git init"), "{error}");
}

#[tokio::test]
async fn a_bare_repository() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "--bare"]);
    assert_eq!(refused(folder.path()).await, OpenError::Bare);
    assert_eq!(refused(&folder.path().join("hooks/..")).await, OpenError::Bare);
}

#[tokio::test]
async fn a_folder_inside() {
    let project = Project::new().await;
    let top = project.root().to_owned();
    for inside in ["src", ".git", ".git/refs"] {
        let error = refused(&top.join(inside)).await;
        assert_eq!(error, OpenError::NotTheTop { top: top.clone() }, "{inside}");
        assert!(error.to_string().contains(top.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_repository_without_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    let error = refused(folder.path()).await;
    assert_eq!(error, OpenError::NoCommit);
    assert!(error.to_string().contains("git commit"), "{error}");
}

#[tokio::test]
async fn a_ref_in_the_way_of_plans() {
    for (name, advice) in [
        ("refs/heads/plan", "git branch -m plan NEW-NAME"),
        ("refs/plan-service", "git update-ref -d refs/plan-service)"),
        ("refs/plan-service/fence", "git update-ref -d refs/plan-service/fence)"),
    ] {
        let project = Project::new().await;
        project.git(&["update-ref", name, "HEAD"]);
        for packed in [false, true] {
            if packed {
                project.git(&["pack-refs", "--all"]);
            }
            let error = refused(project.root()).await;
            assert_eq!(error, OpenError::RefInTheWay { name: name.to_owned() });
            assert!(error.to_string().contains(advice), "{error}");
            // What was merged can be looked at all the same.
            let repo = Git::new("git").open_to_look(project.root()).await.unwrap();
            assert_eq!(repo.head().await.unwrap().commit, project.first);
        }
        project.git(&["update-ref", "-d", name]);
        assert!(Git::new("git").open(project.root()).await.is_ok());
    }
    let project = Project::new().await;
    for name in ["refs/heads/plan/x", "refs/heads/plans", "refs/plan-service/fence/x"] {
        project.git(&["update-ref", name, "HEAD"]);
    }
    project.git(&["tag", "plan"]);
    assert!(Git::new("git").open(project.root()).await.is_ok());
}

#[tokio::test]
async fn somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    make_repository(folder.path(), &[]);
    let error = program("others").open(folder.path()).await.unwrap_err();
    assert_eq!(error, OpenError::NotOurs);
    assert!(error.to_string().contains("safe.directory"), "{error}");
}

#[tokio::test]
async fn a_broken_one() {
    let project = Project::new().await;
    project.write(".git/config", "not a configuration");
    let error = refused(project.root()).await;
    assert!(matches!(error, OpenError::Git(_)), "{error:?}");
    assert!(error.to_string().contains("config"), "{error}");
}

#[tokio::test]
async fn no_git() {
    let error = Git::new("/nowhere/git").open(Path::new("/")).await.unwrap_err().to_string();
    assert!(error.contains("install git"), "{error}");
}

#[tokio::test]
async fn links_are_resolved() {
    let project = Project::new().await;
    let link = project.beside("link");
    symlink(project.root(), &link).unwrap();
    let repo = Git::new("git").open(&link).await.unwrap();
    assert_eq!(repo.root(), project.root());
    assert_eq!(repo.head().await.unwrap().commit, project.first);
}
