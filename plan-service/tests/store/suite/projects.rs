//! Projects.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

use futures::future::join_all;
use plan_service::{domain::Project, store::AddedProject};

use crate::kit::{Kit, name, project};

pub(crate) async fn a_project_is_kept_as_it_is(kit: Kit) {
    // Longer than a Postgres index takes, random enough not to be compressed, and
    // no UTF-8.
    let mut path = b"/srv/\xff\n'".to_vec();
    let mut seed = 7_u32;
    while path.len() < 4_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        path.push(b"0123456789abcdefghijklmnopqrstuv"[(seed >> 27) as usize]);
    }
    let long = Project { path: PathBuf::from(OsString::from_vec(path)), ..project("long", "") };
    for added in [project("site", "/srv/site"), long] {
        assert_eq!(kit.store.project(&added.name).await.unwrap(), None);
        assert_eq!(kit.store.add_project(&added).await.unwrap(), AddedProject::Added);
        assert_eq!(kit.store.project(&added.name).await.unwrap(), Some(added));
    }
}

pub(crate) async fn a_name_and_a_folder_are_taken_once(kit: Kit) {
    let first = project("site", "/srv/site");
    assert_eq!(kit.store.add_project(&first).await.unwrap(), AddedProject::Added);
    for (again, taken) in [
        (project("site", "/srv/other"), AddedProject::NameTaken(first.clone())),
        (project("other", "/srv/site"), AddedProject::PathTaken(first.clone())),
        (project("site", "/srv/site"), AddedProject::NameTaken(first.clone())),
    ] {
        assert_eq!(kit.store.add_project(&again).await.unwrap(), taken);
    }
    assert_eq!(kit.store.projects(None, 10).await.unwrap(), [first]);
}

pub(crate) async fn one_of_many_gets_the_name_and_one_the_folder(kit: Kit) {
    let same_name = (0..50).map(|at| project("site", &format!("/srv/{at}")));
    let same_path = (0..50).map(|at| project(&format!("site-{at}"), "/srv/same"));
    let all: Vec<_> = same_name.chain(same_path).collect();
    let answers = join_all(all.iter().map(|project| kit.store.add_project(project))).await;
    let mut added = Vec::new();
    for (asked, answer) in all.iter().zip(answers) {
        match answer.unwrap() {
            AddedProject::Added => added.push(asked.clone()),
            AddedProject::NameTaken(by) => assert_eq!(by.name, asked.name),
            AddedProject::PathTaken(by) => assert_eq!(by.path, asked.path),
        }
    }
    assert_eq!(added.len(), 2, "{added:?}");
    added.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(kit.store.projects(None, 1_000).await.unwrap(), added);
}

/// By byte, whatever the database's language is.
pub(crate) async fn projects_are_listed_by_name(kit: Kit) {
    let sorted = ["a", "a-b", "a0", "a_b", "aa", "b"];
    for called in ["b", "a_b", "aa", "a-b", "a", "a0"] {
        kit.store.add_project(&project(called, &format!("/srv/{called}"))).await.unwrap();
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = kit.store.projects(after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        after = Some(last.name.clone());
        listed.extend(page.into_iter().map(|project| project.name));
    }
    assert_eq!(listed, sorted.map(name));
}
