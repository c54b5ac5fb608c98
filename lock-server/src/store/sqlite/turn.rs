//! One write transaction: what it reads and writes by, and who is told of it
//! once it is on disk.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use uuid::Uuid;

use super::{
    StoreError,
    outbox::{Happened, Outbox},
    rows::NOW,
    table::Table,
    worker::Workers,
};
use crate::{
    domain::{Lock, OwnerId, Resource, Timestamp},
    store::{WaitLimits, Wake, news::News},
};

/// The clock and the token floor.
static CLOCK: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {NOW}, token_floor FROM fencing_epoch"));

/// This process, as one at which callers wait.
#[derive(Debug)]
pub(super) struct Here {
    /// Its name, which no other start of it has.
    pub(super) server: String,
    pub(super) waiting: WaitLimits,
    pub(super) news: News,
    /// What happens, for those who watch.
    pub(super) outbox: Outbox,
    /// Nothing is taken for callers who wait here any more.
    sent_away: AtomicBool,
}

/// What one write transaction works with.
pub(super) struct Turn<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) table: Table<'a>,
    pub(super) here: &'a Here,
    /// One reading of the clock serves the whole transaction: it is from after
    /// the write lock was granted.
    pub(super) now: Timestamp,
    pub(super) floor: i64,
    wakes: Vec<Wake>,
    /// What has happened to locks; none when nobody watches.
    pub(super) happened: Option<Happened>,
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

/// Does something in one write transaction, and tells those who wait what has
/// come of it once it is on disk: on the writer's thread, so that nobody stays
/// untold when the caller has gone.
pub(super) fn take_turn<T>(
    writer: &mut Connection,
    here: &Here,
    work: impl FnOnce(&mut Turn<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = begin(writer)?;
    let mut turn = Turn::of(&transaction, here)?;
    let done = work(&mut turn)?;
    let (wakes, happened) = turn.end();
    if let Err(error) = transaction.commit() {
        // It may be on disk or not.
        if !wakes.is_empty() {
            here.news.send(Wake::Missed);
        }
        if happened.is_some() {
            here.outbox.lose();
        }
        return Err(error);
    }
    wakes.into_iter().for_each(|wake| here.news.send(wake));
    if let Some(happened) = happened {
        here.outbox.put(happened);
    }
    Ok(done)
}

// === impl Here ===

impl Here {
    pub(super) fn new(waiting: WaitLimits) -> Arc<Self> {
        let server = Uuid::now_v7().to_string();
        let (news, outbox, sent_away) = (News::new(), Outbox::default(), AtomicBool::new(false));
        Arc::new(Self { server, waiting, news, outbox, sent_away })
    }

    /// Callers who waited here have been sent elsewhere.
    pub(super) fn send_away(&self) {
        self.sent_away.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_sent_away(&self) -> bool {
        self.sent_away.load(Ordering::Relaxed)
    }

    /// For how long its places are kept from when it says that it is there: a
    /// little shorter than promised, so that with the time that it takes to
    /// notice, the promise holds.
    pub(super) fn alive_for(&self) -> Duration {
        let grace = self.waiting.grace;
        grace - (grace / 10).min(Duration::from_secs(1))
    }
}

// === impl Workers ===

impl Workers {
    /// As [`take_turn`], once it is this caller's turn.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        here: &Arc<Here>,
        work: impl FnOnce(&mut Turn<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let here = Arc::clone(here);
        self.run(move |writer| take_turn(writer, &here, work)).await
    }
}

// === impl Turn ===

impl<'a> Turn<'a> {
    fn of(transaction: &'a Transaction<'a>, here: &'a Here) -> rusqlite::Result<Self> {
        let (now, floor) = clock(transaction)?;
        let table = Table::of(transaction)?;
        let happened = here.outbox.begin();
        Ok(Self { transaction, table, here, now, floor, wakes: Vec::new(), happened })
    }

    /// Who is to be told, and of what.
    fn end(self) -> (Vec<Wake>, Option<Happened>) {
        (self.wakes, self.happened)
    }

    /// Tells one who waits here that the lock is its own, once it is.
    pub(super) fn tell_granted(&mut self, place: i64, lock: Lock) {
        self.wakes.push(Wake::Granted { place, lock: Box::new(lock) });
    }

    /// Tells one who waits here to ask again.
    pub(super) fn tell_settled(&mut self, resource: Resource, owner: OwnerId) {
        self.wakes.push(Wake::Settled { resource, owner });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations;

    fn limits() -> WaitLimits {
        WaitLimits { most_for_one: 1, grace: Duration::from_secs(10) }
    }

    /// It may be on disk or not, so who watches must begin anew.
    #[test]
    fn when_a_commit_fails_those_who_watch_have_missed_something() {
        let mut writer = Connection::open_in_memory().unwrap();
        for migration in migrations::sqlite().iter() {
            writer.execute_batch(migration.sql.as_str()).unwrap();
        }
        writer
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE parent (id INTEGER PRIMARY KEY);
                 CREATE TABLE child (of INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);",
            )
            .unwrap();
        let here = Here::new(limits());
        here.outbox.watch(false);
        let insert = |sql: &'static str| {
            move |turn: &mut Turn<'_>| turn.transaction.execute(sql, ()).map(drop)
        };
        take_turn(&mut writer, &here, insert("INSERT INTO parent VALUES (1)")).unwrap();
        assert!(here.outbox.take(false).is_ok());
        // What it refers to is looked for by the commit.
        take_turn(&mut writer, &here, insert("INSERT INTO child VALUES (2)")).unwrap_err();
        assert!(matches!(here.outbox.take(false), Err(StoreError::ChangesLost)));
    }
}
