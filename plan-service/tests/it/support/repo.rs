//! A git project of a test: made by the installed git, with an identity of its
//! own and no configuration of whoever runs the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What keeps git from reading the configuration of a user or a machine.
pub(crate) const NO_CONFIGURATION: [(&str, &str); 2] =
    [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];
const IDENTITY: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "Somebody"),
    ("GIT_AUTHOR_EMAIL", "somebody@example.org"),
    ("GIT_COMMITTER_NAME", "Somebody"),
    ("GIT_COMMITTER_EMAIL", "somebody@example.org"),
];

/// A work tree on branch `main` with one commit.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) name: String,
    path: PathBuf,
}

impl Repo {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        let repo = Self { name: name.to_owned(), path };
        repo.git(&["init", "--quiet", "--initial-branch", "main"]);
        repo.commit("README", "a project\n");
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git here, which must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {}: {told}", output.status);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn try_git(&self, args: &[&str]) -> Output {
        // Looking must not touch the index: the service may be working.
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").args(args).current_dir(&self.path);
        command.envs(NO_CONFIGURATION).envs(IDENTITY).output().unwrap()
    }

    /// Writes a file and commits it.
    pub(crate) fn commit(&self, file: &str, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
        self.git(&["add", "--", file]);
        self.git(&["commit", "--quiet", "-m", &format!("writes {file}")]);
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// All refs with what they point to, those of plans too.
    pub(crate) fn refs(&self) -> String {
        self.git(&["for-each-ref"])
    }

    /// How many merges of a plan are in the history.
    pub(crate) fn merges_of(&self, plan: &str) -> usize {
        let messages = self.git(&["log", "--merges", "--first-parent", "--format=%B%x01", "main"]);
        messages.split('\u{1}').filter(|message| message.contains(&format!("Plan: {plan}"))).count()
    }

    /// How many merges are in the history.
    pub(crate) fn merges(&self) -> usize {
        let count = self.git(&["rev-list", "--merges", "--first-parent", "--count", "main"]);
        count.parse().unwrap()
    }

    /// What is there: refs, HEAD, index, and the work tree with its content. Not
    /// the worktrees, which are each instance's own to remove.
    pub(crate) fn picture(&self) -> String {
        let parts = [
            self.refs(),
            self.head(),
            self.git(&["status", "--porcelain", "-uall"]),
            self.git(&["ls-files", "--stage"]),
            self.git(&["diff", "HEAD"]),
        ];
        parts.join("\n--\n")
    }

    /// Panics unless the work tree and the index are as HEAD is.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let status = self.git(&["status", "--porcelain", "-uall"]);
        assert_eq!(status, "", "{}: the work tree is as HEAD is", self.name);
        let lock = self.path.join(".git/index.lock");
        assert!(!lock.exists(), "{} is left behind", lock.display());
    }

    /// Panics when something of plans is left beside what they merged.
    #[track_caller]
    pub(crate) fn assert_no_traces(&self) {
        let refs = self.git(&["for-each-ref", "--format=%(refname)"]);
        assert_eq!(refs, "refs/heads/main", "{}", self.name);
        let worktrees = self.git(&["worktree", "list", "--porcelain"]);
        let count = worktrees.lines().filter(|line| line.starts_with("worktree ")).count();
        assert_eq!(count, 1, "{worktrees}");
    }
}
