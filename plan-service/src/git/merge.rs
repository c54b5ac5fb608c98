//! Merges and commits that are made without a work tree.

use super::{GitError, Repo, command::Command};
use crate::domain::{Oid, RepoPath};

/// What became of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Both sides fit together.
    Clean {
        /// Both of them.
        tree: Oid,
    },
    /// They do not.
    Conflict {
        /// The files that both have changed in ways that do not fit together.
        files: Vec<RepoPath>,
    },
}

impl Repo {
    /// Merges two commits on the base that their history gives; no ref and no
    /// file changes.
    ///
    /// # Errors
    /// When git fails, or they have no history in common.
    pub async fn merge_trees(&self, ours: &Oid, theirs: &Oid) -> Result<Merged, GitError> {
        let command = self.command().args(["merge-tree", "--write-tree", "-z", "--name-only"]);
        let command = command.args(["--no-messages", ours.as_str(), theirs.as_str()]);
        let output = command.output().await?;
        let mut parts = output.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let tree = parts.next().unwrap_or_default();
        match output.status.code() {
            Some(0) => Ok(Merged::Clean { tree: command.oid_of(tree)? }),
            Some(1) => {
                let mut files = parts.map(|path| RepoPath(path.to_vec())).collect::<Vec<_>>();
                files.sort();
                files.dedup();
                Ok(Merged::Conflict { files })
            }
            _ => Err(command.error(&output)),
        }
    }

    /// Makes a commit; no ref changes.
    ///
    /// # Errors
    /// When git fails.
    pub async fn commit_tree(
        &self,
        tree: &Oid,
        parents: &[&Oid],
        message: &str,
    ) -> Result<Oid, GitError> {
        let command = self.command().args(["commit-tree", tree.as_str(), "--no-gpg-sign"]);
        let command = parents
            .iter()
            .fold(command, |command: Command, parent| command.arg("-p").arg(parent.as_str()));
        command.args(["-F", "-"]).stdin(message).oid().await
    }
}
