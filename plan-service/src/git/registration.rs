//! The files by which git knows a worktree, and putting them back: a step runs
//! in the worktree and may have changed any of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::folder;

/// What stays in a worktree's part of the repository. All else there is state
/// of commands that steps have run: a merge that was not finished, a lock.
const KEPT: [&str; 9] = [
    "HEAD",
    "commondir",
    "gitdir",
    "locked",
    "logs",
    "modules",
    "refs",
    "reftable",
    "config.worktree",
];

/// Our index, of which steps know nothing.
const INDEX: &str = "plan-service-index";

/// Why our worktrees are locked, so that nobody's `git worktree prune` takes
/// one away whose `.git` file a step has deleted.
pub(super) const LOCK_REASON: &str = "plan-service";

/// How git knows a worktree.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    /// The folder with the files; absolute, links resolved.
    pub(super) path: PathBuf,
    /// Its part of the repository: `…/.git/worktrees/NAME`.
    pub(super) git_dir: PathBuf,
    /// What must be there, whatever was done to it.
    files: Vec<(PathBuf, Vec<u8>)>,
    common_dir: PathBuf,
}

impl Registration {
    /// Reads what `git worktree add` has just written.
    pub(super) fn read(path: &Path, common_dir: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt as _;
        let link = path.join(".git");
        let text = fs::read(&link)?;
        let target = text.strip_prefix(b"gitdir: ").and_then(|text| text.strip_suffix(b"\n"));
        let target = target.ok_or_else(|| io::Error::other("its .git file has no gitdir"))?;
        let git_dir = path.join(std::ffi::OsStr::from_bytes(target)).canonicalize()?;
        if git_dir.parent() != Some(&common_dir.join("worktrees")) {
            return Err(io::Error::other("its .git file leads to another repository"));
        }
        let mut files = vec![(link, text)];
        for name in ["commondir", "gitdir", "locked"] {
            files.push((git_dir.join(name), fs::read(git_dir.join(name))?));
        }
        let (path, common_dir) = (path.to_owned(), common_dir.to_owned());
        Ok(Self { path, git_dir, files, common_dir })
    }

    /// Our index of this worktree.
    pub(super) fn index(&self) -> PathBuf {
        self.git_dir.join(INDEX)
    }

    /// Puts back what git needs to work with this worktree.
    pub(super) fn restore(&self) -> io::Result<()> {
        if !fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_dir()) {
            return Err(io::Error::other(format!("there is no folder {:?} any more", self.path)));
        }
        if !self.common_dir.join("objects").is_dir() {
            let gone = format!("the project's repository {:?} has disappeared", self.common_dir);
            return Err(io::Error::other(gone));
        }
        fs::create_dir_all(&self.git_dir)?;
        for (path, content) in &self.files {
            let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
            if !is_file || fs::read(path)? != *content {
                folder::remove(path)?;
                fs::write(path, content)?;
            }
        }
        // Nobody else works with our index: a lock of it was left by a git that
        // was killed.
        folder::remove(&self.git_dir.join(format!("{INDEX}.lock")))?;
        let head = self.git_dir.join("HEAD");
        let valid = |text: Vec<u8>| {
            text.starts_with(b"ref: refs/")
                || (text.len() >= 40 && text.trim_ascii().iter().all(u8::is_ascii_hexdigit))
        };
        let is_file = fs::symlink_metadata(&head).is_ok_and(|found| found.is_file());
        if !is_file || !fs::read(&head).is_ok_and(valid) {
            folder::remove(&head)?;
            // Enough for git to take it for a worktree, and then to set it right.
            fs::write(head, "ref: refs/heads/.invalid\n")?;
        }
        Ok(())
    }

    /// Removes the state of commands that steps have run.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.git_dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != INDEX && !KEPT.iter().any(|kept| name == *kept) {
                folder::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Forgets what is known of the files: all of them are written anew.
    pub(super) fn forget_index(&self) -> io::Result<()> {
        folder::remove(&self.index())
    }

    /// Gives the steps an index like ours.
    pub(super) fn hand_out_index(&self) -> io::Result<()> {
        let copy = self.git_dir.join("plan-service-index-copy");
        fs::copy(self.index(), &copy)?;
        fs::rename(copy, self.git_dir.join("index"))
    }
}
