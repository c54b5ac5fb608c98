//! `planctl` against the real service: a plan from its action's file to the
//! merge, and what its exit codes say.

use std::{fs, io::Write as _, path::Path, process::Stdio};

use serde_json::Value;
use service_kit::testing::Answer;

use super::support::{Instance, PLANCTL, Repo, Scene, run};

/// Waits at the gate, then renames a word.
const ACTION: &str = r#"
name = "edit/rename"
description = "renames a word"

[[parameters]]
name = "to"

[[steps]]
name = "wait"
argv = ["sh", "-euc", '. "$GATE/words.sh"; pass wait; echo waited']
env = { GATE = "@GATE@" }

[[steps]]
name = "rename"
argv = ["sed", "-i", "s/project/{{to}}/", "README"]

[[checks]]
name = "renamed"
argv = ["grep", "{{to}}", "README"]
"#;

struct Shell {
    scene: Scene,
    instance: Instance,
    repo: Repo,
}

impl Shell {
    async fn new() -> Self {
        let scene = Scene::on_sqlite("20s").await;
        let instance = scene.instance("only", &[]).await;
        let repo = scene.repo("sample");
        let shell = Self { scene, instance, repo };
        let file = shell.scene.path("rename.toml");
        let gate = shell.scene.gate.path("").display().to_string();
        fs::write(&file, ACTION.replace("@GATE@", gate.trim_end_matches('/'))).unwrap();
        shell.ok(&["action", "create", "-f", file.to_str().unwrap()]).await;
        let path = shell.repo.path().to_str().unwrap();
        shell.ok(&["project", "add", "sample", path]).await;
        shell
    }

    async fn run(&self, args: &[&str]) -> Answer {
        let url = self.instance.url();
        run(PLANCTL, &[&["--addr", &url], args].concat()).await
    }

    async fn ok(&self, args: &[&str]) -> String {
        self.run(args).await.ended_with(0).stdout
    }

    async fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--output", "json"], args].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    async fn plan(&self, to: &str) -> String {
        let to = format!("to={to}");
        let args = ["use", "edit/rename", "--project", "sample", "--arg", &to, "--wait", "-q"];
        self.ok(&args).await.trim().to_owned()
    }
}

fn git_apply_check(repo: &Repo, patch: &str) {
    let mut git = std::process::Command::new("git")
        .args(["apply", "--check", "--verbose", "-"])
        .current_dir(repo.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(patch.as_bytes()).unwrap();
    assert!(git.wait().unwrap().success(), "{patch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_from_its_file_to_the_merge() {
    let shell = Shell::new().await;
    assert!(shell.ok(&["action", "list"]).await.contains("edit/rename"));
    assert!(shell.ok(&["project", "list"]).await.contains("sample"));
    let id = shell.plan("thing").await;
    let execute = ["execute", "--watch", &id];
    let (watched, ()) = futures::join!(shell.run(&execute), async {
        shell.scene.gate.reached("wait").await;
        shell.scene.gate.open("wait");
    });
    let watched = watched.ended_with(0);
    assert!(watched.stdout.contains("waited"), "{watched:?}");
    let diff = shell.ok(&["diff", &id]).await;
    assert!(diff.contains("+a thing"), "{diff}");
    git_apply_check(&shell.repo, &diff);
    let coloured = shell.ok(&["diff", "--color", "always", &id]).await;
    assert!(coloured.contains("\u{1b}[32m+"), "{coloured:?}");
    shell.ok(&["apply", "--watch", &id]).await;
    assert_eq!(fs::read_to_string(shell.repo.path().join("README")).unwrap(), "a thing\n");
    shell.repo.assert_clean();
    let status = shell.json(&["status", &id]).await;
    assert!(status.to_string().contains("PLAN_STATE_APPLIED"), "{status}");
    let list = shell.json(&["list"]).await;
    assert!(list.to_string().contains(&id), "{list}");
    shell.ok(&["changes", &id]).await;
    shell.ok(&["diagnostics", &id]).await;
    let diagnostics = shell.json(&["diagnostics", &id]).await;
    assert!(diagnostics.to_string().contains("stale_plan_locks"), "{diagnostics}");
}

/// What a script can tell apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_exit_codes_say() {
    let shell = Shell::new().await;
    let id = shell.plan("thing").await;
    shell.ok(&["execute", &id]).await;
    shell.scene.gate.reached("wait").await;
    // The plan runs: a second run is told who has it.
    let conflict = shell.run(&["execute", &id]).await.ended_with(75);
    conflict.complains(&[&id]);
    shell.ok(&["cancel", &id, "--reason", "not wanted"]).await;
    let plan = shell.instance.plans().at_rest(&id).await;
    assert_eq!(plan.state(), proto::plan::v1::PlanState::Cancelled);
    shell.run(&["execute", &id]).await.ended_with(81).complains(&["cancelled"]);
    shell.run(&["apply", "00000000-0000-7000-8000-000000000000"]).await.ended_with(3);
    shell.run(&["status", "../x"]).await.ended_with(64);
    shell
        .run(&["use", "edit/rename", "--project", "sample"])
        .await
        .ended_with(64)
        .complains(&["to"]);
    shell.run(&["use", "edit/none", "--project", "sample"]).await.ended_with(3);
    let path = shell.repo.path().to_str().unwrap();
    shell.run(&["project", "add", "sample", path]).await.ended_with(73);
    let parent = shell.repo.path().parent().unwrap().to_str().unwrap();
    shell.run(&["project", "add", "other", parent]).await.ended_with(64).complains(&["git"]);
    let port = service_kit::testing::free_port();
    let nobody = format!("http://127.0.0.1:{port}");
    run(PLANCTL, &["--addr", &nobody, "--timeout", "1s", "list"]).await.ended_with(69);
}

/// An uncommitted change in the way, and a merge that conflicts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_of_a_merge() {
    let shell = Shell::new().await;
    shell.scene.gate.open("wait");
    let id = shell.plan("thing").await;
    shell.ok(&["execute", "--watch", &id]).await;
    let readme = shell.repo.path().join("README");
    fs::write(&readme, "my own\n").unwrap();
    shell.run(&["apply", "--watch", &id]).await.ended_with(81).complains(&["README"]);
    assert_eq!(fs::read_to_string(&readme).unwrap(), "my own\n");
    shell.repo.commit("README", "somebody else's\n");
    let head = shell.repo.head();
    let conflict = shell.run(&["apply", "--watch", &id]).await.ended_with(1);
    let all = format!("{}{}", conflict.stdout, conflict.stderr);
    assert!(all.contains("README") && all.contains("MERGE_CONFLICT"), "{all}");
    assert_eq!(shell.repo.head(), head);
    shell.repo.assert_clean();
    let diagnostics = shell.ok(&["diagnostics", &id]).await;
    assert!(diagnostics.contains("CONSTRAINED"), "{diagnostics}");
    // Back to a new base, where the word is not there any more: nothing changes.
    shell.ok(&["revert", "--watch", &id]).await;
    shell.ok(&["execute", "--watch", &id]).await;
    shell.run(&["apply", "--watch", &id]).await.ended_with(1);
    shell.repo.assert_clean();
}

/// The actions and the sample that people begin with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_work() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let shell = Shell::new().await;
    let sample = shell.scene.path("examples-sample");
    let script = examples.join("new-sample.sh");
    run(script.to_str().unwrap(), &[sample.to_str().unwrap()]).await.ended_with(0);
    shell.ok(&["project", "add", "greet", sample.to_str().unwrap()]).await;
    let build = examples.join("actions/build.toml");
    shell.ok(&["action", "create", "-f", build.to_str().unwrap()]).await;
    let rename = examples.join("actions/rename.toml");
    let text = fs::read_to_string(&rename).unwrap().replace("edit/rename", "edit/words");
    let rename = shell.scene.path("words.toml");
    fs::write(&rename, text).unwrap();
    shell.ok(&["action", "create", "-f", rename.to_str().unwrap()]).await;
    let words = ["--arg", "from=greeting", "--arg", "to=salutation"];
    for args in [&["ci/build"][..], &[&["edit/words"][..], &words].concat()] {
        let args = [&["use"], args, &["--project", "greet", "--wait", "-q"]].concat();
        let id = shell.ok(&args).await.trim().to_owned();
        for phase in ["execute", "apply"] {
            let ended = shell.run(&[phase, "--watch", &id]).await;
            assert_eq!(ended.code, 0, "{args:?}: {ended:#?}");
        }
    }
}
