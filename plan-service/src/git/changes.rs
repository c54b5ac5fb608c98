//! What differs between two commits or trees.

use std::collections::HashMap;

use super::{GitError, Repo, command::Command};
use crate::domain::{Change, ChangeKind, Oid, RepoPath};

const WITH_LINES: [&str; 3] = ["--numstat", "-M", "-l1000"];

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
type Lines = Option<(u64, u64)>;

impl Repo {
    /// The files that differ from one commit or tree to another, by path.
    /// Renames are found among at most 1,000 files that came and went.
    ///
    /// # Errors
    /// When git fails, or one of them does not exist.
    pub async fn changes(&self, from: &Oid, to: &Oid) -> Result<Vec<Change>, GitError> {
        let stdout = self.diff_tree(from, to, &WITH_LINES).ok().await?;
        let read = Reader::read(&stdout).ok_or_else(|| self.unreadable("diff-tree"))?;
        Ok(read.changes())
    }

    /// The first of these files, and how many there are: of no more is anything
    /// kept.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub async fn first_changes(
        &self,
        from: &Oid,
        to: &Oid,
        most: usize,
    ) -> Result<(Vec<Change>, u64), GitError> {
        let command = self.diff_tree(from, to, &WITH_LINES);
        let (mut reader, mut readable) = (Reader::new(most), true);
        let output =
            command.parts(|part| readable = readable && reader.part(part).is_some()).await?;
        if !output.status.success() {
            return Err(command.error(&output));
        }
        if !readable || !reader.is_whole() {
            return Err(self.unreadable("diff-tree"));
        }
        let count = reader.count;
        Ok((reader.changes(), count))
    }

    /// All files that differ, without a look into them: a rename is a file that
    /// went and one that came.
    pub(super) async fn raw_changes(
        &self,
        from: &Oid,
        to: &Oid,
    ) -> Result<Vec<RawChange>, GitError> {
        let stdout = self.diff_tree(from, to, &["--no-renames"]).ok().await?;
        let read = Reader::read(&stdout).ok_or_else(|| self.unreadable("diff-tree"))?;
        Ok(read.raw)
    }

    fn diff_tree(&self, from: &Oid, to: &Oid, options: &[&str]) -> Command {
        let command = self.command().read_only().args(["diff-tree", "-r", "-z", "--raw"]);
        let command = command.args(options).args(["--ignore-submodules=none", "--no-abbrev"]);
        let command = command.args(["--no-ext-diff", "--no-textconv"]);
        command.args([from.as_str(), to.as_str()])
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

/// Reads what `git diff-tree --raw --numstat -z` prints, part by part: first all
/// files (`:MODE MODE OID OID STATUS NUL PATH NUL`, of a rename two paths), then
/// the counts of all files (`CAME TAB WENT TAB PATH NUL`, of a rename an empty
/// path and then two).
struct Reader {
    /// How many files are kept.
    most: usize,
    /// How many there are.
    count: u64,
    raw: Vec<RawChange>,
    /// By the paths of the files that are kept.
    lines: HashMap<Vec<u8>, Lines>,
    next: Next,
}

/// What the next part is.
enum Next {
    /// The beginning of something.
    Anything,
    /// The first path of a file.
    Path(RawChange),
    /// The second path of a file.
    NewPath(RawChange),
    /// The old path of a rename whose lines these are, then the new one.
    OldPathOf(Lines),
    NewPathOf(Lines),
}

impl Reader {
    fn new(most: usize) -> Self {
        Self { most, count: 0, raw: Vec::new(), lines: HashMap::new(), next: Next::Anything }
    }

    /// All of it.
    fn read(stdout: &[u8]) -> Option<Self> {
        let mut reader = Self::new(usize::MAX);
        // The last part ends with a NUL, too.
        for part in stdout.strip_suffix(b"\0").unwrap_or(stdout).split(|byte| *byte == 0) {
            reader.part(part)?;
        }
        reader.is_whole().then_some(reader)
    }

    fn is_whole(&self) -> bool {
        matches!(self.next, Next::Anything)
    }

    /// None when it is nothing that git prints.
    fn part(&mut self, part: &[u8]) -> Option<()> {
        self.next = match std::mem::replace(&mut self.next, Next::Anything) {
            Next::Anything if part.is_empty() => Next::Anything,
            Next::Anything => match part.strip_prefix(b":") {
                Some(head) => Next::Path(file(head)?),
                None => self.counted(part)?,
            },
            Next::Path(raw) if matches!(raw.status, b'R' | b'C') => {
                Next::NewPath(RawChange { old_path: Some(part.to_vec()), ..raw })
            }
            Next::Path(raw) | Next::NewPath(raw) => {
                self.keep(RawChange { path: part.to_vec(), ..raw });
                Next::Anything
            }
            Next::OldPathOf(lines) => Next::NewPathOf(lines),
            Next::NewPathOf(lines) => {
                self.note(part, lines);
                Next::Anything
            }
        };
        Some(())
    }

    fn counted(&mut self, part: &[u8]) -> Option<Next> {
        let mut fields = part.splitn(3, |byte| *byte == b'\t');
        let mut count = || str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
        let (added, removed) = (count(), count());
        let lines = added.zip(removed);
        match fields.next()? {
            b"" => Some(Next::OldPathOf(lines)),
            path => {
                self.note(path, lines);
                Some(Next::Anything)
            }
        }
    }

    fn keep(&mut self, raw: RawChange) {
        self.count += 1;
        if self.raw.len() < self.most {
            // Where no line of its own follows, nothing was counted.
            self.lines.insert(raw.path.clone(), Some((0, 0)));
            self.raw.push(raw);
        }
    }

    fn note(&mut self, path: &[u8], lines: Lines) {
        if let Some(noted) = self.lines.get_mut(path) {
            *noted = lines;
        }
    }

    fn changes(self) -> Vec<Change> {
        let Self { raw, lines, .. } = self;
        let lines_of = |raw: &RawChange| lines.get(&raw.path).copied().flatten();
        raw.into_iter().map(|raw| (lines_of(&raw), raw)).map(change).collect()
    }
}

/// `MODE MODE OID OID STATUS`
fn file(head: &[u8]) -> Option<RawChange> {
    let mut fields = str::from_utf8(head).ok()?.split(' ');
    let mode = |text: &str| if text == "000000" { "" } else { text }.to_owned();
    let (old_mode, new_mode) = (mode(fields.next()?), mode(fields.next()?));
    let (old_oid, new_oid) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let status = *fields.next()?.as_bytes().first()?;
    Some(RawChange {
        old_mode,
        new_mode,
        old_oid,
        new_oid,
        status,
        path: Vec::new(),
        old_path: None,
    })
}

fn change((lines, raw): (Lines, RawChange)) -> Change {
    let kind = match raw.status {
        b'A' | b'C' => ChangeKind::Added,
        b'D' => ChangeKind::Deleted,
        b'R' => ChangeKind::Renamed,
        b'T' => ChangeKind::TypeChanged,
        _ if raw.old_oid == raw.new_oid => ChangeKind::ModeChanged,
        _ => ChangeKind::Modified,
    };
    let (added_lines, removed_lines) = lines.unwrap_or_default();
    Change {
        kind,
        path: RepoPath(raw.path),
        old_path: raw.old_path.map(RepoPath),
        old_mode: raw.old_mode,
        new_mode: raw.new_mode,
        binary: lines.is_none(),
        added_lines,
        removed_lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_diff_is_refused() {
        assert!(Reader::read(b"").is_some_and(|read| read.raw.is_empty() && read.count == 0));
        for wrong in [":100644", ":1 2 3 4", ":1 2 3 4 R100\0a", "1\t2", "1\t2\t\0a"] {
            assert!(Reader::read(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_may_look_like_anything() {
        let text =
            b":100644 100644 aa bb M\x00:1\t2 x\x00:100644 100644 cc cc R100\x001\t2\t3\x00b\x00\
                     1\t2\t:1\t2 x\x00-\t-\t\x001\t2\t3\x00b\x00";
        let Reader { raw, lines, .. } = Reader::read(text).unwrap();
        let paths = raw.iter().map(|raw| raw.path.as_slice()).collect::<Vec<_>>();
        assert_eq!(paths, [b":1\t2 x".as_slice(), b"b"]);
        assert_eq!(raw[1].old_path.as_deref(), Some(b"1\t2\t3".as_slice()));
        assert_eq!(lines[b":1\t2 x".as_slice()], Some((1, 2)));
        assert_eq!(lines[b"b".as_slice()], None);
    }

    #[test]
    fn of_what_is_only_counted_nothing_is_kept() {
        let mut reader = Reader::new(2);
        for path in ["a", "b", "c", "d"] {
            reader.part(b":100644 100644 aa bb M").unwrap();
            reader.part(path.as_bytes()).unwrap();
        }
        for path in ["a", "b", "c", "d"] {
            reader.part(format!("1\t2\t{path}").as_bytes()).unwrap();
        }
        assert!(reader.is_whole());
        assert_eq!((reader.count, reader.raw.len(), reader.lines.len()), (4, 2, 2));
        let changes = reader.changes();
        assert_eq!((changes[1].path.shown().as_str(), changes[1].added_lines), ("b", 1));
    }
}
