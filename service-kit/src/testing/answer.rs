//! A command that has ended: what it said, and its exit code.

use std::{fmt, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// What a command said, and its exit code.
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// What is on standard output.
    pub bytes: Vec<u8>,
    /// The same as text. What is not UTF-8 is replaced.
    pub stdout: String,
    /// What is on standard error.
    pub stderr: String,
}

impl Answer {
    /// Runs a command to its end, with this on its standard input. Panics when it does not start,
    /// does not end by itself in time, or writes on standard error what is not UTF-8.
    pub async fn of(mut command: Command, stdin: &str, deadline: Duration) -> Self {
        command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let ended = async {
            if let Some(mut input) = child.stdin.take() {
                // It may end without reading.
                let _ = input.write_all(stdin.as_bytes()).await;
            }
            child.wait_with_output().await.expect("wait for the command")
        };
        let output = tokio::time::timeout(deadline, ended).await;
        let output =
            output.unwrap_or_else(|_| panic!("still runs after {deadline:?}: {command:?}"));
        let code = output.status.code();
        Self {
            code: code.unwrap_or_else(|| panic!("{}: {command:?}", output.status)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            bytes: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }

    /// Panics unless all that is on standard output is UTF-8.
    #[track_caller]
    pub fn in_utf8(self) -> Self {
        assert!(self.stdout.as_bytes() == self.bytes, "not UTF-8: {self:#?}");
        self
    }

    /// Panics unless it ended with this code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Panics unless these words are on standard output.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }

    /// Panics unless these words are on standard error.
    #[track_caller]
    pub fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The document on each line of standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:#?}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The error that is the one document on standard error.
    #[track_caller]
    pub fn error(&self) -> Value {
        let mut document: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert!(document["error"]["message"].is_string(), "{self:#?}");
        document["error"].take()
    }

    /// The same, where nothing may be on standard output.
    #[track_caller]
    pub fn only_error(&self) -> Value {
        assert_eq!(self.stdout, "", "{self:#?}");
        self.error()
    }
}

impl fmt::Debug for Answer {
    /// Without the bytes, which are there as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, bytes: _, stdout, stderr } = self;
        let mut told = f.debug_struct("Answer");
        told.field("code", code).field("stdout", stdout).field("stderr", stderr).finish()
    }
}
