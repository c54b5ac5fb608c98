//! Folders that steps have worked in, and what they may have left there.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Removes a folder with all that is in it, read-only folders too. Links are
/// removed and not followed. A folder that is not there is fine.
///
/// # Errors
/// When something in it cannot be removed.
pub async fn remove_folder(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || remove(&path)).await
}

/// Runs what waits for a disk where waiting is fine.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(io::Error::other(ended)),
    }
}

/// Removes whatever is at a path.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    let result = match removed(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            removed(path)
        }
        result => result,
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes all folders from here on such that their owner may change them.
pub(super) fn make_writable(path: &Path) -> io::Result<()> {
    let mut folders = vec![PathBuf::from(path)];
    while let Some(folder) = folders.pop() {
        let mode = match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => found.permissions().mode(),
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, Permissions::from_mode(mode | 0o700))?;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// `a` and `a/b` of `a/b/c`.
pub(super) fn folders_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

/// All files in a folder and in those inside, by their paths from the root.
pub(super) fn files_below(root: &Path, folder: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_vec()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(OsStr::from_bytes(&folder)))? {
            let entry = entry?;
            let path = [&folder, b"/".as_slice(), entry.file_name().as_bytes()].concat();
            if entry.file_type()?.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    Ok(files)
}

/// Whether a path is one of these, or a folder above one, or below one.
pub(super) fn clashes(path: &[u8], touched: &BTreeSet<Vec<u8>>) -> bool {
    let below = [path, b"/"].concat();
    touched.contains(path)
        || folders_above(path).any(|folder| touched.contains(folder))
        || touched.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_of_one_name_clash() {
        let touched = BTreeSet::from([b"a/b".to_vec(), b"c".to_vec(), b"d-e".to_vec()]);
        for path in ["a/b", "a", "a/b/c", "c", "c/d/e"] {
            assert!(clashes(path.as_bytes(), &touched), "{path}");
        }
        for path in ["a/c", "a/bc", "d", "cc", "b"] {
            assert!(!clashes(path.as_bytes(), &touched), "{path}");
        }
    }
}
