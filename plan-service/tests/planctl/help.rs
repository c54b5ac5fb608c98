//! Help and completions.

use super::support::Planctl;

fn nowhere() -> Planctl {
    Planctl::at("http://127.0.0.1:1")
}

#[tokio::test]
async fn help_explains_commands_examples_and_exit_codes() {
    for arguments in [&["--help"][..], &["help"], &["-h"]] {
        nowhere().run(arguments).await.ended_with(0).says(&[
            "project",
            "action",
            "use",
            "status",
            "execute",
            "apply",
            "revert",
            "retry",
            "cancel",
            "diff",
            "changes",
            "list",
            "watch",
            "diagnostics",
            "completions",
            "Examples:",
            "Exit codes:",
            "PLANCTL_ADDR",
            "http://127.0.0.1:50052",
            "128+N",
            "[default: 30s]",
        ]);
    }
    for (arguments, words) in [
        (&["action", "create", "--help"][..], &["An action file:", "[[steps]]", "time_limit"][..]),
        (&["execute", "--help"], &["--watch", "Ctrl-C ends planctl with 130", "with 75"]),
        (&["apply", "--help"], &["--wait <SPAN>", "all or nothing", "CONSTRAINED"]),
        (&["status", "--help"], &["-w, --follow", "redrawn in place", "--once"]),
        (&["use", "--help"], &["--arg <KEY=VALUE>", "--id <UUID>", "makes no second plan"]),
        (&["diff", "--help"], &["`planctl diff PLAN |", "--color <WHEN>", "--stat"]),
    ] {
        nowhere().run(arguments).await.ended_with(0).says(words);
    }
}

#[tokio::test]
async fn the_version_is_told() {
    let version = nowhere().run(&["--version"]).await.ended_with(0);
    version.says(&["planctl ", env!("CARGO_PKG_VERSION")]);
}

#[tokio::test]
async fn each_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = nowhere().run(&["completions", shell]).await.ended_with(0);
        script.says(&["planctl", "diagnostics", "namespace", "completions"]);
    }
}
