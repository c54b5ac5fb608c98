//! Changes as people read them.

use std::fs;

use plan_service::domain::Oid;

use crate::support::{Project, os, write};

#[tokio::test]
async fn as_git_prints_them() {
    let project = Project::new().await;
    let text = "a line that is long enough to be known again\n".repeat(20);
    let from = project.aside(&project.first, |root| write(&root.join("old"), &text));
    let to = project.aside(&from, |root| {
        write(&root.join("file"), "one\ntwo\ndrei\n");
        fs::write(root.join("binary"), b"\0\x01").unwrap();
        fs::write(root.join("latin"), b"caf\xe9\n").unwrap();
        fs::write(root.join(os(b"\xff")), "x\n").unwrap();
        fs::rename(root.join("old"), root.join("neu ä")).unwrap();
    });
    let patch = project.repo.patch(&from, &to, 1 << 20).await.unwrap();
    assert!(!patch.truncated);
    for part in [
        "diff --git a/file b/file",
        "-three\n+drei\n",
        "Binary files /dev/null and b/binary differ",
        "rename from old\nrename to neu ä",
        "+caf\u{fffd}\n",
        "+++ b/\u{fffd}",
    ] {
        assert!(patch.text.contains(part), "{part:?} in {}", patch.text);
    }
    project.git(&["config", "core.quotePath", "false"]);
    let printed = project.git(&["diff", from.as_str(), to.as_str()]);
    assert_eq!(patch.text, printed);
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
        assert!((most.saturating_sub(3)..=most).contains(&patch.text.len()), "{most}");
        assert!(!patch.text.contains('\u{fffd}'), "{most}");
    }
    let whole = project.repo.patch(&project.first, &to, 100 << 20).await.unwrap();
    assert!(!whole.truncated);
    let exactly = project.repo.patch(&project.first, &to, whole.text.len()).await.unwrap();
    assert_eq!(exactly, whole);
}

#[tokio::test]
async fn none_and_missing() {
    let project = Project::new().await;
    let patch = project.repo.patch(&project.first, &project.first, 10).await.unwrap();
    assert_eq!((patch.text.as_str(), patch.truncated), ("", false));
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    assert!(project.repo.patch(&project.first, &missing, 10).await.is_err());
}
