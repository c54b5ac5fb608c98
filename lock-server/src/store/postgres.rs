//! Locks in Postgres, or in what speaks its protocol and its SQL: for
//! production, and for several servers on one database.
//!
//! # One statement, one decision
//!
//! Each kind of command is one statement over arrays, so that a batch of one
//! kind is one round trip and one commit, whatever its size. Every statement
//! takes its row locks ordered by resource: batches of several servers wait for
//! each other, they do not deadlock.
//!
//! Batches have connections of their own, one for each that may be under way,
//! and give up on a row that somebody has locked after a moment: the batch is
//! then carried out without it, and the command that it is about alone, on
//! one of the other connections, with more patience.
//!
//! # The clock
//!
//! `clock_timestamp()` alone decides, and is read after the row has been
//! locked: a reading from before would be as old as the wait for the lock.
//! `now()` stands still for a transaction that waited.
//!
//! # No session state
//!
//! No session locks, no settings that a decision depends on, no prepared statements that must be found
//! again on the same server connection: see [`pooler`].
//!
//! # Bounded time
//!
//! A statement ends by itself shortly before its caller gives up
//! ([`limits`]), so that a connection that waited for a row is as good as
//! before, and nothing waits on at the database for nobody. A caller that gives
//! up all the same takes the database for gone.

mod apply;
mod changes;
mod epoch;
mod events;
mod inspect;
mod limits;
mod listen;
pub mod pooler;
mod rows;
mod setup;
mod statements;
mod sweep;
mod waiting;
mod watch;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection as _, postgres::PgRow};
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::{
    Batching, Changes, Freed, Look, Store, StoreError, WaitLimits, Wake, connections::Connections,
    news::News,
};
use crate::domain::{
    Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock, LockPage, Outcome,
    OwnerId, Purge, Resource, Span, StaleFilter, StalePage, Timestamp, WaitsFor, WatchFilter,
    WatchPage,
};

/// The most commands in a batch. More would make each wait for the others
/// longer and cost hardly less.
const MOST_IN_A_BATCH: usize = 512;

/// Locks in Postgres.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    /// Those that batches of commands are carried out on.
    for_batches: Connections,
    /// How many batches at a time.
    batches: u32,
    /// How transactions begin behind a transaction-pooling proxy; none where
    /// there is no such proxy.
    pooled: Option<Pooled>,
    timeout: Duration,
    max_stall: Span,
    /// The acquire statement, which differs by what the database can tell of
    /// its timeline.
    acquire_sql: Twice,
    release_sql: Twice,
    quick_sql: Twice,
    /// Whether the database understands it. Another one than Postgres may know no
    /// `ctid`, or not change a table twice in a statement.
    quick: AtomicBool,
    take_over_sql: String,
    renew_sql: Twice,
    /// As `renew_sql`, leaving out what others work on.
    renew_or_skip_sql: Twice,
    standing_sql: String,
    /// The functions for what somebody waits for, one call for each command.
    ask_sql: String,
    release_waited_sql: String,
    leave_sql: String,
    hand_on_sql: String,
    timeline: epoch::Timeline,
    /// Which server this is, for as long as it runs.
    id: Uuid,
    waiting: WaitLimits,
    crowded: apply::Crowded,
    /// Nothing is taken for callers who wait here any more.
    sent_away: AtomicBool,
    news: News,
    listening: listen::Listening,
    /// Somebody watches, anywhere, as far as is known.
    watched: AtomicBool,
    /// For what is read again and again while somebody watches here.
    for_watching: Connections,
    /// What this server has read of what happens, while somebody watches here.
    tail: Mutex<Option<watch::Tail>>,
}

/// A statement that changes locks, for when nobody watches and for when somebody
/// does.
#[derive(Debug)]
struct Twice {
    for_nobody: String,
    for_watchers: String,
}

/// How a transaction begins behind a transaction-pooling proxy.
#[derive(Debug)]
struct Pooled {
    any: String,
    /// One that carries out a batch.
    batch: String,
}

/// What a statement is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// A batch, which nobody may hold up.
    Batch,
    /// Those who watch here.
    Watching,
    /// Anything else.
    One,
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl PostgresStore {
    /// Runs one statement and commits: its rows. In time, or not at all as far
    /// as the caller can tell.
    async fn run(&self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        self.run_for(For::One, query).await
    }

    async fn run_for(&self, what: For, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        match tokio::time::timeout(self.timeout, self.run_in_time(what, query)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                self.is_gone();
                Err(StoreError::Timeout(self.timeout))
            }
        }
    }

    async fn run_in_time(&self, what: For, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut loan = match what {
            For::Batch => self.for_batches.borrow().await?,
            For::One => self.connections.borrow().await?,
            For::Watching => self.for_watching.borrow().await?,
        };
        let result = match &self.pooled {
            Some(Pooled { any, batch }) => {
                let begin = if what == For::One { any } else { batch };
                pooler::run(&mut loan, begin, query).await
            }
            None => query.fetch_all(&mut *loan).await,
        };
        match result {
            Ok(rows) => {
                loan.give_back();
                Ok(rows)
            }
            Err(error) => {
                if loan.failed(&error) {
                    self.is_gone();
                }
                Err(error.into())
            }
        }
    }

    /// What is on loan is closed by who has it; its neighbours are most likely
    /// as dead, whichever set they are in.
    fn is_gone(&self) {
        self.connections.discard();
        self.for_batches.discard();
        self.for_watching.discard();
    }

    async fn apply_in_time(
        &self,
        what: For,
        commands: &[Command],
    ) -> Result<Vec<Option<Outcome>>, StoreError> {
        // Each statement has its time; a batch of several has no more in all.
        tokio::time::timeout(self.timeout, self.apply_batch(what, commands)).await.unwrap_or_else(
            |_elapsed| {
                self.is_gone();
                Err(StoreError::Timeout(self.timeout))
            },
        )
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn engine(&self) -> &'static str {
        "postgres"
    }

    async fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        let outcomes = self.apply_in_time(For::One, commands).await?;
        outcomes.into_iter().collect::<Option<_>>().ok_or(StoreError::Contended)
    }

    async fn apply_now(&self, commands: &[Command]) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.apply_in_time(For::Batch, commands).await
    }

    fn batching(&self) -> Batching {
        Batching {
            at_a_time: self.batches as usize,
            // Grants and releases share a statement.
            queues: [0, 1, 0, 0, 0],
            most: MOST_IN_A_BATCH,
        }
    }

    async fn release_owner(&self, owner: &OwnerId, most: u32) -> Result<Freed, StoreError> {
        self.free_locks_of(owner, most).await
    }

    async fn get(&self, resource: &Resource) -> Result<Option<Lock>, StoreError> {
        self.read_lock(resource).await
    }

    async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError> {
        self.read_live(filter, after, size).await
    }

    async fn list_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, StoreError> {
        self.read_stale(filter, after, size).await
    }

    async fn purge(&self, purge: &mut Purge, most: u32) -> Result<u64, StoreError> {
        self.free_stale(purge, most).await
    }

    async fn force_release(&self, asked: &ForceRelease) -> Result<Forced, StoreError> {
        self.break_hold(asked).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, StoreError> {
        self.read_events(filter, before, size).await
    }

    async fn forget_events(&self, older_than: Span, most: u32) -> Result<u64, StoreError> {
        self.delete_events(older_than, most).await
    }

    async fn prune(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        self.forget_free(free_for, most).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.check_epoch().await?;
        self.look_for_watchers().await
    }

    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        self.news.receiver()
    }

    async fn say_alive(&self) -> Result<(), StoreError> {
        self.keep_places().await
    }

    async fn look_after_waiters(&self) -> Result<Look, StoreError> {
        self.read_look().await
    }

    async fn without_place(
        &self,
        waiters: &[(Resource, OwnerId)],
    ) -> Result<Vec<usize>, StoreError> {
        self.read_without_place(waiters).await
    }

    async fn send_waiters_away(&self) -> Result<(), StoreError> {
        self.sent_away.store(true, Ordering::Relaxed);
        self.say_stopping().await
    }

    async fn waits_for(&self) -> Result<Vec<WaitsFor>, StoreError> {
        self.read_waits_for().await
    }

    async fn watch(&self, renewals: bool) -> Result<(), StoreError> {
        self.begin_to_watch(renewals).await
    }

    async fn watch_renewals(&self) -> Result<(), StoreError> {
        self.go_on_with_renewals().await
    }

    async fn changes(&self, renewals: bool) -> Result<Changes, StoreError> {
        self.read_changes(renewals).await
    }

    async fn watched(
        &self,
        filter: &WatchFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<WatchPage, StoreError> {
        self.read_watched(filter, after, size).await
    }

    async fn forget_changes(&self, most: u32) -> Result<u64, StoreError> {
        self.delete_unwatched(most).await
    }

    async fn drop_gone_waiters(&self, most: u32) -> Result<u64, StoreError> {
        self.drop_gone(most).await
    }

    async fn close(&self) {
        self.listening.stop();
        self.for_batches.close().await;
        self.for_watching.close().await;
        self.connections.close().await;
    }
}

/// Ends a connection that a set-up step used.
async fn goodbye(connection: sqlx::PgConnection) {
    // A goodbye that fails leaves nothing behind: the socket is closed.
    drop(connection.close().await);
}
