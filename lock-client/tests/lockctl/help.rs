//! Help, completions, and colours.

use super::support::{Lockctl, server};

fn nowhere() -> Lockctl {
    Lockctl::at("http://127.0.0.1:1")
}

#[tokio::test]
async fn help_explains_commands_examples_and_exit_codes() {
    for arguments in [&["--help"][..], &["help"], &["-h"]] {
        nowhere().run(arguments).await.ended_with(0).says(&[
            "acquire",
            "renew",
            "release",
            "release-all",
            "get",
            "list",
            "stale",
            "purge",
            "force-release",
            "events",
            "watch",
            "run",
            "diagnostics",
            "completions",
            "Examples:",
            "Exit codes:",
            "LOCKCTL_ADDR",
            "128+N",
        ]);
    }
    let run = nowhere().run(&["run", "--help"]).await.ended_with(0);
    run.says(&["LOCK_FENCING_TOKEN", "TERM", "KILL", "process group", "lockctl renew --ttl"]);
    let run = nowhere().run(&["run", "--help"]).await.ended_with(0);
    run.says(&["--wait <SPAN>", "waits in line", "how many wait"]);
    let watch = nowhere().run(&["watch", "--help"]).await.ended_with(0);
    watch.says(&["--renewals", "--prefix", "INTERRUPTED", "Ctrl-C"]);
    let renew = nowhere().run(&["renew", "--help"]).await.ended_with(0);
    renew.says(&["lockctl run", "never make a lease shorter"]);
    let force_release = nowhere().run(&["force-release", "--help"]).await.ended_with(0);
    force_release.says(&["--token <TOKEN> --reason <TEXT> <TYPE/ID>", "--yes", "lockctl events"]);
}

#[tokio::test]
async fn the_version_is_told() {
    nowhere()
        .run(&["--version"])
        .await
        .ended_with(0)
        .says(&["lockctl ", env!("CARGO_PKG_VERSION")]);
}

#[tokio::test]
async fn each_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = nowhere().run(&["completions", shell]).await.ended_with(0);
        script.says(&["lockctl", "release-all", "older-than", "force-release", "since"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_coloured_where_nobody_looks() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/1"]).await;
    let list = lockctl.run_with(&["list"], &[("TERM", "xterm-256color")]).await.ended_with(0);
    assert!(!list.stdout.contains('\u{1b}'), "{list:#?}");
    server.stop().await;
}
