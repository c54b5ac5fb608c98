//! Watching: what each transaction does is noted as it does it, and told once it is
//! on disk.
//!
//! Who watches reads the live locks on the thread that writes, so whatever is told
//! under a smaller number than the next one has been seen.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, Params, Row as Columns, types::Value};

use super::{
    SqliteStore, StoreError,
    inspect::{key, matching},
    rows::{self, NOW, STANDING},
    turn::Turn,
};
use crate::{
    domain::{
        Change, Command, ListFilter, LockEventKind, LockPage, Resource, Row, Seen, Timestamp,
        WatchFilter, WatchPage,
    },
    store::Changes,
};

/// How often leases that have run out are looked for, at most, and how much of the
/// time may go into that.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_SHARE: u32 = 20;
/// The most of which it is told in one transaction.
const MOST_TOLD: usize = 1_000;

static CLOCK: LazyLock<String> = LazyLock::new(|| format!("SELECT {NOW}"));

/// Stale locks of which it was not told that they have run out.
const EXPIRED: &str = "
    SELECT l.rowid FROM locks l
    WHERE l.expires_at <= ?1 AND l.expiry_told IS NOT l.fencing_token
    LIMIT ?2";

const TOLD: &str = "
    UPDATE locks SET expiry_told = fencing_token
    WHERE resource_type = ?1 AND resource_id = ?2";

const IS_TOLD: &str = "
    SELECT expiry_told IS fencing_token FROM locks WHERE resource_type = ?1 AND resource_id = ?2";

impl SqliteStore {
    pub(super) async fn begin_to_watch(&self, renewals: bool) -> Result<(), StoreError> {
        // What ran out before is nothing for who begins, and may be much: as far
        // as it can be noted in time.
        let end = Instant::now() + self.timeout;
        while self.in_time(self.tell_expired()).await? == MOST_TOLD && Instant::now() < end {}
        self.here.outbox.watch(renewals);
        self.outwait_older().await
    }

    pub(super) async fn go_on_with_renewals(&self) -> Result<(), StoreError> {
        self.here.outbox.add_renewals()?;
        self.outwait_older().await
    }

    /// Waits for the transaction that may be under way, and did not know of it.
    async fn outwait_older(&self) -> Result<(), StoreError> {
        self.in_time(self.writer.run(|_| Ok(()))).await
    }

    pub(super) async fn read_changes(&self, renewals: bool) -> Result<Changes, StoreError> {
        if self.here.outbox.is_to_look() {
            self.tell_expired().await?;
        }
        let now = self.writer.run(|db| clock(db)).await?;
        let (mut list, expired_before) = self.here.outbox.take(renewals)?;
        for event in list.iter_mut().filter(|event| event.kind.is_lease()) {
            // A lease is told with what is left of it now.
            event.lock.now = now;
        }
        Ok(Changes { list, more: false, expired_before })
    }

    /// Looks for leases that have run out: of how many it was told.
    async fn tell_expired(&self) -> Result<usize, StoreError> {
        let started = Instant::now();
        let find = |db: &mut Connection| {
            let now = clock(db)?;
            let found = db
                .prepare_cached(EXPIRED)?
                .query_row((now.micros(), 1), |row| row.get::<_, i64>(0))
                .optional()?;
            Ok((now, found.is_some()))
        };
        // What only reads waits for nobody.
        let (now, found) = self.writer.run(find).await?;
        let mut told = 0;
        if found {
            told = self.writer.write(&self.here, note_expired).await?;
        }
        let took = started.elapsed();
        if told < MOST_TOLD {
            self.here.outbox.looked(LOOK_EVERY.max(took * LOOK_SHARE), Some(now));
        } else {
            self.here.outbox.looked(took, None);
        }
        Ok(told)
    }

    pub(super) async fn read_watched(
        &self,
        filter: &WatchFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<WatchPage, StoreError> {
        let mut query = match filter {
            WatchFilter::One(resource) => {
                let mut query = matching(&ListFilter::default(), None);
                query.and("(l.resource_type, l.resource_id) = (?, ?)", key(resource));
                query
            }
            WatchFilter::Many { kind, id_prefix } => {
                let (kind, id_prefix) = (kind.clone(), id_prefix.clone());
                matching(&ListFilter { kind, id_prefix, owner: None }, after)
            }
        };
        let here = std::sync::Arc::clone(&self.here);
        let read = move |db: &mut Connection| {
            let end = here.outbox.next_number();
            // Another reading of the clock would see less: what has run out in
            // between would be told as if it was in the page.
            let now = clock(db)?;
            query.and("l.expires_at > ?", [Value::from(now.micros())]);
            let mut locks = query.page(db, "l.resource_type, l.resource_id", size + 1)?;
            locks.iter_mut().for_each(|lock| lock.now = now);
            Ok((end, now, locks))
        };
        let (end, now, locks) = self.writer.run(read).await?;
        let LockPage { locks, next } = LockPage::cut(locks, size as usize);
        Ok(WatchPage { locks, next, seen: Seen { end, under_way: Vec::new() }, now })
    }
}

fn clock(db: &Connection) -> rusqlite::Result<Timestamp> {
    db.prepare_cached(&CLOCK)?.query_one((), |row| row.get(0).map(Timestamp::from_micros))
}

/// Notes what has run out: how many.
fn note_expired(turn: &mut Turn<'_>) -> rusqlite::Result<usize> {
    let which = (turn.now.micros(), MOST_TOLD as i64);
    let found = turn.standing(EXPIRED, which)?;
    for (resource, row, _) in &found {
        turn.note(LockEventKind::Expired, resource, row);
        let key = (resource.kind().as_str(), resource.id());
        turn.transaction.prepare_cached(TOLD)?.execute(key)?;
    }
    Ok(found.len())
}

impl Turn<'_> {
    fn note(&mut self, kind: LockEventKind, resource: &Resource, row: &Row) {
        if let Some(happened) = &mut self.happened {
            happened.note(kind, resource, row, self.now);
        }
    }

    /// Notes what a command is about to change.
    pub(super) fn note_change(
        &mut self,
        command: &Command,
        before: Option<&Row>,
        change: &Change,
    ) -> rusqlite::Result<()> {
        let resource = command.resource();
        match (change, before) {
            (Change::Put(row), Some(before)) if row.token == before.token => {
                let wanted = self.happened.as_ref().is_some_and(|happened| happened.renewals());
                let is_moved = row.expires_at != before.expires_at;
                let is_renewal = is_moved || matches!(command, Command::Renew(_));
                // One that comes closer is always told: a page from before may have
                // shown a lock that has run out since.
                if (wanted && is_renewal) || row.expires_at < before.expires_at {
                    self.note(LockEventKind::Renewed, resource, row);
                }
                Ok(())
            }
            (Change::Put(row), before) => {
                let stale = before.filter(|before| before.is_stale(self.now));
                self.note_grant(resource, stale, row)
            }
            (Change::Free, Some(before)) => {
                self.note_end(LockEventKind::Released, resource, before)
            }
            (Change::Keep, _) | (Change::Free, None) => Ok(()),
        }
    }

    /// Notes a grant that is about to be made, over a stale lock if there is one.
    pub(super) fn note_grant(
        &mut self,
        resource: &Resource,
        stale: Option<&Row>,
        granted: &Row,
    ) -> rusqlite::Result<()> {
        if let Some(stale) = stale {
            self.note_expiry(resource, stale)?;
        }
        let kind = if stale.is_some() { LockEventKind::TakenOver } else { LockEventKind::Acquired };
        self.note(kind, resource, granted);
        Ok(())
    }

    /// Notes that a hold is about to end.
    pub(super) fn note_end(
        &mut self,
        kind: LockEventKind,
        resource: &Resource,
        row: &Row,
    ) -> rusqlite::Result<()> {
        if row.expires_at.is_some() {
            self.note_expiry(resource, row)?;
            self.note(kind, resource, row);
        }
        Ok(())
    }

    /// Notes that the holds of the rows that a query names are about to end.
    pub(super) fn note_ends(
        &mut self,
        kind: LockEventKind,
        rows: &str,
        parameters: impl Params,
    ) -> rusqlite::Result<()> {
        if self.happened.is_none() {
            return Ok(());
        }
        for (resource, row, is_told) in self.standing(rows, parameters)? {
            if row.is_stale(self.now) && !is_told {
                self.note(LockEventKind::Expired, &resource, &row);
            }
            self.note(kind, &resource, &row);
        }
        Ok(())
    }

    /// Notes that a lease has run out, if it has and that was not told.
    fn note_expiry(&mut self, resource: &Resource, row: &Row) -> rusqlite::Result<()> {
        if self.happened.is_none() || !row.is_stale(self.now) {
            return Ok(());
        }
        let key = (resource.kind().as_str(), resource.id());
        let is_told: bool =
            self.transaction.prepare_cached(IS_TOLD)?.query_one(key, |row| row.get(0))?;
        if !is_told {
            self.note(LockEventKind::Expired, resource, row);
        }
        Ok(())
    }

    /// The rows that a query names, and whether it was told that they have run out.
    fn standing(
        &self,
        rows: &str,
        parameters: impl Params,
    ) -> rusqlite::Result<Vec<(Resource, Row, bool)>> {
        let sql = format!(
            "SELECT l.resource_type, l.resource_id, l.expiry_told IS l.fencing_token, {STANDING}
             FROM locks l WHERE l.rowid IN ({rows})"
        );
        let standing = |row: &Columns<'_>| {
            let resource = Resource::stored(row.get(0)?, row.get(1)?);
            Ok((resource, rows::standing(row, 3)?, row.get(2)?))
        };
        self.transaction.prepare_cached(&sql)?.query_map(parameters, standing)?.collect()
    }
}
