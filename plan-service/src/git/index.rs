//! Indexes of our own, for a while: git writes down in them what it learns about
//! the project's files, and the project's own is left to its people.

use std::{fs, io, path::PathBuf};

use uuid::Uuid;

use super::{GitError, Repo, command::Command, folder};

/// A copy of a project's index, in the folder for temporary files.
#[derive(Debug)]
pub(super) struct TemporaryIndex<'a> {
    repo: &'a Repo,
    path: PathBuf,
}

impl<'a> TemporaryIndex<'a> {
    /// The project's index as it is.
    pub(super) async fn copy_of(repo: &'a Repo) -> Result<Self, GitError> {
        let name = format!("plan-service-index-{}", Uuid::now_v7());
        let copy = Self { repo, path: std::env::temp_dir().join(name) };
        let (from, to) = (repo.git_dir.join("index"), copy.path.clone());
        let copied = folder::blocking(move || match fs::copy(from, to) {
            // There is none while nothing was ever added.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            result => result,
        });
        copied.await.map_err(|error| {
            GitError::new(format!("copying the index of {:?}", repo.root), error.to_string())
        })?;
        // It looks into files that were touched, and ends with 1 when some have
        // changed.
        copy.command().args(["update-index", "-q", "--refresh"]).yes().await?;
        Ok(copy)
    }

    pub(super) fn command(&self) -> Command {
        self.repo
            .command()
            .env("GIT_INDEX_FILE", &self.path)
            .config(&[("core.splitIndex", "false")])
    }

    /// Files that are on the disk in another way than in this index.
    pub(super) async fn changed_in_work_tree(&self) -> Result<Vec<Vec<u8>>, GitError> {
        // What is going on inside of submodules does not matter to the merge.
        let command = self.command().args(["diff-files", "-z", "--name-only", "--no-renames"]);
        Ok(names(&command.arg("--ignore-submodules=all").ok().await?))
    }
}

impl Drop for TemporaryIndex<'_> {
    fn drop(&mut self) {
        // What cannot be removed from there is swept up by the system.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads names that end with NUL.
pub(super) fn names(stdout: &[u8]) -> Vec<Vec<u8>> {
    let names = stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}
