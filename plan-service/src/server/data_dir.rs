//! This instance's own folder, which nobody else uses while it runs: so whatever
//! is in it at start is known to be abandoned.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// The file whose lock says that the folder is in use.
const LOCK: &str = "lock";
/// Nobody else reads what plans do.
const MODE: u32 = 0o700;

/// The folder, taken. Given back when dropped, also by a crash.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another instance uses it.
    #[error(
        "--data-dir {} is in use by another plan-service{by}: give this one a folder of its own \
         with --data-dir DIR", .path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Which process, where that is known.
        by: String,
    },
    /// It cannot be made or read.
    #[error("--data-dir {} cannot be used", .path.display())]
    Unusable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, DataDirError> {
        Self::make(path)?;
        let failed = |source| DataDirError::Unusable { path: path.to_owned(), source };
        // Programs that run in other folders are told of it.
        let path = path.canonicalize().map_err(failed)?;
        let file = path.join(LOCK);
        let failed = |source| DataDirError::Unusable { path: file.clone(), source };
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&file);
        let open = open.map_err(failed)?;
        let mut lock = match Flock::lock(open, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((open, Errno::EWOULDBLOCK)) => {
                return Err(DataDirError::InUse { path, by: holder(open) });
            }
            Err((_, error)) => return Err(failed(error.into())),
        };
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", process::id()).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// Makes the folder if it is not there.
    pub(super) fn make(path: &Path) -> Result<(), DataDirError> {
        let failed = |source| DataDirError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(failed)
    }

    /// Absolute, links resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Which process has it: it has written so.
fn holder(file: File) -> String {
    let mut text = String::new();
    // Nothing but a hint.
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(process)) => format!(" (process {process})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn is_made_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let taken = DataDir::take(&path).unwrap();
        assert!(taken.path().is_absolute());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn has_one_user_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::take(folder.path()).unwrap();
        let refused = DataDir::take(folder.path()).unwrap_err().to_string();
        for word in ["--data-dir", "in use", &format!("process {}", process::id())] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
        drop(first);
        DataDir::take(folder.path()).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::take(file.path()).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
}
