//! Links that lead out of a project.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Project, shown, write};

#[tokio::test]
async fn only_new_and_changed_ones_that_lead_out() {
    let project = Project::new().await;
    let from = project.aside(&project.first, |root| {
        symlink("/etc/hosts", root.join("known")).unwrap();
        symlink("file", root.join("turns")).unwrap();
    });
    let to = project.aside(&from, |root| {
        fs::remove_file(root.join("turns")).unwrap();
        symlink("../outside", root.join("turns")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../src/b", root.join("src/inside")).unwrap();
        symlink("../../file", root.join("src/outside")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        write(&root.join("not a link"), "/etc");
        fs::remove_file(root.join("file")).unwrap();
        symlink("..", root.join("file")).unwrap();
    });
    let found = project.repo.links_out(&from, &to).await.unwrap();
    assert_eq!(shown(&found), ["absolute", "file", "src/outside", "turns"]);
    assert_eq!(project.repo.links_out(&to, &to).await.unwrap(), []);
    assert_eq!(project.repo.links_out(&to, &from).await.unwrap(), [], "they are gone");
}

#[tokio::test]
async fn by_way_of_another_link() {
    let project = Project::new().await;
    let from = project.aside(&project.first, |root| {
        symlink("src/way/..", root.join("known")).unwrap();
        write(&root.join("src/way/file"), "");
    });
    let to = project.aside(&from, |root| {
        fs::remove_dir_all(root.join("src/way")).unwrap();
        symlink("..", root.join("src/way")).unwrap();
    });
    assert_eq!(shown(&project.repo.links_out(&from, &to).await.unwrap()), ["known"]);
}

#[tokio::test]
async fn names_and_targets_may_be_any_bytes() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        symlink(crate::support::os(b"../\xff"), root.join(crate::support::os(b"\xfe"))).unwrap();
        symlink("..\n/a", root.join("line\nbreak")).unwrap();
        symlink("../\n/a", root.join("tab\tname")).unwrap();
    });
    let found = project.repo.links_out(&project.first, &to).await.unwrap();
    assert_eq!(shown(&found), ["tab\\011name", "\\376"]);
}
