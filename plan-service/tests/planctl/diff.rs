//! `planctl diff`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use proto::{
    plan::v1::{Change, ChangeKind, GetDiffRequest, GetDiffResponse},
    plan_reason as reason,
};
use tonic::Code;

use super::{
    fake::Fake,
    support::{ID, refused, service},
};

const PATCH: &str = "\
diff --git a/a.txt b/a.txt
--- a/a.txt
+++ b/a.txt
@@ -1,2 +1,2 @@ above
-colour\r
+color\u{1b}
 end
";

fn has(fake: &Fake, patch: &'static str, truncated: bool) {
    fake.on(move |_: GetDiffRequest| {
        let file = Change {
            kind: ChangeKind::Modified.into(),
            path: "a.txt".to_owned(),
            added_lines: 1,
            removed_lines: 1,
            ..Change::default()
        };
        Ok(GetDiffResponse {
            patch: patch.to_owned(),
            truncated,
            base_commit: "0123456789abcdef".to_owned(),
            head_commit: "fedcba9876543210".to_owned(),
            files: vec![file],
            ..GetDiffResponse::default()
        })
    });
}

#[tokio::test]
async fn a_program_gets_the_bytes_that_it_can_apply() {
    let (fake, planctl) = service();
    has(&fake, PATCH, false);
    let answer = planctl.run(&["diff", ID]).await.ended_with(0);
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), (PATCH, ""));
    let asked = fake.asked::<GetDiffRequest>();
    assert_eq!((asked[0].plan_id.as_str(), asked[0].max_bytes), (ID, 3 << 20));

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "colour\r\nend\n").unwrap();
    let patch = folder.path().join("x.patch");
    fs::write(&patch, &answer.bytes).unwrap();
    // Outside of any repository it patches plain files.
    let applied = Command::new("git")
        .args(["apply", "--whitespace=nowarn", "x.patch"])
        .current_dir(folder.path())
        .env("GIT_CEILING_DIRECTORIES", folder.path().parent().unwrap())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let text = fs::read_to_string(folder.path().join("a.txt")).unwrap();
    assert_eq!(text, "color\u{1b}\nend\n");
}

#[tokio::test]
async fn colours_are_git_s_and_nothing_else_moves_a_terminal() {
    let (fake, planctl) = service();
    has(&fake, PATCH, false);
    let answer = planctl.run(&["diff", ID, "--color", "always"]).await.ended_with(0);
    answer.says(&[
        "\u{1b}[1m--- a/a.txt\u{1b}[0m\n",
        "\u{1b}[36m@@ -1,2 +1,2 @@\u{1b}[0m above\n",
        "\u{1b}[31m-colour\\u{d}\u{1b}[0m\n",
        "\u{1b}[32m+color\\u{1b}\u{1b}[0m\n",
    ]);
    planctl.run(&["diff", ID, "--color", "sometimes"]).await.ended_with(64);
}

#[tokio::test]
async fn a_patch_that_is_cut_off_is_no_success() {
    let (fake, planctl) = service();
    has(&fake, PATCH, true);
    let answer = planctl.run(&["diff", ID]).await.ended_with(1);
    assert_eq!(answer.stdout, PATCH);
    answer.complains(&["planctl: the patch is cut off", "`git diff 0123456789ab fedcba987654`"]);
    let answer = planctl.run(&["diff", ID, "--output", "json"]).await.ended_with(1);
    assert_eq!(answer.json()["truncated"], true);
    answer.complains(&["{\"warning\":", "TRUNCATED"]);
}

#[tokio::test]
async fn the_files_are_counted() {
    let (fake, planctl) = service();
    has(&fake, "", true);
    let answer = planctl.run(&["diff", ID, "--stat"]).await.ended_with(0);
    let expected = " a.txt | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n";
    assert_eq!(answer.stdout, expected);
    let json = planctl.json(&["diff", ID, "--stat"]).await;
    assert_eq!(json["files"][0]["kind"], "CHANGE_KIND_MODIFIED");
    assert!(json.get("patch").is_none(), "{json}");
}

/// Such as a plan with more files than the service tells.
fn has_files(fake: &Fake, told: usize, file_count: u64) {
    fake.on(move |_: GetDiffRequest| {
        let file = |at| Change {
            kind: ChangeKind::Added.into(),
            path: format!("f{at}"),
            added_lines: 2,
            ..Change::default()
        };
        Ok(GetDiffResponse {
            base_commit: "0123456789abcdef".to_owned(),
            head_commit: "fedcba9876543210".to_owned(),
            files: (0..told).map(file).collect(),
            file_count,
            truncated: true,
            ..GetDiffResponse::default()
        })
    });
}

#[tokio::test]
async fn files_that_are_not_told_are_counted_and_no_success() {
    let (fake, planctl) = service();
    has_files(&fake, 2, 10_050);
    let answer = planctl.run(&["diff", ID, "--stat"]).await.ended_with(1);
    let expected = " f0 (new) | 2 ++\n f1 (new) | 2 ++\n and 10048 more files\n \
                    10050 files changed; in the 2 above 4 insertions(+), 0 deletions(-)\n";
    assert_eq!(answer.stdout, expected);
    answer.complains(&[
        "planctl: only 2 of 10050 files are listed: ",
        "`git diff --stat 0123456789ab fedcba987654`",
    ]);
    let answer = planctl.run(&["diff", ID, "--stat", "--output", "json"]).await.ended_with(1);
    let json = answer.json();
    assert_eq!((&json["truncated"], &json["file_count"]), (&true.into(), &10_050.into()));
    assert_eq!(json["files"].as_array().unwrap().len(), 2);
    answer.complains(&["{\"warning\":", "\"file_count\":\"10050\"", "TRUNCATED"]);
    // All of them: that the patch, which nobody asked for, has no room is nothing.
    has_files(&fake, 2, 2);
    let json = planctl.json(&["diff", ID, "--stat"]).await;
    assert_eq!((&json["truncated"], &json["file_count"]), (&false.into(), &2.into()));
}

fn git(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{output:?}");
    output
}

#[tokio::test]
async fn binary_files_and_other_encodings_are_applied_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    git(folder.path(), &["init", "--quiet"]);
    fs::write(at("latin-1"), b"th\xe9\n").unwrap();
    fs::write(at("binary"), b"\0one").unwrap();
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "before"]);
    fs::write(at("latin-1"), b"caf\xe9\n").unwrap();
    fs::write(at("binary"), b"\0two\xff").unwrap();
    let patch = git(folder.path(), &["diff", "--binary", "--full-index"]).stdout;
    git(folder.path(), &["checkout", "--quiet", "."]);

    let (fake, planctl) = service();
    let raw_patch = patch.clone();
    fake.on(move |_: GetDiffRequest| {
        let patch = String::from_utf8_lossy(&raw_patch).into_owned();
        Ok(GetDiffResponse { patch, raw_patch: raw_patch.clone(), ..GetDiffResponse::default() })
    });
    let answer = planctl.run(&["diff", ID]).await.ended_with(0);
    assert_eq!(answer.bytes, patch, "{answer:#?}");
    fs::write(at("x.patch"), &answer.bytes).unwrap();
    git(folder.path(), &["apply", "x.patch"]);
    assert_eq!(fs::read(at("latin-1")).unwrap(), b"caf\xe9\n");
    assert_eq!(fs::read(at("binary")).unwrap(), b"\0two\xff");
    // Who looks gets text.
    let answer = planctl.run(&["diff", ID, "--color", "always"]).await.ended_with(0);
    answer.says(&["\u{1b}[32m+caf\u{fffd}\u{1b}[0m\n"]);
    let json = planctl.json(&["diff", ID]).await;
    assert!(json["raw_patch"].as_str().unwrap().len() > patch.len(), "base64: {json}");
}

#[tokio::test]
async fn a_patch_of_other_bytes_that_is_cut_off_tells_how_many_there_are() {
    let (fake, planctl) = service();
    fake.on(|_: GetDiffRequest| {
        let raw_patch = b"diff \xff\n".to_vec();
        let patch = String::from_utf8_lossy(&raw_patch).into_owned();
        Ok(GetDiffResponse { patch, raw_patch, truncated: true, ..GetDiffResponse::default() })
    });
    let answer = planctl.run(&["diff", ID]).await.ended_with(1);
    answer.complains(&["planctl: the patch is cut off after 7 bytes"]);
}

#[tokio::test]
async fn nothing_and_nothing_any_more_are_told_apart() {
    let (fake, planctl) = service();
    has(&fake, "", false);
    let answer = planctl.run(&["diff", ID]).await.ended_with(0);
    assert_eq!(answer.stdout, "");
    answer.complains(&["planctl: the plan changes nothing\n"]);
    fake.on(|_: GetDiffRequest| -> Result<GetDiffResponse, _> {
        Err(refused(Code::FailedPrecondition, reason::DIFF_GONE, &[("plan_id", ID)]))
    });
    planctl
        .run(&["diff", ID])
        .await
        .ended_with(81)
        .complains(&["error: the service says DIFF_GONE"]);
}
