//! What a step has changed.

use super::{ChangesetId, Moment, Oid, PlanId};

/// A path from the top of a project, in bytes: git's, with `/` between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(pub Vec<u8>);

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What became of it.
    pub kind: ChangeKind,
    /// Where it is, or was if it is deleted.
    pub path: RepoPath,
    /// Where it was before, of a rename.
    pub old_path: Option<RepoPath>,
    /// Its mode before, as git writes it (`100644`); empty if it was not there.
    pub old_mode: String,
    /// Its mode now; empty if it is not there.
    pub new_mode: String,
    /// Whether git takes it for binary: then no lines are counted.
    pub binary: bool,
    /// Lines that came.
    pub added_lines: u64,
    /// Lines that went.
    pub removed_lines: u64,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content is another.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path, and the same or nearly the same content.
    Renamed,
    /// Only its mode is another.
    ModeChanged,
    /// It was a file and is a link, or the other way round.
    TypeChanged,
}

/// The recorded changes of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changeset {
    /// Its id.
    pub id: ChangesetId,
    /// Whose.
    pub plan: PlanId,
    /// Of which step.
    pub step: String,
    /// The commit that holds it; none while it is recorded.
    pub commit: Option<Oid>,
    /// When it was started.
    pub created_at: Moment,
    /// The first of its changes, in the order in which they were recorded.
    pub changes: Vec<Change>,
    /// How many there are.
    pub change_count: u64,
}

/// What a plan changes, from where it began to where its branch is, or was when
/// it was merged.
#[derive(Debug, Clone)]
pub struct Diff {
    /// What git prints, perhaps cut off.
    pub patch: Vec<u8>,
    /// It is cut off.
    pub truncated: bool,
    /// From here.
    pub base: Oid,
    /// To there.
    pub head: Oid,
    /// The first of the files.
    pub files: Vec<Change>,
    /// How many there are.
    pub file_count: u64,
}

impl RepoPath {
    /// The path for people and messages: UTF-8 as it is, other bytes and
    /// control characters as `\ooo`, a backslash doubled.
    pub fn shown(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    c if c.is_control() => {
                        let mut bytes = [0; 4];
                        for byte in c.encode_utf8(&mut bytes).bytes() {
                            text.push_str(&format!("\\{byte:03o}"));
                        }
                    }
                    c => text.push(c),
                }
            }
            for byte in chunk.invalid() {
                text.push_str(&format!("\\{byte:03o}"));
            }
        }
        text
    }

    /// The bytes, where they are not what is shown.
    pub fn beside(self, shown: &str) -> Option<Vec<u8>> {
        (self.0 != shown.as_bytes()).then_some(self.0)
    }
}

impl ChangeKind {
    /// As it stands in the contract and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Renamed => "RENAMED",
            Self::ModeChanged => "MODE_CHANGED",
            Self::TypeChanged => "TYPE_CHANGED",
        }
    }

    /// The kind that is called so.
    pub fn parse(text: &str) -> Option<Self> {
        use ChangeKind::{Added, Deleted, ModeChanged, Modified, Renamed, TypeChanged};
        [Added, Modified, Deleted, Renamed, ModeChanged, TypeChanged]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_loss() {
        let shown = |bytes: &[u8]| RepoPath(bytes.to_vec()).shown();
        assert_eq!(shown("src/ä b.rs".as_bytes()), "src/ä b.rs");
        assert_eq!(shown(b"a\xff\nb\\c"), "a\\377\\012b\\\\c");
    }
}
