//! What differs between two commits.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use plan_service::domain::{Change, ChangeKind, Oid, RepoPath};

use crate::support::{Project, os, write};

/// Kind, path, old path, modes, binary, lines.
type Short = (ChangeKind, String, Option<String>, String, String, bool, u64, u64);

fn short(change: Change) -> Short {
    (
        change.kind,
        change.path.shown(),
        change.old_path.as_ref().map(RepoPath::shown),
        change.old_mode,
        change.new_mode,
        change.binary,
        change.added_lines,
        change.removed_lines,
    )
}

async fn changes(prepare: impl FnOnce(&Path), change: impl FnOnce(&Path)) -> Vec<Short> {
    let project = Project::new().await;
    let from = project.aside(&project.first, prepare);
    let to = project.aside(&from, change);
    let found = project.repo.changes(&from, &to).await.unwrap();
    let trees =
        (project.repo.tree_of(&from).await.unwrap(), project.repo.tree_of(&to).await.unwrap());
    assert_eq!(project.repo.changes(&trees.0, &trees.1).await.unwrap(), found, "of trees");
    let (first, count) = project.repo.first_changes(&from, &to, found.len()).await.unwrap();
    assert_eq!((&first, count), (&found, found.len() as u64), "one by one");
    found.into_iter().map(short).collect()
}

fn one(
    kind: ChangeKind,
    path: &str,
    modes: (&str, &str),
    binary: bool,
    lines: (u64, u64),
) -> Short {
    let (old, new) = (modes.0.to_owned(), modes.1.to_owned());
    (kind, path.to_owned(), None, old, new, binary, lines.0, lines.1)
}

const FILE: &str = "100644";

#[tokio::test]
async fn texts() {
    let found = changes(
        |root| write(&root.join("gone"), "it goes\naway\n"),
        |root| {
            write(&root.join("file"), "one\n2\nthree\nfour\n");
            write(&root.join("new folder/ä"), "1\n2\n3");
            write(&root.join("empty"), "");
            fs::remove_file(root.join("gone")).unwrap();
        },
    );
    assert_eq!(
        found.await,
        [
            one(ChangeKind::Added, "empty", ("", FILE), false, (0, 0)),
            one(ChangeKind::Modified, "file", (FILE, FILE), false, (2, 1)),
            one(ChangeKind::Deleted, "gone", (FILE, ""), false, (0, 2)),
            one(ChangeKind::Added, "new folder/ä", ("", FILE), false, (3, 0)),
        ]
    );
}

#[tokio::test]
async fn binaries() {
    let found = changes(
        |root| fs::write(root.join("changed"), b"\0\x01").unwrap(),
        |root| {
            fs::write(root.join("changed"), b"\0\x02").unwrap();
            fs::write(root.join("new"), b"\0new").unwrap();
            write(&root.join(".gitattributes"), "*.dat -diff\n");
            write(&root.join("a.dat"), "a text that is not to be shown\n");
        },
    );
    assert_eq!(
        found.await,
        [
            one(ChangeKind::Added, ".gitattributes", ("", FILE), false, (1, 0)),
            one(ChangeKind::Added, "a.dat", ("", FILE), false, (1, 0)),
            one(ChangeKind::Modified, "changed", (FILE, FILE), true, (0, 0)),
            one(ChangeKind::Added, "new", ("", FILE), true, (0, 0)),
        ]
    );
}

#[tokio::test]
async fn renames() {
    let text = "a line that is long enough to be known again\n".repeat(20);
    let found = changes(
        |root| {
            write(&root.join("old"), &text);
            write(&root.join("same"), &"another line that is known again\n".repeat(9));
        },
        |root| {
            fs::remove_file(root.join("old")).unwrap();
            write(&root.join("sub/new"), &format!("{text}and one more\n"));
            fs::rename(root.join("same"), root.join("a\tb")).unwrap();
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(root.join("a\tb"), executable).unwrap();
        },
    );
    let (old, new) = (FILE.to_owned(), "100755".to_owned());
    let first = "a\\011b".to_owned();
    let second = ("sub/new".to_owned(), Some("old".to_owned()), old.clone(), old.clone());
    assert_eq!(
        found.await,
        [
            (ChangeKind::Renamed, first, Some("same".to_owned()), old, new, false, 0, 0),
            (ChangeKind::Renamed, second.0, second.1, second.2, second.3, false, 1, 0),
        ]
    );
}

#[tokio::test]
async fn modes_and_types() {
    let found = changes(
        |root| {
            write(&root.join("run"), "run\n");
            write(&root.join("both"), "both\n");
            write(&root.join("becomes a link"), "x\n");
            symlink("file", root.join("becomes a file")).unwrap();
            symlink("file", root.join("turns")).unwrap();
        },
        |root| {
            let executable = || fs::Permissions::from_mode(0o755);
            fs::set_permissions(root.join("run"), executable()).unwrap();
            fs::set_permissions(root.join("both"), executable()).unwrap();
            write(&root.join("both"), "changed\n");
            fs::remove_file(root.join("becomes a link")).unwrap();
            symlink("file", root.join("becomes a link")).unwrap();
            fs::remove_file(root.join("becomes a file")).unwrap();
            write(&root.join("becomes a file"), "now\n");
            fs::remove_file(root.join("turns")).unwrap();
            symlink("src", root.join("turns")).unwrap();
        },
    );
    let link = "120000";
    assert_eq!(
        found.await,
        [
            one(ChangeKind::TypeChanged, "becomes a file", (link, FILE), false, (1, 1)),
            one(ChangeKind::TypeChanged, "becomes a link", (FILE, link), false, (1, 1)),
            one(ChangeKind::Modified, "both", (FILE, "100755"), false, (1, 1)),
            one(ChangeKind::ModeChanged, "run", (FILE, "100755"), false, (0, 0)),
            one(ChangeKind::Modified, "turns", (link, link), false, (1, 1)),
        ]
    );
}

#[tokio::test]
async fn names_that_are_no_text() {
    let found = changes(
        |_| {},
        |root| {
            fs::write(root.join(os(b"\xff\xfe")), "x\n").unwrap();
            fs::write(root.join("line\nbreak"), "x\n").unwrap();
            fs::write(root.join(":100644 \"quoted\""), "x\n").unwrap();
            fs::create_dir(root.join(os(b"\xe4"))).unwrap();
            fs::rename(root.join("src/a"), root.join(os(b"\xe4/a"))).unwrap();
        },
    );
    let paths = found.await.into_iter().map(|change| (change.0, change.1)).collect::<Vec<_>>();
    let shown = |kind, path: &str| (kind, path.to_owned());
    assert_eq!(
        paths,
        [
            shown(ChangeKind::Added, ":100644 \"quoted\""),
            shown(ChangeKind::Added, "line\\012break"),
            shown(ChangeKind::Renamed, "\\344/a"),
            shown(ChangeKind::Added, "\\377\\376"),
        ]
    );
}

#[tokio::test]
async fn none_and_many() {
    let project = Project::new().await;
    let (repo, first) = (&project.repo, &project.first);
    assert_eq!(repo.changes(first, first).await.unwrap(), []);
    let many = project.aside(first, |root| {
        for number in 0..3_000 {
            write(&root.join(format!("many/{number:04}")), &format!("{number}\n"));
        }
    });
    let found = repo.changes(first, &many).await.unwrap();
    assert_eq!(found.len(), 3_000);
    assert!(found.is_sorted_by(|one, next| one.path < next.path));
    for most in [0, 1, 2_999, 3_000, 5_000] {
        let (kept, count) = repo.first_changes(first, &many, most).await.unwrap();
        assert_eq!((kept.as_slice(), count), (&found[..most.min(3_000)], 3_000));
    }
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    assert!(repo.changes(first, &missing).await.is_err());
    assert!(repo.first_changes(first, &missing, 10).await.is_err());
}

#[tokio::test]
async fn a_submodule_that_moves_on() {
    let library = Project::new().await;
    let project = Project::new().await;
    project.git(&["submodule", "--quiet", "add", library.root().to_str().unwrap(), "lib"]);
    project.git(&["config", "--file", ".gitmodules", "submodule.lib.ignore", "all"]);
    let from = project.commit("with a library");
    let next = library.commit("next");
    project.git(&["update-index", "--cacheinfo", &format!("160000,{next},lib")]);
    project.git(&["commit", "--quiet", "-m", "next"]);
    let found = project.repo.changes(&from, &project.oid("HEAD")).await.unwrap();
    let found = found.into_iter().map(short).collect::<Vec<_>>();
    let mode = "160000";
    assert_eq!(found, [one(ChangeKind::Modified, "lib", (mode, mode), false, (1, 1))]);
}
