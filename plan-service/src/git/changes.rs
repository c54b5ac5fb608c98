//! What differs between two commits or trees.

use std::collections::HashMap;

use super::{GitError, Repo};
use crate::domain::{Change, ChangeKind, Oid, RepoPath};

/// One line of `git diff-tree --raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawChange {
    /// Its mode before; empty if it was not there.
    pub(super) old_mode: String,
    /// Its mode now; empty if it is not there.
    pub(super) new_mode: String,
    pub(super) old_oid: String,
    pub(super) new_oid: String,
    /// `A`, `M`, `D`, `R`, `T`.
    status: u8,
    pub(super) path: Vec<u8>,
    old_path: Option<Vec<u8>>,
}

/// Lines that came and went; none of a binary file.
type Counts = HashMap<Vec<u8>, Option<(u64, u64)>>;

impl Repo {
    /// The files that differ from one commit or tree to another, by path.
    /// Renames are found among at most 1,000 files that came and went.
    ///
    /// # Errors
    /// When git fails, or one of them does not exist.
    pub async fn changes(&self, from: &Oid, to: &Oid) -> Result<Vec<Change>, GitError> {
        let stdout = self.raw(from, to, &["--numstat", "-M", "-l1000"]).await?;
        let (raw, counts) = parse(&stdout).ok_or_else(|| self.unreadable("diff-tree"))?;
        Ok(raw.into_iter().map(|raw| change(raw, &counts)).collect())
    }

    /// The same, without a look into the files: a rename is a file that went
    /// and one that came.
    pub(super) async fn raw_changes(
        &self,
        from: &Oid,
        to: &Oid,
    ) -> Result<Vec<RawChange>, GitError> {
        let stdout = self.raw(from, to, &["--no-renames"]).await?;
        parse(&stdout).map(|(raw, _)| raw).ok_or_else(|| self.unreadable("diff-tree"))
    }

    async fn raw(&self, from: &Oid, to: &Oid, options: &[&str]) -> Result<Vec<u8>, GitError> {
        let command = self.command().read_only().args(["diff-tree", "-r", "-z", "--raw"]);
        let command = command.args(options).args(["--ignore-submodules=none", "--no-abbrev"]);
        let command = command.args(["--no-ext-diff", "--no-textconv"]);
        command.args([from.as_str(), to.as_str()]).ok().await
    }

    pub(super) fn unreadable(&self, what: &str) -> GitError {
        self.command().arg(what).failed("it printed what this version cannot read")
    }
}

impl RawChange {
    /// A submodule, before or now.
    pub(super) fn is_submodule(&self) -> bool {
        self.old_mode == "160000" || self.new_mode == "160000"
    }

    /// A submodule where there was none.
    pub(super) fn is_new_submodule(&self) -> bool {
        self.old_mode != "160000" && self.new_mode == "160000"
    }
}

/// First all files (`:MODE MODE OID OID STATUS NUL PATH NUL`, of a rename two
/// paths), then the counts of all files (`CAME TAB WENT TAB PATH NUL`, of a
/// rename an empty path and then two).
fn parse(stdout: &[u8]) -> Option<(Vec<RawChange>, Counts)> {
    let mut parts = stdout.split(|byte| *byte == 0);
    let (mut raw, mut counts) = (Vec::new(), Counts::new());
    while let Some(part) = parts.next() {
        if let Some(head) = part.strip_prefix(b":") {
            let mut fields = str::from_utf8(head).ok()?.split(' ');
            let mode = |text: &str| if text == "000000" { "" } else { text }.to_owned();
            let (old_mode, new_mode) = (mode(fields.next()?), mode(fields.next()?));
            let (old_oid, new_oid) = (fields.next()?.to_owned(), fields.next()?.to_owned());
            let status = *fields.next()?.as_bytes().first()?;
            let first = parts.next()?.to_vec();
            let (path, old_path) = match status {
                b'R' | b'C' => (parts.next()?.to_vec(), Some(first)),
                _ => (first, None),
            };
            raw.push(RawChange { old_mode, new_mode, old_oid, new_oid, status, path, old_path });
        } else if !part.is_empty() {
            let mut fields = part.splitn(3, |byte| *byte == b'\t');
            let mut count = || str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
            let (added, removed) = (count(), count());
            let path = match fields.next()? {
                b"" => {
                    parts.next()?;
                    parts.next()?
                }
                path => path,
            };
            counts.insert(path.to_vec(), added.zip(removed));
        }
    }
    Some((raw, counts))
}

fn change(raw: RawChange, counts: &Counts) -> Change {
    let kind = match raw.status {
        b'A' | b'C' => ChangeKind::Added,
        b'D' => ChangeKind::Deleted,
        b'R' => ChangeKind::Renamed,
        b'T' => ChangeKind::TypeChanged,
        _ if raw.old_oid == raw.new_oid => ChangeKind::ModeChanged,
        _ => ChangeKind::Modified,
    };
    // No line of its own: nothing was counted.
    let count = counts.get(&raw.path).copied().unwrap_or(Some((0, 0)));
    let (added_lines, removed_lines) = count.unwrap_or_default();
    Change {
        kind,
        path: RepoPath(raw.path),
        old_path: raw.old_path.map(RepoPath),
        old_mode: raw.old_mode,
        new_mode: raw.new_mode,
        binary: count.is_none(),
        added_lines,
        removed_lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_diff_is_refused() {
        assert!(parse(b"").is_some_and(|(raw, counts)| raw.is_empty() && counts.is_empty()));
        for wrong in [":100644", ":1 2 3 4", ":1 2 3 4 R100\0a", "1\t2", "1\t2\t\0a"] {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_may_look_like_anything() {
        let text =
            b":100644 100644 aa bb M\x00:1\t2 x\x00:100644 100644 cc cc R100\x001\t2\t3\x00b\x00\
                     1\t2\t:1\t2 x\x00-\t-\t\x001\t2\t3\x00b\x00";
        let (raw, counts) = parse(text).unwrap();
        let paths = raw.iter().map(|raw| raw.path.as_slice()).collect::<Vec<_>>();
        assert_eq!(paths, [b":1\t2 x".as_slice(), b"b"]);
        assert_eq!(raw[1].old_path.as_deref(), Some(b"1\t2\t3".as_slice()));
        assert_eq!(counts[b":1\t2 x".as_slice()], Some((1, 2)));
        assert_eq!(counts[b"b".as_slice()], None);
    }
}
