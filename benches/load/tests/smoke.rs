//! The built program, end to end: a short run over two targets, and what it says to bad input.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lock-bench");

fn lock_bench(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("start lock-bench")
}

/// The server beside the program under test: built with it when the whole workspace is tested,
/// and here when it is not.
fn lock_server() -> PathBuf {
    let path = Path::new(PROGRAM).with_file_name("lock-server");
    if !path.exists() {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let built = Command::new(env!("CARGO"))
            .args(["build", "-p", "lock-server", "--bin", "lock-server", "--profile", profile])
            .status();
        assert!(built.expect("start cargo").success(), "lock-server cannot be built");
    }
    path
}

#[test]
fn a_short_run_measures_reports_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let (data, out) = (temporary.path().join("data"), temporary.path().join("out"));
    std::fs::create_dir(&data).unwrap();
    let run = Command::new(PROGRAM)
        .args(["run", "--smoke", "--target", "no-store", "--target", "lock-server-sqlite"])
        .arg("--lock-server")
        .arg(lock_server())
        .arg("--out")
        .arg(&out)
        .env("TMPDIR", &data)
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{complained}");
    assert!(said.contains("pairs/s, 64 callers, SQLite, unary"), "{said}");

    let results = std::fs::read_to_string(out.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    let rows = results["rows"].as_array().unwrap();
    for scenario in [
        "pairs",
        "one-caller",
        "contended",
        "renewals",
        "mixed",
        "handoff",
        "handoff-time",
        "open-loop",
        "keep-alive",
        "waiters",
    ] {
        assert!(rows.iter().any(|row| row["scenario"] == scenario), "{scenario}\n{said}");
    }
    for row in rows {
        assert!(row["trouble"].is_null(), "{row:#}");
    }
    for file in ["report.md", "pairs.svg", "latency-p50.svg", "latency-p99.svg"] {
        assert!(out.join(file).metadata().unwrap().len() > 500, "{file}");
    }
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn bad_input_is_refused_before_anything_starts() {
    for (arguments, words) in [
        (vec!["run", "--scenario", "nothing"], "one-caller"),
        (vec!["run", "--seconds", "never"], "such as 3 or 0.5"),
        (vec!["run", "--lock-server", "no-such-file"], "cargo build --release -p lock-server"),
    ] {
        let run = lock_bench(&arguments);
        let complained = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && complained.contains(words), "{complained}");
    }
}

#[test]
fn help_names_the_scenarios_and_hides_the_servers() {
    let help = String::from_utf8(lock_bench(&["run", "--help"]).stdout).unwrap();
    assert!(help.contains("open-loop") && help.contains("--smoke"), "{help}");
    let help = String::from_utf8(lock_bench(&["--help"]).stdout).unwrap();
    assert!(!help.contains("  serve"), "{help}");
}
