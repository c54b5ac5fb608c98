//! Patches: what git prints, such that `git apply` makes of the one commit the
//! other.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use plan_service::{domain::Oid, git::Patch};

use crate::support::{Project, os, write};

/// Everything that a step may leave.
fn before(root: &Path) {
    let text = "a line that is long enough to be known again\n".repeat(20);
    write(&root.join("old"), &text);
    write(&root.join("kept"), &text.replace("known", "found"));
    write(&root.join("run"), "#!/bin/sh\n");
    write(&root.join("gone"), "gone\n");
    write(&root.join("becomes a link"), "x\n");
    write(&root.join("crlf"), "one\r\ntwo\r\n");
    write(&root.join("end"), "no line break at the end");
    fs::write(root.join("changes.bin"), (0..=255).cycle().take(3_000).collect::<Vec<u8>>())
        .unwrap();
    fs::write(root.join("gone.bin"), b"\0gone").unwrap();
    fs::write(root.join("latin"), b"caf\xe9\nsecond\nna\xefve\n").unwrap();
    fs::write(root.join(os(b"renamed \xff")), text.replace("line", "word")).unwrap();
}

fn after(root: &Path) {
    let executable = fs::Permissions::from_mode(0o755);
    write(&root.join("file"), "one\ntwo\ndrei\n");
    fs::rename(root.join("old"), root.join("neu ä")).unwrap();
    fs::rename(root.join("kept"), root.join("moved and more")).unwrap();
    write(
        &root.join("moved and more"),
        &format!("{}more\n", fs::read_to_string(root.join("moved and more")).unwrap()),
    );
    fs::set_permissions(root.join("run"), executable.clone()).unwrap();
    fs::remove_file(root.join("gone")).unwrap();
    fs::remove_file(root.join("becomes a link")).unwrap();
    symlink("no\\where ä", root.join("becomes a link")).unwrap();
    write(&root.join("crlf"), "one\r\n2\r\n");
    write(&root.join("end"), "no line break at the end, still");
    let mut bytes = fs::read(root.join("changes.bin")).unwrap();
    bytes[1_000] = 7;
    fs::write(root.join("changes.bin"), bytes).unwrap();
    fs::write(root.join("new.bin"), b"\0\x01\x02\n--- a/x\n").unwrap();
    fs::remove_file(root.join("gone.bin")).unwrap();
    fs::write(root.join("latin"), b"caf\xe9s\nsecond\nna\xefve\n").unwrap();
    fs::rename(root.join(os(b"renamed \xff")), root.join(os(b"renamed\t\xfe\n\"\\"))).unwrap();
    fs::set_permissions(root.join(os(b"renamed\t\xfe\n\"\\")), executable).unwrap();
    fs::write(root.join(os(b"\xff")), b"x\xff\n").unwrap();
    write(&root.join("a\\b"), "x\n");
    write(&root.join("c\td"), "x\n");
    write(&root.join("-e \"quoted\""), "x\n");
    write(&root.join("empty"), "");
    // Nobody's patch.
    write(&root.join("text"), "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
}

#[tokio::test]
async fn applied_they_make_the_same_tree() {
    let project = Project::new().await;
    let from = project.aside(&project.first, before);
    let to = project.aside(&from, after);
    for (base, end) in [(&from, &to), (&to, &from), (&project.first, &to)] {
        let Patch { bytes, truncated } = project.repo.patch(base, end, 1 << 20).await.unwrap();
        assert!(!truncated);
        assert!(str::from_utf8(&bytes).is_err(), "text would be no test");
        let applied = applied(&project, base, &bytes);
        assert_eq!(applied, project.repo.tree_of(end).await.unwrap());
    }
}

/// The tree that `git apply` makes of a commit.
fn applied(project: &Project, base: &Oid, patch: &[u8]) -> Oid {
    let patch_file = project.beside("the.patch");
    fs::write(&patch_file, patch).unwrap();
    let commit = project.aside(base, |root| {
        crate::support::git(root, &["apply", "--index", patch_file.to_str().unwrap()]);
    });
    Oid::parse(project.git(&["rev-parse", &format!("{commit}^{{tree}}")]).trim()).unwrap()
}

#[tokio::test]
async fn as_git_prints_them() {
    let project = Project::new().await;
    let from = project.aside(&project.first, before);
    let to = project.aside(&from, after);
    let patch = project.repo.patch(&from, &to, 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&patch.bytes);
    for part in [
        "diff --git a/file b/file",
        "-three\n+drei\n",
        "rename from old\nrename to neu ä",
        "+caf\u{fffd}s\n",
        "+++ b/\u{fffd}",
        "GIT binary patch",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    project.git(&["config", "core.quotePath", "false"]);
    let printed = project.git(&["diff", "--binary", from.as_str(), to.as_str()]);
    assert_eq!(text, printed);
}

#[tokio::test]
async fn only_as_much_as_asked_for() {
    let project = Project::new().await;
    let to = project.aside(&project.first, |root| {
        write(&root.join("long"), &"ä long line of text\n".repeat(2_000_000));
    });
    for most in [0, 1, 1_000, 1_001, 65_536] {
        let patch = project.repo.patch(&project.first, &to, most).await.unwrap();
        assert!(patch.truncated);
        assert!((most.saturating_sub(3)..=most).contains(&patch.bytes.len()), "{most}");
        assert!(str::from_utf8(&patch.bytes).is_ok(), "{most}");
    }
    let whole = project.repo.patch(&project.first, &to, 100 << 20).await.unwrap();
    assert!(!whole.truncated);
    let exactly = project.repo.patch(&project.first, &to, whole.bytes.len()).await.unwrap();
    assert_eq!(exactly, whole);
}

#[tokio::test]
async fn none_and_missing() {
    let project = Project::new().await;
    let patch = project.repo.patch(&project.first, &project.first, 10).await.unwrap();
    assert_eq!((patch.bytes.as_slice(), patch.truncated), (&b""[..], false));
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    assert!(project.repo.patch(&project.first, &missing, 10).await.is_err());
}
