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
//! without being written down, and the watches are to begin anew. So they are when
//! the database's history is another one than that of the look before, since the
//! numbers of transactions that were lost are given again.
//!
//! # What somebody has locked
//!
//! Who makes an index or moves a table locks it for longer than is waited for
//! here. That is no reason to end all watches: it is looked again, until then.
//!
//! # Leases that run out
//!
//! Nobody does anything when a lease runs out. Stale locks of which it has not been
//! told are looked for, by the index on `sweep_at`; `expiry_told` has the token of
//! which it has, so it is told once, whichever server finds it.

mod saying;
mod sql;

use std::{sync::atomic::Ordering, time::Duration};

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use tokio::time::Instant;

use self::{
    saying::{Head, Said, WATCHED_FOR},
    sql::{CHANGES, SEEN, TELL_EXPIRED, THESE, THIS_ONE, forget_sql, page_sql},
};
use super::{
    For, PostgresStore, StoreError, Twice,
    changes::{Audience, WATCHED},
    rows,
};
use crate::{
    domain::{
        IdPrefix, LockEvent, LockEventKind, Resource, ResourceType, Seen, Span, Timestamp,
        WatchFilter, WatchPage,
    },
    store::Changes,
};

/// For how long changes are kept at least. Longer than a server that is silent is
/// taken for one that watches, and than a look may take.
const KEPT_FOR: Duration = Duration::from_secs(20);
/// How often leases that have run out are looked for, at most, and how much of the
/// time may go into that.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_SHARE: u32 = 20;
/// How often what is old is deleted.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// The most changes that are read at a time, and told or deleted by one statement.
const MOST_READ: i64 = 5_000;
const MOST_TOLD: i64 = 1_000;
const MOST_DELETED: i64 = 5_000;

/// What one server has read of what happens.
#[derive(Debug)]
pub(super) struct Tail {
    /// In which part of the database's history.
    epoch: i64,
    /// All that this one has seen has been told.
    read: Look,
    /// And of what a later one has seen, up to this change.
    part: Option<(Look, i64)>,
    said: Said,
    /// All leases that had run out by then have been told, but for those that
    /// somebody worked on.
    expired_before: Timestamp,
    look_at: Instant,
    forget_at: Instant,
    /// A snapshot, and since when it has been there.
    young: (String, Instant),
    /// One that is so old that all have read what it has seen.
    old: Option<String>,
}

/// A snapshot, and the database's clock then.
#[derive(Debug, Clone)]
struct Look {
    snapshot: String,
    now: Timestamp,
}

/// What has been told of leases that have run out.
struct Told {
    count: i64,
    /// The clock, if all that had run out by then was told.
    all_before: Option<Timestamp>,
    /// After which pause to look again.
    pause: Duration,
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
        // Nobody listens to what was read so far.
        *tail = None;
        self.catch_up().await?;
        self.note_watched();
        let (said, head) = self.begin_to_say(renewals).await?;
        *tail = Some(Tail::new(head, said));
        Ok(())
    }

    /// Goes on, from now on with the renewals. To wait for older statements may take
    /// longer than may pass between two looks: nothing goes on then.
    pub(super) async fn go_on_with_renewals(&self) -> Result<(), StoreError> {
        let mut tail = self.tail.lock().await;
        let went_on = match &mut *tail {
            Some(tail) => self.add_renewals(tail).await,
            None => Err(StoreError::ChangesLost),
        };
        if went_on.is_err() {
            *tail = None;
        }
        went_on
    }

    async fn add_renewals(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let (said, head) = self.begin_to_say(true).await?;
        tail.goes_on(&head)?;
        tail.said = said;
        Ok(())
    }

    /// Tells all that has run out by now, as far as that can be done in time. While
    /// nobody watches it is only noted that it was told, so those who begin need
    /// not read it.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let end = Instant::now() + self.timeout;
        while self.tell_expired().await?.count == MOST_TOLD && Instant::now() < end {}
        Ok(())
    }

    pub(super) async fn read_changes(&self, renewals: bool) -> Result<Changes, StoreError> {
        let mut tail = self.tail.lock().await;
        let changes = match &mut *tail {
            Some(tail) => {
                // To have more than before takes more than to ask for it.
                tail.said.renewals &= renewals;
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
        self.say_again(&mut tail.said).await?;
        if Instant::now() >= tail.look_at {
            let Told { all_before, pause, .. } = self.tell_expired().await?;
            tail.expired_before = all_before.unwrap_or(tail.expired_before);
            tail.look_at = Instant::now() + pause;
        }
        self.forget_old(tail).await?;
        let (upto, after) = tail.part.clone().unzip();
        let query = sqlx::query(AssertSqlSafe(CHANGES.as_str()))
            .bind(&tail.read.snapshot)
            .bind(after.unwrap_or(0))
            .bind(upto.as_ref().map(|look| look.snapshot.as_str()))
            .bind(MOST_READ);
        let rows = match self.run_for(For::Watching, query).await {
            Err(error) if error.met_a_locked_row() => {
                tail.goes_on(&self.head().await?)?;
                let expired_before = tail.expired_before;
                return Ok(Changes { list: Vec::new(), more: true, expired_before });
            }
            rows => rows?,
        };
        let head = rows.first().map(Head::of).transpose()?.ok_or(StoreError::ChangesLost)?;
        tail.goes_on(&head)?;
        let (mut list, mut last, mut count) = (Vec::new(), None, 0);
        for row in &rows {
            let Some(id) = row.try_get::<Option<i64>, _>(change_at::ID)? else { break };
            (last, count) = (Some(id), count + 1);
            list.extend(change(row)?);
        }
        let more = count == MOST_READ;
        let upto = upto.unwrap_or_else(|| head.look());
        if let (true, Some(last)) = (more, last) {
            tail.part = Some((upto, last));
        } else {
            tail.read = upto;
            tail.part = None;
        }
        Ok(Changes { list, more, expired_before: tail.expired_before })
    }

    /// Looks for leases that have run out, unless somebody has locked the table.
    async fn tell_expired(&self) -> Result<Told, StoreError> {
        let started = Instant::now();
        let query = sqlx::query(AssertSqlSafe(TELL_EXPIRED.as_str())).bind(MOST_TOLD);
        let rows = unless_locked(self.run_for(For::Watching, query).await)?;
        let (count, took) = (count(&rows)?, started.elapsed());
        if count == MOST_TOLD {
            return Ok(Told { count, all_before: None, pause: took });
        }
        let all_before = rows.first().map(|row| rows::timestamp(row, 1)).transpose()?;
        Ok(Told { count, all_before, pause: LOOK_EVERY.max(took * LOOK_SHARE) })
    }

    /// Deletes what all have read, when it is time.
    async fn forget_old(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < tail.forget_at {
            return Ok(());
        }
        if now - tail.young.1 >= KEPT_FOR {
            let now_young = (tail.read.snapshot.clone(), now);
            tail.old = Some(std::mem::replace(&mut tail.young, now_young).0);
        }
        let mut deleted = 0;
        if let Some(old) = &tail.old {
            let sql = forget_sql(SEEN);
            let query = sqlx::query(AssertSqlSafe(sql)).bind(MOST_DELETED).bind(old);
            deleted = count(&unless_locked(self.run_for(For::Watching, query).await)?)?;
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
    fn new(head: Head, said: Said) -> Self {
        let now = Instant::now();
        Self {
            epoch: head.epoch,
            young: (head.snapshot.clone(), now),
            read: head.look(),
            part: None,
            said,
            expired_before: Timestamp::default(),
            look_at: now,
            forget_at: now + FORGET_EVERY,
            old: None,
        }
    }

    /// Up to this head, all that has happened was written down, and is there still
    /// if it was not read.
    ///
    /// # Errors
    /// When that may not be so.
    fn goes_on(&mut self, head: &Head) -> Result<(), StoreError> {
        // Others delete what their snapshots of a while ago have seen.
        let is_late = head.now >= self.read.now.plus(Span::from(WATCHED_FOR));
        if is_late || head.epoch != self.epoch {
            return Err(StoreError::ChangesLost);
        }
        self.said.goes_on(head)
    }
}

// === impl Head ===

impl Head {
    fn look(&self) -> Look {
        Look { snapshot: self.snapshot.clone(), now: self.now }
    }
}

/// Where what a row says of a change stands.
mod change_at {
    use super::Head;

    pub(super) const ID: usize = Head::WIDTH;
    pub(super) const TRANSACTION: usize = ID + 1;
    pub(super) const KIND: usize = ID + 2;
    pub(super) const LOCK: usize = ID + 3;
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

/// What a statement has found; nothing where somebody has locked the table.
fn unless_locked(found: Result<Vec<PgRow>, StoreError>) -> Result<Vec<PgRow>, StoreError> {
    match found {
        Err(error) if error.met_a_locked_row() => Ok(Vec::new()),
        found => found,
    }
}
