//! Freeing many locks at once, in bounded steps.

use std::sync::LazyLock;

use rusqlite::{Connection, params};

use super::{
    SqliteStore, StoreError, events,
    rows::NOW,
    turn::{Turn, begin, clock},
};
use crate::{
    domain::{LockEventKind, OwnerId, Purge, Resource, ResourceType, Span},
    store::Freed,
};

/// What ran out by then. What others wait for is not freed: it is handed on.
const STALE: &str = "
    SELECT l.rowid FROM locks l
    WHERE l.expires_at <= ?2 AND (?1 IS NULL OR l.resource_type = ?1) AND l.waiters = 0
    ORDER BY l.expires_at
    LIMIT ?3";

/// Frees the rows that a query names.
fn free_sql(rows: &str) -> String {
    format!(
        "UPDATE locks SET expires_at = NULL, freed_at = {NOW}, metadata = '{{}}'
         WHERE rowid IN ({rows})"
    )
}

static PURGE: LazyLock<String> = LazyLock::new(|| free_sql(STALE));

/// The expiry as it was says which leases were live, so it is read first, in
/// the same transaction.
static OWNED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*), count(*) FILTER (WHERE expires_at > {NOW}),
                count(*) FILTER (WHERE waiters > 0)
         FROM (
             SELECT l.expires_at, l.waiters FROM locks l
             WHERE l.owner_id = ?1 AND l.freed_at IS NULL
             ORDER BY l.rowid
             LIMIT ?2)"
    )
});

/// Those of them that others wait for.
const OWNED_AND_WAITED_FOR: &str = "
    SELECT resource_type, resource_id FROM (
        SELECT l.resource_type, l.resource_id, l.waiters FROM locks l
        WHERE l.owner_id = ?1 AND l.freed_at IS NULL
        ORDER BY l.rowid
        LIMIT ?2)
    WHERE waiters > 0";

const OWNED_ROWS: &str = "
    SELECT l.rowid FROM locks l
    WHERE l.owner_id = ?1 AND l.freed_at IS NULL
    ORDER BY l.rowid
    LIMIT ?2";

static RELEASE_OWNER: LazyLock<String> = LazyLock::new(|| free_sql(OWNED_ROWS));

/// What may have been free for long. What is waited for counts as held.
const DUE: &str = "
    SELECT l.rowid, iif(l.waiters = 0, l.freed_at, NULL), l.fencing_token FROM locks l
    WHERE l.not_free_before < ?1
    ORDER BY l.not_free_before
    LIMIT ?2";

/// What has not been is not looked at again before it may have been.
const PUT_OFF: &str = "UPDATE locks SET not_free_before = ?2 WHERE rowid = ?1";

const FORGET: &str = "DELETE FROM locks WHERE rowid = ?1";

const RAISE_FLOOR: &str = "UPDATE fencing_epoch SET token_floor = max(token_floor, ?1)";

/// How often one call looks for what is free for long. What is left over is
/// for the next sweep.
const LOOKS: u32 = 20;

/// How many rows were looked at, and how many of them forgotten.
struct Look {
    seen: u32,
    forgotten: u32,
}

impl SqliteStore {
    pub(super) async fn free_stale(&self, purge: &mut Purge, most: u32) -> Result<u64, StoreError> {
        let asked = purge.clone();
        let kind = asked.filter.kind.as_ref().map(ResourceType::as_str).map(str::to_owned);
        let older_than = asked.filter.older_than.micros();
        let step = move |turn: &mut Turn<'_>| {
            let before = turn.now.micros().saturating_sub(older_than);
            let which = params![kind, before, most];
            turn.note_ends(LockEventKind::Purged, STALE, which)?;
            let purged = turn.transaction.prepare_cached(&PURGE)?.execute(which)?;
            let purged = purged as u64;
            let event = events::note_purge(turn.transaction, &asked, purged)?;
            Ok((purged, event))
        };
        let (purged, event) = self.writer.write(&self.here, step).await?;
        purge.event = event;
        Ok(purged)
    }

    pub(super) async fn free_locks_of(
        &self,
        owner: &OwnerId,
        most: u32,
    ) -> Result<Freed, StoreError> {
        let owner = owner.clone();
        self.writer.write(&self.here, move |turn| free_locks_of(turn, &owner, most)).await
    }

    pub(super) async fn forget_free(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        for _ in 0..LOOKS {
            let left = most - forgotten;
            let look = self.writer.run(move |writer| look(writer, free_for, left)).await?;
            forgotten += look.forgotten;
            if look.seen < left || forgotten == most {
                break;
            }
        }
        Ok(forgotten.into())
    }

    pub(super) async fn check_writable(&self) -> Result<(), StoreError> {
        self.writer.run(|writer| begin(writer)?.rollback()).await
    }
}

/// Takes an owner out of every line first, so that nothing is granted to it.
fn free_locks_of(turn: &mut Turn<'_>, owner: &OwnerId, most: u32) -> rusqlite::Result<Freed> {
    turn.cancel(owner)?;
    let transaction = turn.transaction;
    let key = (owner.as_str(), most);
    let owned = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (rows, live, waited_for): (i64, i64, i64) =
        transaction.prepare_cached(&OWNED)?.query_one(key, owned)?;
    turn.note_ends(LockEventKind::Released, OWNED_ROWS, params![owner.as_str(), most])?;
    if waited_for > 0 {
        let resources: Vec<_> = transaction
            .prepare_cached(OWNED_AND_WAITED_FOR)?
            .query_map(key, |row| Ok(Resource::stored(row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for resource in &resources {
            if let Some(found) = turn.table.read(resource)? {
                turn.end_hold(resource, &found)?;
            }
        }
    }
    if rows > waited_for {
        let left = (owner.as_str(), rows - waited_for);
        transaction.prepare_cached(&RELEASE_OWNER)?.execute(left)?;
    }
    Ok(Freed { rows: rows.unsigned_abs(), live: live.unsigned_abs() })
}

/// Looks at the rows that may have been free for so long: forgets those that
/// have, and the greatest of their tokens is the floor from then on.
fn look(writer: &mut Connection, free_for: Span, most: u32) -> rusqlite::Result<Look> {
    let transaction = begin(writer)?;
    let (now, _) = clock(&transaction)?;
    let before = now.micros() - free_for.micros();
    let due: Vec<(i64, Option<i64>, i64)> = transaction
        .prepare_cached(DUE)?
        .query_map((before, most), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let (mut forgotten, mut floor) = (0, 0);
    let mut forget = transaction.prepare_cached(FORGET)?;
    let mut put_off = transaction.prepare_cached(PUT_OFF)?;
    for (place, freed_at, token) in &due {
        match freed_at {
            Some(freed_at) if *freed_at < before => {
                forget.execute([place])?;
                forgotten += 1;
                floor = floor.max(*token);
            }
            _ => {
                put_off.execute((place, freed_at.unwrap_or(now.micros())))?;
            }
        }
    }
    drop((forget, put_off));
    if forgotten > 0 {
        transaction.prepare_cached(RAISE_FLOOR)?.execute([floor])?;
    }
    transaction.commit()?;
    Ok(Look { seen: due.len() as u32, forgotten })
}
