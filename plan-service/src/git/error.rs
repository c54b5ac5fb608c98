//! What went wrong with git, and with a folder that should be a project.

use std::path::PathBuf;

/// A git command failed, could not be started, or took too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} failed{}: {stderr}", exit_in_words(.status))]
pub struct GitError {
    /// Which command, and where: `git add in "/srv/site"`.
    pub what: String,
    /// Its exit code, where it ended by itself.
    pub status: Option<i32>,
    /// The end of what it said, on one line; or why it did not get that far.
    pub stderr: String,
}

fn exit_in_words(status: &Option<i32>) -> String {
    status.map(|code| format!(" (exit code {code})")).unwrap_or_default()
}

/// A folder cannot be a project: why, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The path depends on where one stands.
    #[error("is not an absolute path: write it from / on")]
    NotAbsolute,
    /// There is nothing.
    #[error("does not exist: give the top folder of a git work tree on the service's machine")]
    NotFound,
    /// There is something else.
    #[error("is not a folder: give the top folder of a git work tree")]
    NotAFolder,
    /// The folder is in no repository.
    #[error(
        "is not a git repository: make it one (git init, git add, git commit), or give the folder \
         of one"
    )]
    NotARepository,
    /// The repository has no work tree.
    #[error("is a bare git repository, without files to work on: give a clone with a work tree")]
    Bare,
    /// The folder is inside of a work tree.
    #[error("is inside of a git work tree, not its top: give {}", .top.display())]
    NotTheTop {
        /// The top.
        top: PathBuf,
    },
    /// There is nothing to start from.
    #[error("has no commit yet: make one (git commit), a plan needs one to start from")]
    NoCommit,
    /// A ref has the name of a folder of refs that plans need.
    #[error("{}", in_the_way(.name))]
    RefInTheWay {
        /// Its full name.
        name: String,
    },
    /// git does not work in folders of other users.
    #[error(
        "belongs to another user, and git does not trust it: as the user who runs this service, \
         run git config --global --add safe.directory PATH with this path"
    )]
    NotOurs,
    /// Something else.
    #[error("git does not work there: {0}")]
    Git(GitError),
}

fn in_the_way(name: &str) -> String {
    match name.strip_prefix("refs/heads/") {
        Some(branch) => format!(
            "has a branch named {branch}, and no branch {branch}/ID of a plan can be made beside \
             it: rename it (git branch -m {branch} NEW-NAME)"
        ),
        None => format!(
            "has a ref named {name}, where this service keeps refs of its own: delete it (git \
             update-ref -d {name})"
        ),
    }
}

impl GitError {
    /// Something that is not git's own word.
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), status: None, stderr: why.into() }
    }

    /// Another process has a lock file of git's.
    pub(super) fn is_lock(&self) -> bool {
        (self.stderr.contains(".lock") && self.stderr.contains("File exists"))
            || self.stderr.contains("could not lock config file")
    }

    /// The lock has not gone away.
    pub(super) fn still_locked(mut self) -> Self {
        self.stderr.push_str(
            "; another git process works in this repository: try again when it has ended; if none \
             runs, one was killed: remove the .lock file that it has left",
        );
        self
    }
}
