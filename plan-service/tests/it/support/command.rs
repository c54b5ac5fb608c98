//! The built binaries, run to their end.

use std::process::Stdio;

use tokio::process::Command;

use super::DEADLINE;

/// The service.
pub(crate) const PLAN_SERVICE: &str = env!("CARGO_BIN_EXE_plan-service");
/// Its command line for people.
pub(crate) const PLANCTL: &str = env!("CARGO_BIN_EXE_planctl");

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) async fn run(program: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} still runs after {DEADLINE:?}"));
    let output = output.unwrap();
    Ended {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// Panics unless it ended with this code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Panics unless all of these words are on standard error.
    #[track_caller]
    pub(crate) fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }
}
