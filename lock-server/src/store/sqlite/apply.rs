//! Commands in one write transaction, one after the other: each reads its row,
//! is decided on, and writes what is to be written.

use std::sync::LazyLock;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

use super::{
    SqliteStore, StoreError,
    events::{self, Stale},
    rows::{self, NOW, STANDING},
};
use crate::domain::{Change, Command, Outcome, Resource, Row, Timestamp, decide};

/// The clock and the token floor.
static CLOCK: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {NOW}, token_floor FROM fencing_epoch"));

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

/// The most commands in one transaction: others get their turn in between, and
/// what is done stays done when the time for the rest is over.
pub(super) const TRANSACTION: usize = 500;

impl SqliteStore {
    pub(super) async fn apply_batch(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for commands in commands.chunks(TRANSACTION) {
            let commands = commands.to_vec();
            outcomes.extend(self.writer.run(move |writer| apply(writer, &commands)).await?);
        }
        Ok(outcomes)
    }
}

/// Begins to write, once nobody else does.
pub(super) fn begin(writer: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    writer.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// The clock and the token floor.
pub(super) fn clock(transaction: &Transaction<'_>) -> rusqlite::Result<(Timestamp, i64)> {
    transaction
        .prepare_cached(&CLOCK)?
        .query_one((), |row| Ok((Timestamp::from_micros(row.get(0)?), row.get(1)?)))
}

/// Carries out commands while nobody else can write. One reading of the clock
/// serves them all: it is from after the write lock was granted.
fn apply(writer: &mut Connection, commands: &[Command]) -> rusqlite::Result<Vec<Outcome>> {
    let transaction = begin(writer)?;
    let (now, floor) = clock(&transaction)?;
    let mut table = Table::of(&transaction)?;
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        let resource = command.resource();
        let (place, row) = table.read(resource)?.unzip();
        let standing = place.zip(row.as_ref().map(|row: &Row| row.token));
        let stale = row.as_ref().filter(|row| row.is_stale(now)).map(Stale::of);
        let mut decision = decide(command, row, now, floor);
        match (&decision.outcome, stale) {
            (Outcome::Granted { lock, .. }, Some(stale)) => {
                events::note_taken_over(&transaction, now, lock, &stale)?;
            }
            (Outcome::NotHeld { holder, .. }, _) => {
                let holder = holder.clone();
                let forced = events::forced(&transaction, command)?.map(Box::new);
                decision.outcome = Outcome::NotHeld { holder, forced };
            }
            _ => {}
        }
        match (decision.change, standing) {
            (Change::Put(row), None) => table.insert(resource, &row)?,
            (Change::Put(row), Some((place, token))) if row.token == token => {
                table.extend(place, &row)?;
            }
            (Change::Put(row), Some((place, _))) => table.grant(place, &row)?,
            (Change::Free, Some((place, _))) => table.free(place, now)?,
            (Change::Keep, _) | (Change::Free, None) => {}
        }
        outcomes.push(decision.outcome);
    }
    drop(table);
    transaction.commit()?;
    Ok(outcomes)
}

/// The statements on one row.
struct Table<'a> {
    read: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    grant: CachedStatement<'a>,
    extend: CachedStatement<'a>,
    free: CachedStatement<'a>,
}

impl<'a> Table<'a> {
    fn of(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            read: transaction.prepare_cached(&READ)?,
            insert: transaction.prepare_cached(INSERT)?,
            grant: transaction.prepare_cached(GRANT)?,
            extend: transaction.prepare_cached(EXTEND)?,
            free: transaction.prepare_cached(FREE)?,
        })
    }

    /// The resource's row and where it is.
    fn read(&mut self, resource: &Resource) -> rusqlite::Result<Option<(i64, Row)>> {
        self.read
            .query_row((resource.kind().as_str(), resource.id()), |row| {
                Ok((row.get(0)?, rows::standing(row, 1)?))
            })
            .optional()
    }

    fn insert(&mut self, resource: &Resource, row: &Row) -> rusqlite::Result<()> {
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

    fn grant(&mut self, place: i64, row: &Row) -> rusqlite::Result<()> {
        self.grant.execute(params![
            place,
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

    fn extend(&mut self, place: i64, row: &Row) -> rusqlite::Result<()> {
        self.extend.execute(params![
            place,
            row.renewed_at.micros(),
            row.expires_at.map(Timestamp::micros),
            row.ttl.micros(),
            row.reentries,
            rows::metadata_text(&row.metadata)?,
        ])?;
        Ok(())
    }

    fn free(&mut self, place: i64, now: Timestamp) -> rusqlite::Result<()> {
        self.free.execute((place, now.micros()))?;
        Ok(())
    }
}
