//! Bringing the project's work tree to a commit that its branch has moved to,
//! and putting right what a run that was killed has left half of.
//!
//! git writes the files one after the other and the index at the end. So that a
//! git which is killed in between leaves nothing that nobody understands:
//!
//! - it works on a copy of the index, which takes the index's place when all
//!   files are there. Until then the index says what it said before;
//! - meanwhile the index is locked as git locks it, with a mark in the lock file
//!   by which a later run knows that it is ours. Only one run has the project's
//!   lock, so whose mark it is, is gone;
//! - a file that the dead git has begun is one of these: as before, as it is to
//!   be, missing, or the beginning of either. Such a file is written anew.
//!   Anything else is somebody's, and is kept.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use super::{
    GitCommand, GitError, Repo,
    changes::RawChange,
    folder::{self, clashes, files_below, folders_above},
};
use crate::domain::{Oid, RepoPath};

/// Brings the work tree from the commit `$1` to `$2` by the git `$0`; or, with a
/// file `$3` of index entries, just their paths to `$2`, whatever they are: the
/// entries make paths known that are in neither the index nor the commit, and so
/// are to go. First the index learns which files were only touched: read-tree
/// does not look into them. While somebody else's git has the index, wait for a
/// moment.
const SYNC: &str = r#"
index=$GIT_DIR/index lock=$GIT_DIR/index.lock own=$GIT_DIR/plan-service-index
mark='plan-service brings the work tree up to date'
tries=0
until (set -C && echo "$mark" >"$lock") 2>/dev/null; do
    [ "$(head -c ${#mark} "$lock" 2>/dev/null | tr -d '\0')" = "$mark" ] && break
    tries=$((tries + 1))
    if [ "$tries" -ge 10 ]; then
        echo "another git has $lock; if none runs, one was killed: remove that file" >&2
        exit 75
    fi
    sleep 1
done
trap 'rm -f "$own" "$own.lock" "$own.paths" "$lock"' EXIT
trap 'exit 143' TERM INT
rm -f "$own" "$own.lock" "$own.paths"
[ ! -e "$index" ] || cp "$index" "$own" || exit
GIT_INDEX_FILE=$own
export GIT_INDEX_FILE
"$0" update-index -q --refresh >/dev/null 2>&1
if [ -n "$3" ]; then
    sed -z 's/^[^\t]*\t//' "$3" >"$own.paths" &&
        "$0" update-index -z --add --replace --index-info <"$3" &&
        "$0" --literal-pathspecs checkout -q --no-overlay --no-recurse-submodules \
            --pathspec-from-file="$own.paths" --pathspec-file-nul "$2"
else
    "$0" read-tree -m -u --no-recurse-submodules "$1" "$2"
fi || exit
"$0" update-index -q --refresh >/dev/null 2>&1
mv -f "$own" "$index"
"#;

/// What there is to put right in a work tree.
#[derive(Debug)]
pub struct Repair {
    /// Files that differ between the two commits and hold neither, nor the
    /// beginning of either: somebody's.
    pub kept: Vec<RepoPath>,
    /// The others, as [`Repo::repair_work_tree`] takes them from a file: index
    /// entries, each with a NUL behind it. Empty if there are none.
    pub paths: Vec<u8>,
}

impl Repo {
    /// What brings the project's work tree and index from one commit to the
    /// other, after its branch has moved there: `git read-tree -m -u`. It keeps
    /// what people have changed elsewhere, and changes nothing if they have
    /// changed something where it would write. It may be run again once it has
    /// come to its end; for one that has not, see [`Self::look_for_repairs`].
    ///
    /// To be run by somebody who can end it.
    pub fn sync_work_tree(&self, from: &Oid, to: &Oid) -> GitCommand {
        self.sync([from.as_str().as_ref(), to.as_str().as_ref(), OsStr::new("")])
    }

    /// What writes these paths, from [`Self::look_for_repairs`], as they are in a
    /// commit, whatever they are now.
    ///
    /// To be run by somebody who can end it.
    pub fn repair_work_tree(&self, to: &Oid, paths: &Path) -> GitCommand {
        self.sync([OsStr::new(""), to.as_str().as_ref(), paths.as_os_str()])
    }

    fn sync(&self, args: [&OsStr; 3]) -> GitCommand {
        let git = self.git.program.as_os_str();
        let argv = ["sh", "-c", SYNC].map(OsStr::new).into_iter().chain([git]).chain(args);
        self.command().for_others(argv.map(OsStr::to_owned).collect())
    }

    /// Which files a sync between these two commits that was killed may have left
    /// half written, for them to be as in `target`, which is one of the two.
    ///
    /// # Errors
    /// When git fails, or a file cannot be read.
    pub async fn look_for_repairs(
        &self,
        from: &Oid,
        to: &Oid,
        target: &Oid,
    ) -> Result<Repair, GitError> {
        let changes = self.raw_changes(from, to).await?;
        let mut found = HashMap::new();
        for change in &changes {
            found.insert(change.path.as_slice(), self.whose(change).await?);
        }
        let is_gone = |change: &&RawChange| {
            let mode = if target == from { &change.old_mode } else { &change.new_mode };
            mode.is_empty()
        };
        let (gone, there) = changes.iter().partition::<Vec<_>, _>(is_gone);
        let places = there.iter().map(|change| change.path.clone()).collect();
        let mut repair = Repair { kept: Vec::new(), paths: Vec::new() };
        for change in &changes {
            if !is_ours(&found, &change.path) {
                repair.kept.push(RepoPath(change.path.clone()));
            }
        }
        // A file takes the place of all that is below it, and a folder of a file.
        let gone = gone.into_iter().filter(|change| !clashes(&change.path, &places));
        for change in there.iter().copied().chain(gone) {
            if is_ours(&found, &change.path) {
                repair.paths.extend(entry(change));
            }
        }
        Ok(repair)
    }

    /// Whether a file may be what a git that was killed has left.
    async fn whose(&self, change: &RawChange) -> Result<Whose, GitError> {
        let (root, path) = (self.root.clone(), change.path.clone());
        let there = folder::blocking(move || there(&root, &path)).await.map_err(|error| {
            GitError::new(format!("looking at {:?}", self.root), error.to_string())
        })?;
        let content = match there {
            There::Nothing => return Ok(Whose::Ours),
            There::Other => return Ok(Whose::Somebodys),
            There::Others(others) => return Ok(Whose::OursIf(others)),
            There::File(content) => content,
        };
        for (mode, oid) in
            [(&change.new_mode, &change.new_oid), (&change.old_mode, &change.old_oid)]
        {
            if is_file(mode) && self.begins_with(&change.path, oid, &content).await? {
                return Ok(Whose::Ours);
            }
        }
        Ok(Whose::Somebodys)
    }

    /// Whether the work tree's file of a blob has this beginning.
    async fn begins_with(
        &self,
        path: &[u8],
        oid: &str,
        beginning: &[u8],
    ) -> Result<bool, GitError> {
        let mut named = OsString::from("--path=");
        named.push(OsStr::from_bytes(path));
        let command = self.command().read_only().args(["cat-file", "--filters"]);
        let command = command.arg(named).arg(oid);
        let output = command.first(beginning.len()).await?;
        if !output.cut && !output.status.success() {
            return Err(command.error(&output));
        }
        Ok(output.stdout == beginning)
    }
}

/// Who has written what is at a place.
enum Whose {
    Ours,
    Somebodys,
    /// There is a folder where a file was or is to be, or the other way round:
    /// it is ours if all of these are.
    OursIf(Vec<Vec<u8>>),
}

fn is_ours(found: &HashMap<&[u8], Whose>, path: &[u8]) -> bool {
    match found.get(path) {
        Some(Whose::Ours) => true,
        Some(Whose::OursIf(others)) => {
            others.iter().all(|other| matches!(found.get(other.as_slice()), Some(Whose::Ours)))
        }
        Some(Whose::Somebodys) | None => false,
    }
}

/// What is at a place on the disk.
enum There {
    Nothing,
    /// A file, or a link with where it leads.
    File(Vec<u8>),
    /// The files in the folder that is there, or the one that is above it.
    Others(Vec<Vec<u8>>),
    Other,
}

fn there(root: &Path, path: &[u8]) -> io::Result<There> {
    let on_disk = |path: &[u8]| root.join(OsStr::from_bytes(path));
    let found = |path: &[u8]| match fs::symlink_metadata(on_disk(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    };
    for folder in folders_above(path) {
        match found(folder)? {
            Some(found) if found.is_dir() => {}
            Some(_) => return Ok(There::Others(vec![folder.to_vec()])),
            None => return Ok(There::Nothing),
        }
    }
    let place = on_disk(path);
    Ok(match found(path)? {
        None => There::Nothing,
        Some(found) if found.is_symlink() => {
            There::File(fs::read_link(place)?.into_os_string().into_vec())
        }
        Some(found) if found.is_file() => There::File(fs::read(place)?),
        Some(found) if found.is_dir() => There::Others(files_below(root, path)?),
        Some(_) => There::Other,
    })
}

/// A file or a link, by its mode: no submodule, and not absent.
fn is_file(mode: &str) -> bool {
    mode.starts_with("100") || mode == "120000"
}

/// What `git update-index --index-info` reads.
fn entry(change: &RawChange) -> Vec<u8> {
    let (mode, oid) = if change.new_mode.is_empty() {
        (&change.old_mode, &change.old_oid)
    } else {
        (&change.new_mode, &change.new_oid)
    };
    [format!("{mode} {oid}\t").as_bytes(), &change.path, b"\0"].concat()
}
