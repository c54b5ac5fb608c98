//! Looking at a folder that is to be a project.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Git, GitError, OpenError, Repo, command::Command, folder};

impl Git {
    /// Opens the work tree whose top is this folder. Its path is absolute; links
    /// in it are resolved.
    ///
    /// # Errors
    /// When plans cannot work there; says what would be right.
    pub async fn open(&self, path: &Path) -> Result<Repo, OpenError> {
        let repo = self.open_to_look(path).await?;
        match repo.ref_in_the_way().await.map_err(OpenError::Git)? {
            Some(name) => Err(OpenError::RefInTheWay { name }),
            None => Ok(repo),
        }
    }

    /// The same, where nothing is going to be made.
    ///
    /// # Errors
    /// When it is no work tree with a commit.
    pub async fn open_to_look(&self, path: &Path) -> Result<Repo, OpenError> {
        if !path.is_absolute() {
            return Err(OpenError::NotAbsolute);
        }
        let root = resolved(path).await?;
        let asked = |flags: &[&str]| Command::new(self, &root).arg("rev-parse").args(flags);
        match asked(&["--is-bare-repository"]).line().await {
            Ok(answer) if answer == "true" => return Err(OpenError::Bare),
            Ok(_) => {}
            Err(error) => return Err(not_opened(error)),
        }
        let git_dir = asked(&["--absolute-git-dir"]).path().await.map_err(OpenError::Git)?;
        if asked(&["--is-inside-git-dir"]).line().await.map_err(OpenError::Git)? == "true" {
            // Of a work tree's `.git` the top is above.
            let top = git_dir.parent().unwrap_or(&git_dir).to_owned();
            return Err(OpenError::NotTheTop { top });
        }
        let top = asked(&["--show-toplevel"]).path().await.map_err(OpenError::Git)?;
        if resolved(&top).await? != root {
            return Err(OpenError::NotTheTop { top });
        }
        let common_dir = asked(&["--path-format=absolute", "--git-common-dir"]).path().await;
        let common_dir = resolved(&common_dir.map_err(OpenError::Git)?).await?;
        let worktrees = self.serial(&common_dir);
        let repo = Repo { git: self.clone(), root, git_dir, common_dir, worktrees };
        let commit = repo.command().args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
        if !commit.yes().await.map_err(OpenError::Git)? {
            return Err(OpenError::NoCommit);
        }
        Ok(repo)
    }
}

/// The folder behind a path.
async fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    let asked = path.to_owned();
    let found = folder::blocking(move || {
        let path = asked.canonicalize()?;
        let is_folder = path.is_dir();
        Ok((path, is_folder))
    });
    match found.await {
        Ok((path, true)) => Ok(path),
        Ok((_, false)) => Err(OpenError::NotAFolder),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound,
            // Something before the end of the path is no folder.
            io::ErrorKind::NotADirectory => OpenError::NotFound,
            _ => OpenError::Git(GitError::new(format!("looking at {path:?}"), error.to_string())),
        }),
    }
}

fn not_opened(error: GitError) -> OpenError {
    let said = |words: &str| error.stderr.contains(words);
    if said("dubious ownership") || said("owned by someone else") {
        OpenError::NotOurs
    } else if said("not a git repository") {
        OpenError::NotARepository
    } else {
        OpenError::Git(error)
    }
}
