//! Locks as rows of a result.

use std::collections::BTreeMap;

use sqlx::{
    Row as _,
    postgres::{PgRow, types::PgInterval},
    types::Json,
};
use time::OffsetDateTime;

use crate::domain::{FencingToken, Lock, Metadata, OwnerId, Resource, Span, Timestamp};

/// The columns that [`lock`] reads, of a table or query that is called `l`.
/// The clock's reading, `now`, comes from the query.
pub(super) const LOCK_COLUMNS: &str = "l.resource_type, l.resource_id, l.owner_id, \
    l.fencing_token, l.acquired_at, l.renewed_at, l.expires_at, l.ttl, l.metadata";

/// The lock in a row that has [`LOCK_COLUMNS`] and `now`.
pub(super) fn lock(row: &PgRow) -> Result<Lock, sqlx::Error> {
    let Json(metadata) = row.try_get::<Json<BTreeMap<String, String>>, _>("metadata")?;
    Ok(Lock {
        resource: Resource::stored(row.try_get("resource_type")?, row.try_get("resource_id")?),
        owner: OwnerId::stored(row.try_get("owner_id")?),
        token: FencingToken::stored(row.try_get("fencing_token")?),
        acquired_at: timestamp(row, "acquired_at")?,
        renewed_at: timestamp(row, "renewed_at")?,
        expires_at: timestamp(row, "expires_at")?,
        ttl: Span::from_micros(row.try_get::<PgInterval, _>("ttl")?.microseconds),
        metadata: Metadata::stored(metadata),
        now: timestamp(row, "now")?,
    })
}

/// A moment.
pub(super) fn timestamp(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Ok(from_database(row.try_get(column)?))
}

/// A moment, or none.
pub(super) fn maybe_timestamp(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<OffsetDateTime>, _>(column)?.map(from_database))
}

fn from_database(moment: OffsetDateTime) -> Timestamp {
    // A date that the database can hold fits: 292,000 years of microseconds.
    let micros = moment.unix_timestamp_nanos() / 1000;
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A span to count back from now, in microseconds: at most a thousand years,
/// which no lock is old. Postgres knows no moment before 4713 BC and would fail.
pub(super) fn ago(span: Span) -> i64 {
    const MOST: i64 = 1_000 * 365 * 24 * 60 * 60 * 1_000_000;
    span.micros().min(MOST)
}

/// A moment as the database takes it.
pub(super) fn to_database(moment: Timestamp) -> OffsetDateTime {
    // Cursors hold moments that came from the database; a forged one that is
    // out of range is as good as the beginning of time.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment.micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
