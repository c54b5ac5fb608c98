//! Merges and commits without a work tree.

use std::fs;

use plan_service::{domain::Oid, git::Merged};

use crate::support::{Project, shown, write};

async fn conflict(project: &Project, ours: &Oid, theirs: &Oid) -> Vec<String> {
    match project.repo.merge_trees(ours, theirs).await.unwrap() {
        Merged::Conflict { files } => shown(&files),
        clean => panic!("{clean:?}"),
    }
}

#[tokio::test]
async fn both_sides_fit() {
    let project = Project::new().await;
    let ours = project.aside(&project.first, |root| write(&root.join("file"), "1\ntwo\nthree\n"));
    let theirs = project.aside(&project.first, |root| {
        write(&root.join("file"), "one\ntwo\nthree\nfour\n");
        write(&root.join("new"), "new\n");
    });
    let Merged::Clean { tree } = project.repo.merge_trees(&ours, &theirs).await.unwrap() else {
        panic!("they fit");
    };
    assert_eq!(project.git(&["show", &format!("{tree}:file")]), "1\ntwo\nthree\nfour\n");
    assert_eq!(project.names(&tree), ["file", "new", "src/a", "src/b"]);
    assert_eq!(project.git(&["status", "--porcelain"]), "", "no file has changed");
    let up_to_date = project.repo.merge_trees(&project.first, &ours).await.unwrap();
    assert_eq!(up_to_date, Merged::Clean { tree: project.repo.tree_of(&ours).await.unwrap() });
}

#[tokio::test]
async fn both_sides_do_not_fit() {
    let project = Project::new().await;
    let ours = project.aside(&project.first, |root| {
        write(&root.join("file"), "1\ntwo\nthree\n");
        write(&root.join("both\nnew"), "ours\n");
        fs::remove_file(root.join("src/a")).unwrap();
        write(&root.join("src/b"), "ours\n");
    });
    let theirs = project.aside(&project.first, |root| {
        write(&root.join("file"), "I\ntwo\nthree\n");
        write(&root.join("both\nnew"), "theirs\n");
        write(&root.join("src/a"), "theirs\n");
        write(&root.join("fits"), "theirs\n");
    });
    let files = ["both\\012new", "file", "src/a"];
    assert_eq!(conflict(&project, &ours, &theirs).await, files);
    assert_eq!(conflict(&project, &theirs, &ours).await, files);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn nothing_in_common() {
    let project = Project::new().await;
    let tree = project.repo.tree_of(&project.first).await.unwrap();
    let other = project.repo.commit_tree(&tree, &[], "without parents").await.unwrap();
    let error = project.repo.merge_trees(&project.first, &other).await.unwrap_err().to_string();
    assert!(error.contains("unrelated histories"), "{error}");
}

#[tokio::test]
async fn commits() {
    let project = Project::new().await;
    let repo = &project.repo;
    let tree = repo.tree_of(&project.first).await.unwrap();
    let other = repo.commit_tree(&tree, &[&project.first], "other").await.unwrap();
    let message = "-F: ä \"quoted\"\n\nA body, and a\n# line that is kept\n";
    let commit = repo.commit_tree(&tree, &[&project.first, &other], message).await.unwrap();
    let shown = project.git(&[
        "show",
        "--no-patch",
        "--format=%an <%ae> %cn <%ce>%n%P%n%B",
        commit.as_str(),
    ]);
    let person = "plan-service <plan-service@localhost>";
    let parents = format!("{} {other}", project.first);
    assert_eq!(shown.trim_end(), format!("{person} {person}\n{parents}\n{}", message.trim_end()));
    assert_eq!(repo.tree_of(&commit).await.unwrap(), tree);
    assert!(repo.commit_tree(&tree, &[&tree], "a tree is no parent").await.is_err());
    assert!(repo.commit_tree(&tree, &[], "a\0b").await.is_err());
}
