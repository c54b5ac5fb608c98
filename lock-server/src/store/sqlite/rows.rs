//! Locks as rows of a result.

use std::borrow::Cow;

use rusqlite::{Row, types::Type};

use crate::domain::{
    FencingToken, Lock, Metadata, OwnerId, Resource, Row as Standing, Span, Timestamp,
};

/// SQLite's clock, in microseconds since 1970. It stands still while one
/// statement runs.
pub(super) const NOW: &str = "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000";

/// What [`standing`] reads, of a row `l`.
pub(super) const STANDING: &str = "l.owner_id, l.fencing_token, l.acquired_at, l.renewed_at,
    l.expires_at, l.ttl, l.reentries, l.metadata, l.waiters";

/// No metadata, as the table has it.
const NO_METADATA: &str = "{}";

/// The lock in a row of the clock, type and id, and [`STANDING`].
pub(super) fn lock(row: &Row<'_>) -> rusqlite::Result<Lock> {
    let standing = standing(row, 3)?;
    let resource = Resource::stored(row.get(1)?, row.get(2)?);
    Ok(standing.lock(&resource, Timestamp::from_micros(row.get(0)?)))
}

/// The resource's row, in a row that has [`STANDING`] from this column on.
pub(super) fn standing(row: &Row<'_>, first: usize) -> rusqlite::Result<Standing> {
    let moment = |column| row.get(first + column).map(Timestamp::from_micros);
    Ok(Standing {
        owner: OwnerId::stored(row.get(first)?),
        token: FencingToken::stored(row.get(first + 1)?),
        acquired_at: moment(2)?,
        renewed_at: moment(3)?,
        expires_at: row.get::<_, Option<i64>>(first + 4)?.map(Timestamp::from_micros),
        ttl: Span::from_micros(row.get(first + 5)?),
        reentries: row.get(first + 6)?,
        metadata: metadata(row, first + 7)?,
        waiters: row.get::<_, i64>(first + 8)?.unsigned_abs(),
    })
}

/// Metadata that the table has in this column.
pub(super) fn metadata(row: &Row<'_>, column: usize) -> rusqlite::Result<Metadata> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, source)
    };
    match row.get_ref(column)?.as_str().map_err(|error| wrong(error.into()))? {
        NO_METADATA => Ok(Metadata::default()),
        text => {
            serde_json::from_str(text).map(Metadata::stored).map_err(|error| wrong(error.into()))
        }
    }
}

/// Metadata as the table has it.
pub(super) fn metadata_text(metadata: &Metadata) -> rusqlite::Result<Cow<'static, str>> {
    if metadata.is_empty() {
        return Ok(Cow::Borrowed(NO_METADATA));
    }
    serde_json::to_string(metadata.entries())
        .map(Cow::Owned)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
