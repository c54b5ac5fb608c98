//! Locks as rows of a result.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sqlx::{
    ColumnIndex, Decode, Postgres, Row as _, Type,
    error::BoxDynError,
    postgres::{PgRow, PgTypeInfo, PgValueRef, types::PgInterval},
    types::Json,
};
use time::OffsetDateTime;

use crate::domain::{Acquire, FencingToken, Lock, Metadata, OwnerId, Resource, Span, Timestamp};

/// The columns that [`lock`] reads, of a table or query that is called `l`, and
/// with which a result starts. The clock's reading comes from the query, and
/// stands right behind them.
pub(super) const LOCK_COLUMNS: &str = "l.resource_type, l.resource_id, l.owner_id, \
    l.fencing_token, l.acquired_at, l.renewed_at, l.expires_at, l.ttl, l.metadata, l.waiters";

/// Where the columns of a lock stand: to look for each by its name in each row would cost
/// more than all the rest.
mod at {
    pub(super) const RESOURCE_TYPE: usize = 0;
    pub(super) const RESOURCE_ID: usize = 1;
    pub(super) const OWNER_ID: usize = 2;
    pub(super) const FENCING_TOKEN: usize = 3;
    pub(super) const ACQUIRED_AT: usize = 4;
    pub(super) const RENEWED_AT: usize = 5;
    pub(super) const EXPIRES_AT: usize = 6;
    pub(super) const TTL: usize = 7;
    pub(super) const METADATA: usize = 8;
    pub(super) const WAITERS: usize = 9;
    pub(super) const NOW: usize = 10;
}

/// Where what else a result has stands: behind the lock and the clock.
pub(super) const BEYOND: usize = at::NOW + 1;

/// The lock in a row that starts with [`LOCK_COLUMNS`] and the clock.
pub(super) fn lock(row: &PgRow) -> Result<Lock, sqlx::Error> {
    lock_from(row, 0)
}

/// The same in a row that has other columns before.
pub(super) fn lock_from(row: &PgRow, first: usize) -> Result<Lock, sqlx::Error> {
    let (kind, id) =
        (row.try_get(first + at::RESOURCE_TYPE)?, row.try_get(first + at::RESOURCE_ID)?);
    Ok(Lock {
        resource: Resource::stored(kind, id),
        owner: OwnerId::stored(row.try_get(first + at::OWNER_ID)?),
        token: FencingToken::stored(row.try_get(first + at::FENCING_TOKEN)?),
        acquired_at: timestamp(row, first + at::ACQUIRED_AT)?,
        renewed_at: timestamp(row, first + at::RENEWED_AT)?,
        expires_at: timestamp(row, first + at::EXPIRES_AT)?,
        ttl: ttl(row, first + at::TTL)?,
        metadata: metadata(row, first + at::METADATA)?,
        now: timestamp(row, first + at::NOW)?,
        waiters: waiters(row, first + at::WAITERS)?,
    })
}

/// What is held or stale in such a row; none when the resource is free or not
/// there.
pub(super) fn standing_from(row: &PgRow, first: usize) -> Result<Option<Lock>, sqlx::Error> {
    match row.try_get::<Option<Moment>, _>(first + at::EXPIRES_AT)? {
        Some(_) => lock_from(row, first).map(Some),
        None => Ok(None),
    }
}

fn waiters(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i32, _>(column)?.unsigned_abs().into())
}

/// When the lock in such a row runs out; none when the resource is free.
pub(super) fn expires_at(row: &PgRow) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<Moment>, _>(at::EXPIRES_AT)?.map(|moment| moment.0))
}

/// Where what the acquire statement says of a resource stands.
mod granted_at {
    pub(super) const RESOURCE_TYPE: usize = 0;
    pub(super) const RESOURCE_ID: usize = 1;
    pub(super) const FENCING_TOKEN: usize = 2;
    pub(super) const ACQUIRED_AT: usize = 3;
    pub(super) const NOW: usize = 4;
    pub(super) const RENEWED_AT: usize = 5;
    pub(super) const EXPIRES_AT: usize = 6;
    pub(super) const TTL: usize = 7;
    pub(super) const METADATA: usize = 8;
    pub(super) const WAITERS: usize = 9;
}

/// Where what the quick statement says of a command stands.
mod quick_at {
    pub(super) const PLACE: usize = 0;
    pub(super) const FENCING_TOKEN: usize = 1;
    pub(super) const ACQUIRED_AT: usize = 2;
    pub(super) const NOW: usize = 3;
    pub(super) const ENDED: usize = 4;
    pub(super) const OWNER_ID: usize = 5;
    pub(super) const RENEWED_AT: usize = 6;
    pub(super) const EXPIRES_AT: usize = 7;
    pub(super) const TTL: usize = 8;
    pub(super) const METADATA: usize = 9;
    pub(super) const WAITERS: usize = 10;
}

/// What the quick statement did for a command.
pub(super) enum Quick {
    Granted {
        token: FencingToken,
        acquired_at: Timestamp,
        now: Timestamp,
    },
    Released {
        ended: bool,
    },
    /// Another owner holds it: see [`holder`].
    Refused,
}

/// What such a row says, and the place of its command.
pub(super) fn quick(row: &PgRow) -> Result<(usize, Quick), sqlx::Error> {
    let done = match row.try_get(quick_at::ENDED)? {
        Some(ended) => Quick::Released { ended },
        None if row.try_get::<Option<&str>, _>(quick_at::OWNER_ID)?.is_some() => Quick::Refused,
        None => Quick::Granted {
            token: FencingToken::stored(row.try_get(quick_at::FENCING_TOKEN)?),
            acquired_at: timestamp(row, quick_at::ACQUIRED_AT)?,
            now: timestamp(row, quick_at::NOW)?,
        },
    };
    Ok((place(row, quick_at::PLACE)?, done))
}

/// The lock of this resource that such a row tells of, where the command was
/// refused.
pub(super) fn holder(row: &PgRow, resource: &Resource) -> Result<Lock, sqlx::Error> {
    Ok(Lock {
        resource: resource.clone(),
        owner: OwnerId::stored(row.try_get(quick_at::OWNER_ID)?),
        token: FencingToken::stored(row.try_get(quick_at::FENCING_TOKEN)?),
        acquired_at: timestamp(row, quick_at::ACQUIRED_AT)?,
        renewed_at: timestamp(row, quick_at::RENEWED_AT)?,
        expires_at: timestamp(row, quick_at::EXPIRES_AT)?,
        ttl: ttl(row, quick_at::TTL)?,
        metadata: metadata(row, quick_at::METADATA)?,
        now: timestamp(row, quick_at::NOW)?,
        waiters: waiters(row, quick_at::WAITERS)?,
    })
}

/// The place of a command, as a parameter.
pub(super) fn for_place(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// The place of the command that a row answers.
pub(super) fn place(row: &PgRow, column: usize) -> Result<usize, sqlx::Error> {
    let place: i64 = row.try_get(column)?;
    usize::try_from(place).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Whether a row of the acquire statement is about this resource.
pub(super) fn is_about(row: &PgRow, resource: &Resource) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<&str, _>(granted_at::RESOURCE_ID)? == resource.id()
        && row.try_get::<&str, _>(granted_at::RESOURCE_TYPE)? == resource.kind().as_str())
}

/// The lock that an acquire came to, and whether it was held before.
pub(super) fn granted(row: &PgRow, asked: &Acquire) -> Result<(Lock, bool), sqlx::Error> {
    let token = FencingToken::stored(row.try_get(granted_at::FENCING_TOKEN)?);
    let acquired_at = timestamp(row, granted_at::ACQUIRED_AT)?;
    let mut lock = new_lock(asked, token, acquired_at, timestamp(row, granted_at::NOW)?);
    let renewed_at = row.try_get::<Option<Moment>, _>(granted_at::RENEWED_AT)?;
    let reentrant = renewed_at.is_some();
    if let Some(Moment(renewed_at)) = renewed_at {
        lock.renewed_at = renewed_at;
        lock.expires_at = timestamp(row, granted_at::EXPIRES_AT)?;
        lock.ttl = ttl(row, granted_at::TTL)?;
        lock.metadata = metadata(row, granted_at::METADATA)?;
    }
    lock.waiters = waiters(row, granted_at::WAITERS)?;
    Ok((lock, reentrant))
}

/// The lock that was granted as asked.
pub(super) fn new_lock(
    asked: &Acquire,
    token: FencingToken,
    acquired_at: Timestamp,
    now: Timestamp,
) -> Lock {
    Lock {
        resource: asked.resource.clone(),
        owner: asked.owner.clone(),
        token,
        acquired_at,
        renewed_at: acquired_at,
        expires_at: acquired_at.plus(asked.ttl),
        ttl: asked.ttl,
        metadata: asked.metadata.clone(),
        now,
        waiters: 0,
    }
}

/// How a place in line stands, as `lock_ask` tells it.
pub(super) enum Asked {
    /// By the grant of its place.
    Granted {
        lock: Lock,
        place: i64,
    },
    Waiting {
        holder: Lock,
        place: i64,
        may_close_circle: bool,
    },
    Cancelled {
        place: i64,
    },
    NotInLine {
        holds: bool,
    },
    Full,
    /// It is to be acquired as if nobody waited.
    Retry,
}

/// What a row of the ask statement says.
pub(super) struct Answer {
    /// Where the command stands in its batch.
    pub(super) command: usize,
    pub(super) asked: Asked,
    /// Who was granted the lock on the way, and waited here: its place.
    pub(super) handed: Option<(i64, Lock)>,
}

/// Such a row.
pub(super) fn asked(row: &PgRow) -> Result<Answer, sqlx::Error> {
    const STATE: usize = 1;
    const PLACE: usize = 2;
    const MAY_CLOSE_CIRCLE: usize = 3;
    const HANDED: usize = 4;
    const LOCK: usize = 5;
    let asked = match row.try_get::<&str, _>(STATE)? {
        "granted" => Asked::Granted { lock: lock_from(row, LOCK)?, place: row.try_get(PLACE)? },
        "waiting" => match standing_from(row, LOCK)? {
            Some(holder) => Asked::Waiting {
                holder,
                place: row.try_get(PLACE)?,
                may_close_circle: row.try_get(MAY_CLOSE_CIRCLE)?,
            },
            None => Asked::Retry,
        },
        "cancelled" => Asked::Cancelled { place: row.try_get(PLACE)? },
        "own" => Asked::NotInLine { holds: true },
        "gone" => Asked::NotInLine { holds: false },
        "full" => Asked::Full,
        _ => Asked::Retry,
    };
    let handed = match row.try_get(HANDED)? {
        Some(place) => standing_from(row, LOCK)?.map(|lock| (place, lock)),
        None => None,
    };
    Ok(Answer { command: place(row, 0)?, asked, handed })
}

/// What the functions that hand on give.
pub(super) struct Handed {
    /// The place of the command.
    pub(super) place: usize,
    /// What the function says it did for the caller.
    pub(super) done: Option<bool>,
    /// Who has the lock now waited here, and has taken it: its place in line.
    pub(super) handed: Option<i64>,
    /// The lock as it stands.
    pub(super) lock: Option<Lock>,
}

/// Such a row.
pub(super) fn handed(row: &PgRow) -> Result<Handed, sqlx::Error> {
    Ok(Handed {
        place: place(row, 0)?,
        done: row.try_get(1)?,
        handed: row.try_get(2)?,
        lock: standing_from(row, 3)?,
    })
}

fn ttl(row: &PgRow, column: usize) -> Result<Span, sqlx::Error> {
    Ok(Span::from_micros(row.try_get::<PgInterval, _>(column)?.microseconds))
}

fn metadata(row: &PgRow, column: usize) -> Result<Metadata, sqlx::Error> {
    let Json(raw) = row.try_get::<Json<&RawValue>, _>(column)?;
    if raw.get() == "{}" {
        return Ok(Metadata::default());
    }
    let entries: BTreeMap<String, String> =
        serde_json::from_str(raw.get()).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Metadata::stored(entries))
}

/// A moment that is there.
pub(super) fn timestamp(
    row: &PgRow,
    column: impl ColumnIndex<PgRow>,
) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<Moment, _>(column).map(|moment| moment.0)
}

/// A moment as the database sends it: microseconds since 2000, with no detour
/// over a calendar.
struct Moment(Timestamp);

/// From 1970 to 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Moment {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(Timestamp::from_micros(micros.saturating_add(EPOCH_MICROS))))
    }
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
