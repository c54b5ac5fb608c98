//! The statements on one resource's row.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, OptionalExtension as _, Transaction, params};

use super::rows::{self, STANDING};
use crate::domain::{Resource, Row, Timestamp};

static READ: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT l.rowid, {STANDING} FROM locks l
         WHERE l.resource_type = ?1 AND l.resource_id = ?2"
    )
});

/// The first grant of a resource.
const INSERT: &str = "
    INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                       renewed_at, expires_at, ttl, reentries, metadata, not_free_before)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?5)";

// An update touches the indexes on the columns that it names, changed or not.

const GRANT: &str = "
    UPDATE locks
    SET owner_id = ?2, fencing_token = ?3, acquired_at = ?4, renewed_at = ?5, expires_at = ?6,
        ttl = ?7, reentries = ?8, metadata = ?9, freed_at = NULL
    WHERE rowid = ?1";

/// A renewal or a re-entry: the hold is the same.
const EXTEND: &str = "
    UPDATE locks SET renewed_at = ?2, expires_at = ?3, ttl = ?4, reentries = ?5, metadata = ?6
    WHERE rowid = ?1";

const FREE: &str = "
    UPDATE locks SET expires_at = NULL, freed_at = ?2, metadata = '{}' WHERE rowid = ?1";

const WAITERS: &str = "UPDATE locks SET waiters = ?2 WHERE rowid = ?1";

/// A resource's row and where it is.
pub(super) struct Found {
    pub(super) at: i64,
    pub(super) row: Row,
}

/// The statements on one row.
pub(super) struct Table<'a> {
    transaction: &'a Transaction<'a>,
    read: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    grant: CachedStatement<'a>,
    extend: CachedStatement<'a>,
    free: CachedStatement<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn of(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            transaction,
            read: transaction.prepare_cached(&READ)?,
            insert: transaction.prepare_cached(INSERT)?,
            grant: transaction.prepare_cached(GRANT)?,
            extend: transaction.prepare_cached(EXTEND)?,
            free: transaction.prepare_cached(FREE)?,
        })
    }

    /// The resource's row and where it is.
    pub(super) fn read(&mut self, resource: &Resource) -> rusqlite::Result<Option<Found>> {
        self.read
            .query_row((resource.kind().as_str(), resource.id()), |row| {
                Ok(Found { at: row.get(0)?, row: rows::standing(row, 1)? })
            })
            .optional()
    }

    pub(super) fn insert(&mut self, resource: &Resource, row: &Row) -> rusqlite::Result<()> {
        self.insert.execute(params![
            resource.kind().as_str(),
            resource.id(),
            row.owner.as_str(),
            row.token.for_table(),
            row.acquired_at.micros(),
            row.renewed_at.micros(),
            row.expires_at.map(Timestamp::micros),
            row.ttl.micros(),
            row.reentries,
            rows::metadata_text(&row.metadata)?,
        ])?;
        Ok(())
    }

    pub(super) fn grant(&mut self, at: i64, row: &Row) -> rusqlite::Result<()> {
        self.grant.execute(params![
            at,
            row.owner.as_str(),
            row.token.for_table(),
            row.acquired_at.micros(),
            row.renewed_at.micros(),
            row.expires_at.map(Timestamp::micros),
            row.ttl.micros(),
            row.reentries,
            rows::metadata_text(&row.metadata)?,
        ])?;
        Ok(())
    }

    pub(super) fn extend(&mut self, at: i64, row: &Row) -> rusqlite::Result<()> {
        self.extend.execute(params![
            at,
            row.renewed_at.micros(),
            row.expires_at.map(Timestamp::micros),
            row.ttl.micros(),
            row.reentries,
            rows::metadata_text(&row.metadata)?,
        ])?;
        Ok(())
    }

    pub(super) fn free(&mut self, at: i64, now: Timestamp) -> rusqlite::Result<()> {
        self.free.execute((at, now.micros()))?;
        Ok(())
    }

    /// Writes down how many wait.
    pub(super) fn set_waiters(&mut self, at: i64, waiters: u64) -> rusqlite::Result<()> {
        let waiters = i64::try_from(waiters).unwrap_or(i64::MAX);
        self.transaction.prepare_cached(WAITERS)?.execute((at, waiters))?;
        Ok(())
    }
}
