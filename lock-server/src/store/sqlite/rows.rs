//! Locks as rows of a result.

use std::collections::BTreeMap;

use sqlx::{Row as _, sqlite::SqliteRow, types::Json};

use crate::{
    domain::{FencingToken, Lock, Metadata, OwnerId, Resource, Row, Span, Timestamp},
    store::StoreError,
};

/// SQLite's clock, in microseconds since 1970. It stands still while one
/// statement runs.
pub(super) const NOW: &str = "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000";

/// The lock in a row of all columns and `now`.
pub(super) fn lock(row: &SqliteRow) -> Result<Lock, StoreError> {
    let standing = standing(row)?;
    Ok(Lock {
        resource: resource(row)?,
        owner: standing.owner,
        token: standing.token,
        acquired_at: standing.acquired_at,
        renewed_at: standing.renewed_at,
        expires_at: standing.expires_at.unwrap_or_default(),
        ttl: standing.ttl,
        metadata: standing.metadata,
        now: Timestamp::from_micros(row.try_get("now")?),
    })
}

/// The resource that a row is about.
pub(super) fn resource(row: &SqliteRow) -> Result<Resource, StoreError> {
    Ok(Resource::stored(row.try_get("resource_type")?, row.try_get("resource_id")?))
}

/// The resource's row, in a row of all columns.
pub(super) fn standing(row: &SqliteRow) -> Result<Row, StoreError> {
    let moment = |column| row.try_get(column).map(Timestamp::from_micros);
    let Json(metadata) = row.try_get::<Json<BTreeMap<String, String>>, _>("metadata")?;
    Ok(Row {
        owner: OwnerId::stored(row.try_get("owner_id")?),
        token: FencingToken::stored(row.try_get("fencing_token")?),
        acquired_at: moment("acquired_at")?,
        renewed_at: moment("renewed_at")?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp::from_micros),
        ttl: Span::from_micros(row.try_get("ttl")?),
        reentries: row.try_get("reentries")?,
        metadata: Metadata::stored(metadata),
    })
}
