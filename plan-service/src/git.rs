//! Everything that is done with git, by the installed `git` command.
//!
//! [`Git`] is the program; [`Repo`] is a project; [`Worktree`] is a folder in
//! which a run works. What each command of ours has in common stands in
//! `git/command.rs`.
//!
//! # Which repository
//!
//! Only [`Git::open`] lets git look for a repository. Every other command names
//! the repository and the work tree, so that git never goes up into another
//! one: not when the project has disappeared, and not when a step has deleted
//! the `.git` file of its worktree.
//!
//! # Other processes
//!
//! People use the same repository at the same time, and so do other instances.
//! git locks each of its files by a file beside it. Where such a lock is in the
//! way, we try again for a bounded time, then say whose lock it is.
//!
//! # Cancel safety
//!
//! Every method may be dropped: git is then asked to end, by SIGTERM, so that
//! it takes its lock files along. Refs have moved all together or not at all.

mod changes;
mod command;
mod error;
mod fence;
mod folder;
mod index;
mod links;
mod merge;
mod open;
mod patch;
mod process;
mod refs;
mod registration;
mod retry;
mod sync;
mod uncommitted;
mod worktree;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use command::Command;

pub use command::GitCommand;
pub use error::{GitError, OpenError};
pub use fence::Raised;
pub use folder::remove_folder;
pub use merge::Merged;
pub use patch::Patch;
pub use refs::{From, Head, Moved, RefMove};
pub use sync::Repair;
pub use worktree::{Start, Worktree};

/// The oldest git that has all that we use (`merge-tree --write-tree`).
const OLDEST: (u32, u32) = (2, 38);

/// How long a command may take, unless somebody says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How long we try again while another process has a lock.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The git program, and how it is run.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    time_limit: Duration,
    lock_wait: Duration,
    /// One for each repository: see [`Repo::worktrees`].
    repos: Arc<Mutex<HashMap<PathBuf, Serial>>>,
}

/// Lets one at a time do something with a repository.
type Serial = Arc<tokio::sync::Mutex<()>>;

/// The top of a work tree, and its repository.
#[derive(Debug, Clone)]
pub struct Repo {
    git: Git,
    /// The top folder, absolute, links resolved.
    root: PathBuf,
    /// This work tree's part of the repository.
    git_dir: PathBuf,
    /// What all work trees of the repository share.
    common_dir: PathBuf,
    /// Worktrees are added and removed one after the other: git's own commands
    /// for that stumble over each other.
    worktrees: Serial,
}

impl Git {
    /// The git at this path, or of this name in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: in_path(program.into()),
            time_limit: TIME_LIMIT,
            lock_wait: LOCK_WAIT,
            repos: Arc::default(),
        }
    }

    /// With another time limit for each command than five minutes.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// With another time than ten seconds, for which a command is tried again
    /// while another process has a lock of the repository.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The version of git.
    ///
    /// # Errors
    /// When it is not there, or too old; says what is needed.
    pub async fn check(&self) -> Result<String, GitError> {
        let command = Command::new(self, Path::new("/")).arg("version");
        let line = command.line().await?;
        let version = line.strip_prefix("git version ").unwrap_or(&line).trim().to_owned();
        match version_number(&version) {
            Some(number) if number >= OLDEST => Ok(version),
            Some(_) => Err(command.failed(format!(
                "this is git {version}, and git {}.{} or newer is needed: install one, or name \
                 another git program",
                OLDEST.0, OLDEST.1
            ))),
            None => Err(command.failed(format!("this is no git: its version reads {line:?}"))),
        }
    }

    fn serial(&self, common_dir: &Path) -> Serial {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(repos.entry(common_dir.to_owned()).or_default())
    }
}

impl Repo {
    /// The top folder: absolute, links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A git command in the project's work tree.
    fn command(&self) -> Command {
        Command::new(&self.git, &self.root)
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.root)
    }
}

/// Where a program of this name is. By its path a program is started without a
/// copy of this process: to have the system look for it takes one.
fn in_path(program: PathBuf) -> PathBuf {
    if program.components().count() != 1 {
        return program;
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(&program));
    found.filter(|path| path.is_absolute()).find(|path| path.is_file()).unwrap_or(program)
}

/// The first two numbers of a version: `2.39` of `2.39.5 (Apple Git-154)`.
fn version_number(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_distributions_write_them() {
        assert_eq!(version_number("2.47.3"), Some((2, 47)));
        assert_eq!(version_number("2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version_number("2.50-rc1"), Some((2, 50)));
        assert_eq!(version_number("3.0"), Some((3, 0)));
        assert_eq!(version_number("none"), None);
    }
}
