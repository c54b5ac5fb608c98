//! Telling what happens to locks to those who watch: the parts of statements.
//!
//! While somebody watches, what a statement does is written to `lock_changes` by
//! the very statement, while it has the rows' locks. While nobody does, an
//! ordinary statement must cost next to nothing more, and a part that could write
//! costs a tenth although it does not. So each ordinary statement is there twice:
//! for [`Audience::Nobody`], which refuses to do anything while somebody watches,
//! and for [`Audience::Watchers`], which is right at any time.
//!
//! Both look whether somebody watches by the row in `fencing_epoch`, and so have a
//! lock on that table until they are over. Who begins to watch goes by that: see
//! [`super::watch`].

use super::{epoch::Timeline, rows::LOCK_COLUMNS};

/// To whom a statement tells what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// To nobody. While somebody watches, it fails and has done nothing
    /// ([`StoreError::is_watched`](crate::store::StoreError::is_watched)).
    Nobody,
    /// To those who watch, if there are any.
    Watchers,
}

/// Whether somebody watches.
pub(super) const WATCHED: &str =
    "(SELECT e.watched_until > statement_timestamp() FROM fencing_epoch e WHERE e.only_row)";

/// Whether somebody wants to be told of every renewal.
pub(super) const RENEWALS_WATCHED: &str =
    "(SELECT e.renewals_until > statement_timestamp() FROM fencing_epoch e WHERE e.only_row)";

/// Whether it has not been told yet that the hold `l` has run out.
pub(super) const UNTOLD: &str = "l.expiry_told IS DISTINCT FROM l.fencing_token";

/// The rows that a statement has ended, for [`noted`], before what else became of
/// them: that they had run out, where that was not told. With `ended`: whether the
/// lease was live.
pub(super) fn had_run_out(rows: &str) -> (&'static str, &str, String) {
    ("'EXPIRED'", rows, format!("NOT l.ended AND {UNTOLD}"))
}

impl Audience {
    /// The epoch `e`, if it is the one to grant in. Whether somebody watches is
    /// looked at first, whatever the epoch. That there is but one row must be said,
    /// or a plan may be made for many, and begin with the locks.
    pub(super) fn epoch(self, timeline: Timeline) -> String {
        let is_that = timeline.is_that_of_epoch();
        let condition = match self {
            Self::Nobody => refuse_or(&is_that),
            Self::Watchers => is_that,
        };
        format!("(SELECT * FROM fencing_epoch e WHERE e.only_row AND {condition} LIMIT 1) e")
    }

    /// One more condition, for a statement that does not read the epoch.
    pub(super) fn and_not_refused(self) -> String {
        match self {
            Self::Nobody => {
                format!(" AND (SELECT {} FROM fencing_epoch e WHERE e.only_row)", refuse_or("true"))
            }
            Self::Watchers => String::new(),
        }
    }
}

fn refuse_or(otherwise: &str) -> String {
    format!(
        "CASE WHEN e.watched_until > statement_timestamp() THEN lock_watched() ELSE {otherwise} END"
    )
}

/// All of them, for [`noted`].
pub(super) fn all() -> String {
    "true".to_owned()
}

/// Writes changes down: for each part its kind, as an expression, and the rows `l`
/// that it is about, as what stands behind FROM and behind WHERE, with all columns
/// of a lock. They are written in the order of the parts.
pub(super) fn noted<const N: usize>(parts: [(&str, &str, String); N]) -> String {
    let parts = parts.map(|(kind, from, condition)| {
        format!("SELECT {kind}, {LOCK_COLUMNS} FROM {from} WHERE {WATCHED} AND {condition}")
    });
    format!(
        "noted_changes AS (
    INSERT INTO lock_changes (kind, resource_type, resource_id, owner_id, fencing_token,
                              acquired_at, renewed_at, expires_at, ttl, metadata, waiters)
    {}
)",
        parts.join("\n    UNION ALL\n    ")
    )
}
