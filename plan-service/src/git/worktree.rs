//! The folders in which runs work: made, looked at, put back, taken away.
//!
//! A step may do what it likes in its worktree, to HEAD, the index and the
//! `.git` file too. So what a worktree holds is its files: they are read and
//! written with an index of our own, of which the step knows nothing.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    GitError, Repo,
    command::Command,
    folder,
    registration::{LOCK_REASON, Registration},
    retry::Tries,
};
use crate::domain::{Oid, RepoPath};

/// How often a worktree is added or removed again. git's own commands for that
/// read what others of them have half written, and say so in many ways.
const MOST_TRIES: u32 = 10;

/// All files are there, one index holds them all, and nothing is kept beside it.
const SETTINGS: [(&str, &str); 5] = [
    ("core.sparseCheckout", "false"),
    ("core.splitIndex", "false"),
    ("core.untrackedCache", "false"),
    ("index.sparse", "false"),
    ("worktree.useRelativePaths", "false"),
];

/// What a worktree has checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A branch, `refs/heads/…`.
    Branch(String),
    /// A commit, and no branch.
    Detached(Oid),
}

/// A folder of its own with the files of a commit, in which a run works.
#[derive(Debug)]
pub struct Worktree {
    repo: Repo,
    registration: Registration,
    /// The commit that it was last settled on.
    settled: Mutex<Oid>,
}

impl Repo {
    /// Makes a worktree in a folder that is empty or not there. It does not
    /// matter whether another worktree has the branch checked out.
    ///
    /// # Errors
    /// When git fails, or there is no such branch or commit.
    pub async fn add_worktree(&self, path: &Path, at: &Start) -> Result<Worktree, GitError> {
        let command = self.command().args(["worktree", "add"]).config(&SETTINGS);
        let name = match at {
            Start::Branch(branch) => branch.as_str(),
            Start::Detached(commit) => commit.as_str(),
        };
        let Some(commit) = self.resolve(name).await? else {
            return Err(command.failed(format!("there is no {name}")));
        };
        let lost = |error: io::Error| command.failed(format!("{path:?}: {error}"));
        let path = prepare(path).await.map_err(lost)?;
        // Without its files: settling brings them, with an index of ours.
        let command = command.clone().args(["--detach", "--no-checkout", "--lock", "--reason"]);
        let command = command.args([LOCK_REASON, "--"]).arg(&path).arg(commit.as_str());
        self.one_at_a_time(&command, |_| path.is_dir()).await?;
        let (place, common_dir) = (path.clone(), self.common_dir.clone());
        let registration = folder::blocking(move || Registration::read(&place, &common_dir));
        let registration = registration.await.map_err(lost)?;
        let settled = Mutex::new(commit.clone());
        let worktree = Worktree { repo: self.clone(), registration, settled };
        if let Err(error) = worktree.settle(at, &commit).await {
            // What went wrong first is what matters.
            let _ = worktree.remove().await;
            return Err(error);
        }
        Ok(worktree)
    }

    /// Forgets our worktrees whose folders are gone: an instance that died has
    /// left them. Those that people have made are left alone.
    ///
    /// # Errors
    /// When git fails.
    pub async fn prune_worktrees(&self) -> Result<(), GitError> {
        for path in self.our_worktrees().await? {
            self.forget_worktree(&path).await?;
        }
        Ok(())
    }

    /// Forgets our worktrees that stood in this folder, which is gone: whoever
    /// made one was interrupted before it could remove it.
    ///
    /// # Errors
    /// When git fails.
    pub async fn forget_worktrees_in(&self, folder: &Path) -> Result<(), GitError> {
        for path in self.our_worktrees().await? {
            if path.starts_with(folder) {
                self.forget_worktree(&path).await?;
            }
        }
        Ok(())
    }

    async fn our_worktrees(&self) -> Result<Vec<PathBuf>, GitError> {
        let list = self.command().read_only().args(["worktree", "list", "--porcelain", "-z"]);
        Ok(our_worktrees(&self.one_at_a_time(&list, |_| true).await?))
    }

    /// Forgets a worktree if its folder is gone.
    async fn forget_worktree(&self, path: &Path) -> Result<(), GitError> {
        if fs::symlink_metadata(path).is_ok() {
            return Ok(());
        }
        // Another instance may be faster.
        let forgotten = |error: &GitError| error.stderr.contains("is not a working tree");
        let remove = self.command().args(["worktree", "remove", "--force", "--force", "--"]);
        match self.one_at_a_time(&remove.arg(path), |error| !forgotten(error)).await {
            Err(error) if !forgotten(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs a command that changes the list of worktrees, again if it fails,
    /// as long as that makes sense.
    async fn one_at_a_time(
        &self,
        command: &Command,
        sensible: impl Fn(&GitError) -> bool,
    ) -> Result<Vec<u8>, GitError> {
        let _turn = self.worktrees.lock().await;
        let mut tries = Tries::new(&self.git);
        let mut count = 1;
        loop {
            match command.ok().await {
                Err(error) if error.is_lock() => tries.after(error).await?,
                Err(error) if count == MOST_TRIES || !sensible(&error) => return Err(error),
                Err(error) => {
                    if !tries.again().await {
                        return Err(error);
                    }
                }
                done => return done,
            }
            count += 1;
        }
    }
}

impl Worktree {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.registration.path
    }

    /// The tree of everything that is there now and is not ignored. What a step
    /// has committed or staged does not matter, its files do.
    ///
    /// # Errors
    /// When git fails; when a file cannot be read; when there is a git
    /// repository inside that is no submodule: its files would be lost.
    pub async fn snapshot(&self) -> Result<Oid, GitError> {
        self.on_files(Registration::restore).await?;
        self.command().args(["add", "--all"]).ok().await?;
        let tree = self.command().arg("write-tree").oid().await?;
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let changes = self.repo.raw_changes(&settled, &tree).await?;
        let nested = changes.into_iter().filter(|change| change.is_new_submodule());
        let nested = nested.map(|change| change.path).collect::<Vec<_>>();
        if !nested.is_empty() {
            let submodules = self.submodules(&tree).await?;
            if let Some(path) = nested.into_iter().find(|path| !submodules.contains(path)) {
                return Err(self.command().arg("add").failed(format!(
                    "{:?} is a git repository of its own, whose files would not be part of the \
                     commit: remove its .git folder, have git ignore it, or make it a submodule",
                    RepoPath(path).shown()
                )));
            }
        }
        Ok(tree)
    }

    /// Makes the worktree what it is right after it was made from this start,
    /// at this commit, whatever was done to it; but files that git ignores stay.
    ///
    /// # Errors
    /// When git fails, or the folder is gone.
    pub async fn settle(&self, start: &Start, commit: &Oid) -> Result<(), GitError> {
        self.on_files(|registration| registration.restore().and_then(|()| registration.clear()))
            .await?;
        let head = match start {
            Start::Branch(branch) => self.command().args(["symbolic-ref", "HEAD", branch]),
            Start::Detached(_) => {
                self.command().args(["update-ref", "--no-deref", "HEAD", commit.as_str()])
            }
        };
        head.ok_unlocked().await?;
        if self.check_out(commit).await.is_err() {
            // Folders that are read-only, or an index that is broken.
            self.on_files(|registration| {
                folder::make_writable(&registration.path).and(registration.forget_index())
            })
            .await?;
            self.check_out(commit).await?;
        }
        self.on_files(Registration::hand_out_index).await?;
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = commit.clone();
        Ok(())
    }

    /// Removes the folder with all that is in it, and what git knows of it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn remove(self) -> Result<(), GitError> {
        let Registration { path, git_dir, .. } = &self.registration;
        let lost = |error: io::Error| {
            GitError::new(format!("removing the worktree {path:?}"), error.to_string())
        };
        folder::remove_folder(path).await.map_err(lost)?;
        if git_dir.exists() {
            // A step may have made it unknown to git, but for its files.
            let forgotten = self.repo.forget_worktree(path).await;
            tracing::debug!(?path, ?forgotten, "git was told that a worktree is gone");
            folder::remove_folder(git_dir).await.map_err(lost)?;
        }
        Ok(())
    }

    /// A git command on the worktree's files, with our own index.
    fn command(&self) -> Command {
        let Registration { path, git_dir, .. } = &self.registration;
        Command::new(&self.repo.git, path)
            .env("GIT_DIR", git_dir)
            .env("GIT_WORK_TREE", path)
            .env("GIT_INDEX_FILE", self.registration.index())
            .config(&SETTINGS)
    }

    async fn check_out(&self, commit: &Oid) -> Result<(), GitError> {
        let read_tree = self.command().args(["read-tree", "--reset", "-u"]);
        let read_tree = read_tree.args(["--no-recurse-submodules", commit.as_str()]);
        // First the files, among them those that say what is ignored.
        read_tree.ok().await?;
        // Twice forced: repositories inside too.
        self.command().args(["clean", "-ffdq"]).ok().await?;
        // What was seen through a link that was no folder is gone now.
        read_tree.ok().await.map(drop)
    }

    /// The paths of the submodules that a tree has.
    async fn submodules(&self, tree: &Oid) -> Result<Vec<Vec<u8>>, GitError> {
        let blob = format!("{tree}:.gitmodules");
        let command = self.command().args(["config", "--blob", &blob, "-z"]);
        let output = command.args(["--get-regexp", r"^submodule\..*\.path$"]).output().await?;
        // KEY LF VALUE NUL; nothing if there is no such file.
        let value = |entry: &[u8]| {
            let end = entry.iter().position(|byte| *byte == b'\n')?;
            Some(entry[end + 1..].to_vec())
        };
        Ok(output.stdout.split(|byte| *byte == 0).filter_map(value).collect())
    }

    async fn on_files(
        &self,
        work: impl FnOnce(&Registration) -> io::Result<()> + Send + 'static,
    ) -> Result<(), GitError> {
        let registration = self.registration.clone();
        folder::blocking(move || work(&registration)).await.map_err(|error| {
            GitError::new(format!("working with {:?}", self.path()), error.to_string())
        })
    }
}

/// Makes the folder: git then never sees one that is registered and not there.
async fn prepare(path: &Path) -> io::Result<PathBuf> {
    let path = path.to_owned();
    folder::blocking(move || {
        fs::create_dir_all(&path)?;
        if fs::read_dir(&path)?.next().is_some() {
            return Err(io::Error::other("this folder is not empty: give another one"));
        }
        path.canonicalize()
    })
    .await
}

/// Reads `worktree PATH NUL … locked REASON NUL … NUL`, again and again.
fn our_worktrees(list: &[u8]) -> Vec<PathBuf> {
    let (mut ours, mut path) = (Vec::new(), None);
    let reason = [b"locked ", LOCK_REASON.as_bytes()].concat();
    for part in list.split(|byte| *byte == 0) {
        if let Some(next) = part.strip_prefix(b"worktree ") {
            path = Some(PathBuf::from(OsStr::from_bytes(next)));
        } else if part == reason {
            ours.extend(path.take());
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_are_found() {
        let list = b"worktree /p\0HEAD aa\0branch refs/heads/main\0\0\
            worktree /w/1\0HEAD aa\0detached\0locked plan-service\0\0\
            worktree /w/2\0HEAD aa\0detached\0locked a disk that is away\0prunable x\0\0\
            worktree /w/3\nx\0HEAD aa\0detached\0locked plan-service\0prunable x\0\0";
        assert_eq!(our_worktrees(list), [Path::new("/w/1"), Path::new("/w/3\nx")]);
    }
}
