//! What people have in the project's work tree and have not committed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    GitError, Repo,
    changes::RawChange,
    folder::{self, clashes, files_below, folders_above},
    index::{self, TemporaryIndex},
};
use crate::domain::{Oid, RepoPath};

/// The most files that are named.
const MOST_NAMED: usize = 1_000;

impl Repo {
    /// Files with changes that are not committed, in the project's work tree or
    /// its index, and files that git does not know or ignores, where going from
    /// one commit to the other would write or delete: the first 1,000 of them.
    /// None means that [`Self::sync_work_tree`] would succeed now.
    ///
    /// # Errors
    /// When git fails, or would refuse to go there for another reason.
    pub async fn touched_uncommitted(
        &self,
        from: &Oid,
        to: &Oid,
    ) -> Result<Vec<RepoPath>, GitError> {
        let changes = self.raw_changes(from, to).await?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let touched = changes.iter().map(|change| change.path.clone()).collect::<BTreeSet<_>>();
        let ours = TemporaryIndex::copy_of(self).await?;
        // A merge that somebody is in the middle of is in the way as a whole.
        let mut found = ours.unmerged().await?;
        let changed = ours.changed_since(from).await?.into_iter();
        let changed = changed.chain(ours.changed_in_work_tree().await?);
        found.extend(changed.filter(|path| clashes(path, &touched)));
        found.extend(self.in_the_way(changes).await?);
        if found.is_empty() {
            ours.try_sync(from, to).await?;
        }
        Ok(found.into_iter().take(MOST_NAMED).map(RepoPath).collect())
    }

    /// Files that are on the disk where new ones are to be.
    async fn in_the_way(&self, changes: Vec<RawChange>) -> Result<BTreeSet<Vec<u8>>, GitError> {
        let root = self.root.clone();
        let found = folder::blocking(move || Ground::new(&root, &changes).in_the_way(&changes));
        found.await.map_err(|error| {
            GitError::new(format!("looking for files in {:?}", self.root), error.to_string())
        })
    }
}

impl TemporaryIndex<'_> {
    async fn unmerged(&self) -> Result<BTreeSet<Vec<u8>>, GitError> {
        let stdout = self.command().args(["ls-files", "-u", "-z"]).ok().await?;
        // MODE OID STAGE TAB PATH NUL
        let path = |entry: &[u8]| {
            let tab = entry.iter().position(|byte| *byte == b'\t')?;
            Some(entry[tab + 1..].to_vec())
        };
        Ok(stdout.split(|byte| *byte == 0).filter_map(path).collect())
    }

    async fn changed_since(&self, from: &Oid) -> Result<Vec<Vec<u8>>, GitError> {
        let command = self.command().args(["diff-index", "--cached", "-z", "--name-only"]);
        let command = command.args(["--no-renames", "--ignore-submodules=none"]);
        Ok(index::names(&command.arg(from.as_str()).ok().await?))
    }

    /// Asks git whether it would go there.
    async fn try_sync(&self, from: &Oid, to: &Oid) -> Result<(), GitError> {
        let command = self.command().args(["read-tree", "-n", "-m", "-u"]);
        let command = command.args(["--no-recurse-submodules", from.as_str(), to.as_str()]);
        command.ok().await.map(drop)
    }
}

/// What stands on the disk at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Folder,
    File,
}

/// The disk as it is, and what the merge is going to delete.
struct Ground<'a> {
    root: &'a Path,
    deleted: HashSet<&'a [u8]>,
    seen: HashMap<&'a [u8], There>,
}

impl<'a> Ground<'a> {
    fn new(root: &'a Path, changes: &'a [RawChange]) -> Self {
        let deleted = changes.iter().filter(|change| change.new_mode.is_empty());
        let deleted = deleted.map(|change| change.path.as_slice()).collect();
        Self { root, deleted, seen: HashMap::new() }
    }

    fn in_the_way(mut self, changes: &'a [RawChange]) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut found = BTreeSet::new();
        // Of a file that was there before git tells whether it has changed.
        let new = |change: &&RawChange| change.old_mode.is_empty() && !change.new_mode.is_empty();
        for change in changes.iter().filter(new) {
            if found.len() >= MOST_NAMED {
                break;
            }
            self.look_at(change, &mut found)?;
        }
        Ok(found)
    }

    fn look_at(&mut self, new: &'a RawChange, found: &mut BTreeSet<Vec<u8>>) -> io::Result<()> {
        for folder in folders_above(&new.path) {
            match self.there(folder)? {
                There::Folder => {}
                There::Nothing => return Ok(()),
                // It makes room, and git tells whether it has changed.
                There::File if self.deleted.contains(folder) => return Ok(()),
                There::File => {
                    found.insert(folder.to_vec());
                    return Ok(());
                }
            }
        }
        match self.there(&new.path)? {
            There::Nothing => Ok(()),
            There::File => {
                found.insert(new.path.clone());
                Ok(())
            }
            // A submodule is nothing but its folder.
            There::Folder if new.is_submodule() => Ok(()),
            There::Folder => self.look_below(&new.path, found),
        }
    }

    fn there(&mut self, path: &'a [u8]) -> io::Result<There> {
        if let Some(there) = self.seen.get(path) {
            return Ok(*there);
        }
        let there = match fs::symlink_metadata(self.on_disk(path)) {
            Ok(found) if found.is_dir() => There::Folder,
            Ok(_) => There::File,
            Err(error) if error.kind() == io::ErrorKind::NotFound => There::Nothing,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => There::Nothing,
            Err(error) => return Err(error),
        };
        self.seen.insert(path, there);
        Ok(there)
    }

    /// All files in a folder that is to become a file.
    fn look_below(&self, folder: &[u8], found: &mut BTreeSet<Vec<u8>>) -> io::Result<()> {
        let files = files_below(self.root, folder)?;
        found.extend(files.into_iter().filter(|path| !self.deleted.contains(path.as_slice())));
        Ok(())
    }

    fn on_disk(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }
}
