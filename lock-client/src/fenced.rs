//! Checking the fencing token where it counts: at what the lock protects.
//!
//! # Why
//!
//! A lease runs out while its holder is paused: a long collection of garbage, a
//! machine that sleeps (its monotonic clock, too), a packet that was under way for a minute. Then two
//! parties believe for a moment that they may write, and no care on the
//! holder's side prevents it: between its last [`check`](crate::LockGuard::check)
//! and the moment at which its write arrives, anything may pass. What the lock
//! protects must refuse the late one, and it can: each grant carries a token
//! greater than every one before it, so *whoever has seen a greater token
//! refuses a smaller one*.
//!
//! # How: a column beside the data
//!
//! Keep the greatest token that has written the row in the row, and make it a
//! predicate of **the same statement** as the write:
//!
//! ```sql
//! ALTER TABLE plans ADD COLUMN fencing_token BIGINT NOT NULL DEFAULT 0;
//!
//! UPDATE plans
//!    SET state = $1, fencing_token = $2
//!  WHERE id = $3 AND fencing_token <= $2
//! ```
//!
//! One row changed: [`Outcome::Written`]. None: [`Outcome::Refused`], as long as
//! the row is there, so do not delete rows that are written under a lock: mark
//! them. It is `<=` and not `<`, because one holder writes many times. Reading
//! the token first and writing afterwards is no fence: the other holder writes
//! in between.
//!
//! # How: a table of fences
//!
//! Where one lock protects many rows, or rows that do not exist yet, keep the
//! token in a table of its own and raise it **first, in the same transaction**
//! as the writes. The row that [`RAISE`] locks holds other holders up until the
//! transaction ends; when it changed nothing, roll back. [`CREATE_TABLE`] and
//! [`RAISE`] are understood by Postgres and SQLite.
//!
//! # How: not a database
//!
//! Anything that can compare and write in one step will do: an object store
//! with conditional writes, a device that remembers the greatest token it has
//! been shown. What cannot should be reached only through something that can.
//!
//! `examples/fenced_write.rs` shows a holder that is paused, and its late write
//! with and without the fence.

/// Makes the table that [`RAISE`] works on, unless it is there.
pub const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS fences (
    resource TEXT NOT NULL PRIMARY KEY,
    fencing_token BIGINT NOT NULL
)";

/// Raises the fence of a resource (`$1`, as `type/id`) to a token (`$2`, from
/// [`sql_token`]): changes one row, or none when a greater token was there.
/// The first statement of the transaction that writes.
pub const RAISE: &str = "\
INSERT INTO fences (resource, fencing_token) VALUES ($1, $2)
ON CONFLICT (resource) DO UPDATE SET fencing_token = excluded.fencing_token
 WHERE fences.fencing_token <= excluded.fencing_token";

/// What became of a write that carried its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a write that was refused has not happened"]
pub enum Outcome {
    /// It happened.
    Written,
    /// It did not: somebody with a greater token has written before. The lock
    /// is another's, and the work under it must stop.
    Refused,
}

impl Outcome {
    /// Reads the number of rows that the fenced statement changed.
    pub fn of(rows_affected: u64) -> Self {
        match rows_affected {
            0 => Self::Refused,
            _ => Self::Written,
        }
    }

    /// Whether the write happened.
    pub fn is_written(self) -> bool {
        self == Self::Written
    }
}

/// The token as SQL's `BIGINT`, which is signed.
///
/// The server keeps tokens in one too, so there is none that does not fit. One
/// that is made up and does not fit becomes −1, which every fence refuses.
pub fn sql_token(fencing_token: u64) -> i64 {
    i64::try_from(fencing_token).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_changed_is_a_refusal() {
        assert_eq!(Outcome::of(0), Outcome::Refused);
        assert!(!Outcome::of(0).is_written());
        assert!(Outcome::of(1).is_written());
    }

    #[test]
    fn a_token_that_no_server_made_passes_no_fence() {
        assert_eq!(sql_token(7), 7);
        assert_eq!(sql_token(u64::MAX), -1);
    }
}
