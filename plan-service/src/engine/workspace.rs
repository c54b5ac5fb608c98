//! The folders that runs of this instance work in. A folder's name has the plan
//! and the token of its lock, so no two runs ever share one.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::domain::Fence;

/// The part of the data folder that runs work in.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    worktrees: PathBuf,
}

impl Workspace {
    pub(super) fn new(data_dir: &Path) -> Self {
        let worktrees = data_dir.join("worktrees");
        // As git knows it: the folder may be a link to a larger disk.
        let resolved = worktrees.canonicalize();
        Self { worktrees: resolved.unwrap_or(worktrees) }
    }

    /// Where the worktrees of a run stand.
    pub(super) fn of(&self, fence: Fence) -> PathBuf {
        self.worktrees.join(format!("{}.{}", fence.plan, fence.token))
    }

    /// Where one worktree of a run stands. git names a worktree by the last part of
    /// its path and gives a name again once it is free; so that it never is, that
    /// part has the plan and the token, too.
    pub(super) fn worktree(&self, fence: Fence, what: &str) -> PathBuf {
        self.of(fence).join(format!("{}.{}-{what}", fence.plan, fence.token))
    }

    /// Makes the folder of a run.
    pub(super) async fn create(&self, fence: Fence) -> io::Result<PathBuf> {
        let folder = self.of(fence);
        tokio::fs::create_dir_all(&folder).await?;
        Ok(folder)
    }

    /// Removes the folder of a run, which is empty by then or nearly so.
    pub(super) async fn remove(&self, fence: Fence) {
        let folder = self.of(fence);
        if let Err(error) = crate::git::remove_folder(&folder).await {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove a run's folder");
        }
    }

    /// What runs have left behind that are gone: everything, before the first
    /// run of this process.
    pub(super) async fn abandoned(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut entries = match tokio::fs::read_dir(&self.worktrees).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        while let Some(entry) = entries.next_entry().await? {
            found.push(entry.path());
        }
        Ok(found)
    }
}
