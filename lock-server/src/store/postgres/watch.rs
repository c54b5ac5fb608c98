//! Watching: what has happened to locks, read from `lock_changes` again and again.
//!
//! # Exactly once, nothing missed
//!
//! Transactions do not become visible in the order of their numbers, so a place
//! in the table says nothing. Each look tells its snapshot, and the next one reads
//! what that had not seen: what was under way then, and what began later. What is
//! old is deleted by a snapshot, too, not by the clock.
//!
//! # From when on
//!
//! Statements write changes down while `fencing_epoch` says that somebody watches.
//! When that has been committed there may still be statements whose snapshot is
//! from before. All of them have a lock on that table, from before they took the
//! snapshot until they are over ([`super::changes`]), so those that have one right
//! after the commit are waited for: not longer than a statement may take, since
//! somebody else may have forgotten a transaction that has looked at the table.
//!
//! Who watches says so again every few seconds. Each look compares the clock with
//! until when the look before had found it said: what is later may have happened
//! without being written down, and the watches are to begin anew.
//!
//! # Leases that run out
//!
//! Nobody does anything when a lease runs out. Stale locks of which it has not been
//! told are looked for, by the index on `sweep_at`; `expiry_told` has the token of
//! which it has, so it is told once, whichever server finds it.

mod sql;

use std::{sync::atomic::Ordering, time::Duration};

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use tokio::time::Instant;

use self::sql::{
    CHANGES, HEAD, OLDER, SAY, SEEN, TELL_EXPIRED, THESE, THIS_ONE, forget_sql, page_sql,
};
use super::{
    For, PostgresStore, StoreError, Twice,
    changes::{Audience, WATCHED},
    limits, rows,
};
use crate::{
    domain::{
        IdPrefix, LockEvent, LockEventKind, Resource, ResourceType, Seen, Timestamp, WatchFilter,
        WatchPage,
    },
    store::Changes,
};

/// For how long it is said that somebody watches, and how often that is said.
const WATCHED_FOR: Duration = Duration::from_secs(15);
const SAID_EVERY: Duration = Duration::from_secs(5);
/// For how long changes are kept at least. Longer than a server that is silent is
/// taken for one that watches.
const KEPT_FOR: Duration = Duration::from_secs(20);
/// How often leases that have run out are looked for, at most, and how much of the
/// time may go into that.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_SHARE: u32 = 20;
/// How often what is old is deleted.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether older statements are over.
const OLDER_EVERY: Duration = Duration::from_millis(10);
/// The most changes that are read at a time, and told or deleted by one statement.
const MOST_READ: i64 = 5_000;
const MOST_TOLD: i64 = 1_000;
const MOST_DELETED: i64 = 5_000;

/// What one server has read of what happens.
#[derive(Debug)]
pub(super) struct Tail {
    /// All that this snapshot has seen has been told.
    snapshot: String,
    /// And of what a later one has seen, up to this change.
    part: Option<(String, i64)>,
    renewals: bool,
    /// Until when it is said that somebody watches, as far as has been seen.
    until: Timestamp,
    /// All leases that had run out by then have been told, but for those that
    /// somebody worked on.
    expired_before: Timestamp,
    say_at: Instant,
    look_at: Instant,
    forget_at: Instant,
    /// A snapshot, and since when it has been there.
    young: (String, Instant),
    /// One that is so old that all have read what it has seen.
    old: Option<String>,
}

/// What stands at the head of a look.
struct Head {
    snapshot: String,
    now: Timestamp,
    watched_until: Timestamp,
    renewals_until: Timestamp,
}

impl PostgresStore {
    /// The statement that is right now, as far as is known.
    pub(super) fn sql<'a>(&self, statement: &'a Twice) -> &'a str {
        if self.watched.load(Ordering::Relaxed) {
            &statement.for_watchers
        } else {
            &statement.for_nobody
        }
    }

    /// Somebody watches, as a statement has found.
    pub(super) fn note_watched(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Whether somebody watches still. While nobody does, this is not asked:
    /// statements tell.
    pub(super) async fn look_for_watchers(&self) -> Result<(), StoreError> {
        if self.watched.load(Ordering::Relaxed) {
            let sql = format!("SELECT {WATCHED}");
            let rows = self.run(sqlx::query(AssertSqlSafe(sql))).await?;
            let watched = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
            self.watched.store(watched, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) async fn begin_to_watch(&self, renewals: bool) -> Result<(), StoreError> {
        let mut tail = self.tail.lock().await;
        self.note_watched();
        self.say_watched(renewals).await?;
        self.outwait_older().await?;
        let rows = self.run_for(For::Watching, sqlx::query(HEAD)).await?;
        let head = rows.first().map(Head::of).transpose()?.ok_or(StoreError::ChangesLost)?;
        match &mut *tail {
            Some(tail) if head.now < tail.until => {
                tail.renewals |= renewals;
                tail.until = head.until(tail.renewals);
            }
            tail => *tail = Some(Tail::new(head, renewals)),
        }
        if let Some(tail) = &mut *tail {
            self.catch_up(tail).await?;
        }
        Ok(())
    }

    /// Tells all that has run out by now, as far as that can be done in time.
    async fn catch_up(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let end = Instant::now() + self.timeout;
        tail.look_at = Instant::now();
        while self.tell_expired(tail).await? == MOST_TOLD && Instant::now() < end {
            tail.look_at = Instant::now();
        }
        Ok(())
    }

    async fn say_watched(&self, renewals: bool) -> Result<(), StoreError> {
        let query =
            sqlx::query(SAY).bind(WATCHED_FOR).bind(renewals).bind(WATCHED_FOR - SAID_EVERY);
        self.run(query).await?;
        Ok(())
    }

    /// Waits for the statements that may not know that somebody watches.
    async fn outwait_older(&self) -> Result<(), StoreError> {
        let end = Instant::now() + self.timeout + limits::MOMENT;
        let mut older: Option<Vec<String>> = None;
        loop {
            let rows = self.run(sqlx::query(OLDER).bind(&older)).await?;
            let left: Vec<String> =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                tracing::warn!(
                    transactions = left.len(),
                    "somebody keeps a transaction open that has looked at fencing_epoch; if it \
                     changes locks, those who watch are not told"
                );
                return Ok(());
            }
            older = Some(left);
            tokio::time::sleep(OLDER_EVERY).await;
        }
    }

    pub(super) async fn read_changes(&self, renewals: bool) -> Result<Changes, StoreError> {
        let mut tail = self.tail.lock().await;
        let changes = match &mut *tail {
            Some(tail) => {
                // To have more than before is to begin anew.
                tail.renewals &= renewals;
                self.read_on(tail).await
            }
            None => Err(StoreError::ChangesLost),
        };
        if changes.is_err() {
            *tail = None;
        }
        changes
    }

    async fn read_on(&self, tail: &mut Tail) -> Result<Changes, StoreError> {
        if Instant::now() >= tail.say_at {
            self.say_watched(tail.renewals).await?;
            tail.say_at = Instant::now() + SAID_EVERY;
        }
        if Instant::now() >= tail.look_at {
            self.tell_expired(tail).await?;
        }
        self.forget_old(tail).await?;
        let (upto, after) = tail.part.clone().unzip();
        let query = sqlx::query(AssertSqlSafe(CHANGES.as_str()))
            .bind(&tail.snapshot)
            .bind(after.unwrap_or(0))
            .bind(&upto)
            .bind(MOST_READ);
        let rows = self.run_for(For::Watching, query).await?;
        let head = rows.first().map(Head::of).transpose()?.ok_or(StoreError::ChangesLost)?;
        if head.now >= tail.until {
            return Err(StoreError::ChangesLost);
        }
        let (mut list, mut last, mut count) = (Vec::new(), None, 0);
        for row in &rows {
            let Some(id) = row.try_get::<Option<i64>, _>(change_at::ID)? else { break };
            (last, count) = (Some(id), count + 1);
            list.extend(change(row)?);
        }
        tail.until = head.until(tail.renewals);
        let more = count == MOST_READ;
        if let (true, Some(last)) = (more, last) {
            tail.part = Some((upto.unwrap_or(head.snapshot), last));
        } else {
            tail.snapshot = upto.unwrap_or(head.snapshot);
            tail.part = None;
        }
        Ok(Changes { list, more, expired_before: tail.expired_before })
    }

    /// Looks for leases that have run out: of how many it was told.
    async fn tell_expired(&self, tail: &mut Tail) -> Result<i64, StoreError> {
        let started = Instant::now();
        let query = sqlx::query(AssertSqlSafe(TELL_EXPIRED.as_str())).bind(MOST_TOLD);
        let rows = self.run_for(For::Watching, query).await?;
        let told = count(&rows)?;
        let mut pause = started.elapsed();
        if told < MOST_TOLD {
            pause = LOOK_EVERY.max(pause * LOOK_SHARE);
            if let Some(row) = rows.first() {
                tail.expired_before = rows::timestamp(row, 1)?;
            }
        }
        tail.look_at = Instant::now() + pause;
        Ok(told)
    }

    /// Deletes what all have read, when it is time.
    async fn forget_old(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < tail.forget_at {
            return Ok(());
        }
        if now - tail.young.1 >= KEPT_FOR {
            let now_young = (tail.snapshot.clone(), now);
            tail.old = Some(std::mem::replace(&mut tail.young, now_young).0);
        }
        let mut deleted = 0;
        if let Some(old) = &tail.old {
            let sql = forget_sql(SEEN);
            let query = sqlx::query(AssertSqlSafe(sql)).bind(MOST_DELETED).bind(old);
            deleted = count(&self.run_for(For::Watching, query).await?)?;
        }
        if deleted < MOST_DELETED {
            tail.forget_at = Instant::now() + FORGET_EVERY;
        }
        Ok(())
    }

    pub(super) async fn read_watched(
        &self,
        filter: &WatchFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<WatchPage, StoreError> {
        let one = page_sql(THIS_ONE);
        let these = page_sql(THESE);
        let query = match filter {
            WatchFilter::One(resource) => sqlx::query(AssertSqlSafe(one))
                .bind(resource.kind().as_str().to_owned())
                .bind(resource.id().to_owned()),
            WatchFilter::Many { kind, id_prefix } => sqlx::query(AssertSqlSafe(these))
                .bind(kind.as_ref().map(ResourceType::as_str).map(str::to_owned))
                .bind(IdPrefix::as_str(id_prefix).to_owned())
                .bind(after.map(|resource| resource.kind().as_str().to_owned()))
                .bind(after.map(|resource| resource.id().to_owned()))
                .bind(i64::from(size) + 1),
        };
        let found = self.run(query).await?;
        let head = found.first().ok_or(StoreError::ChangesLost)?;
        let seen: String = head.try_get(page_at::SNAPSHOT)?;
        let seen = Seen::parse(&seen).map_err(|wrong| sqlx::Error::Decode(wrong.into()))?;
        let now = rows::timestamp(head, page_at::NOW)?;
        let mut locks = Vec::with_capacity(found.len());
        for row in &found {
            locks.extend(rows::standing_from(row, page_at::LOCK)?);
        }
        let page = crate::domain::LockPage::cut(locks, size as usize);
        Ok(WatchPage { locks: page.locks, next: page.next, seen, now })
    }

    pub(super) async fn delete_unwatched(&self, most: u32) -> Result<u64, StoreError> {
        let sql = forget_sql(&format!("NOT {WATCHED}"));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(most));
        Ok(count(&self.run(query).await?)?.unsigned_abs())
    }
}

// === impl Twice ===

impl Twice {
    /// A statement for each audience.
    pub(super) fn of(sql: impl Fn(Audience) -> String) -> Self {
        Self { for_nobody: sql(Audience::Nobody), for_watchers: sql(Audience::Watchers) }
    }
}

// === impl Tail ===

impl Tail {
    fn new(head: Head, renewals: bool) -> Self {
        let now = Instant::now();
        let until = head.until(renewals);
        Self {
            young: (head.snapshot.clone(), now),
            snapshot: head.snapshot,
            part: None,
            renewals,
            until,
            expired_before: head.now,
            say_at: now + SAID_EVERY,
            look_at: now,
            forget_at: now + FORGET_EVERY,
            old: None,
        }
    }
}

// === impl Head ===

impl Head {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            snapshot: row.try_get(0)?,
            now: rows::timestamp(row, 1)?,
            watched_until: rows::timestamp(row, 2)?,
            renewals_until: rows::timestamp(row, 3)?,
        })
    }

    fn until(&self, renewals: bool) -> Timestamp {
        if renewals { self.watched_until.min(self.renewals_until) } else { self.watched_until }
    }
}

/// Where what a row says of a change stands.
mod change_at {
    pub(super) const ID: usize = 4;
    pub(super) const TRANSACTION: usize = 5;
    pub(super) const KIND: usize = 6;
    pub(super) const LOCK: usize = 7;
}

/// Where what a row says of a page stands.
mod page_at {
    pub(super) const SNAPSHOT: usize = 0;
    pub(super) const NOW: usize = 1;
    pub(super) const LOCK: usize = 2;
}

/// The change in a row; none of a kind that only a newer version knows.
fn change(row: &PgRow) -> Result<Option<LockEvent>, sqlx::Error> {
    let Some(kind) = LockEventKind::stored(row.try_get(change_at::KIND)?) else { return Ok(None) };
    let transaction: i64 = row.try_get(change_at::TRANSACTION)?;
    let lock = rows::lock_from(row, change_at::LOCK)?;
    Ok(Some(LockEvent { kind, lock, transaction: transaction.cast_unsigned() }))
}

fn count(rows: &[PgRow]) -> Result<i64, sqlx::Error> {
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}
