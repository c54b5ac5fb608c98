//! Locks in Postgres, or in what speaks its protocol and its SQL: for
//! production, and for several servers on one database.
//!
//! # One statement, one decision
//!
//! Each kind of command is one statement over arrays, so that a batch of one
//! kind is one round trip and one commit, whatever its size. Every statement takes its row locks
//! ordered by resource: batches of several servers wait for each other, they
//! do not deadlock.
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
mod epoch;
mod inspect;
mod limits;
pub mod pooler;
mod rows;
mod setup;
mod statements;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, postgres::PgRow};

use super::{Freed, Store, StoreError, connections::Connections};
use crate::domain::{
    Command, ListFilter, Lock, LockPage, Outcome, OwnerId, Resource, Span, StaleFilter, StalePage,
    Timestamp,
};

/// Locks in Postgres.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    /// How a transaction begins behind a transaction-pooling proxy; none where
    /// there is no such proxy.
    pooled: Option<String>,
    timeout: Duration,
    max_stall: Span,
    /// The acquire statement, which differs by what the database can tell of
    /// its timeline.
    acquire_sql: String,
    renew_sql: String,
    /// As `renew_sql`, leaving out what others work on.
    renew_or_skip_sql: String,
    timeline: epoch::Timeline,
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl PostgresStore {
    /// Runs one statement and commits: its rows. In time, or not at all as far
    /// as the caller can tell.
    async fn run(&self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        match tokio::time::timeout(self.timeout, self.run_in_time(query)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                // What was on loan is closed; its neighbours are most likely
                // as dead.
                self.connections.discard();
                Err(StoreError::Timeout(self.timeout))
            }
        }
    }

    async fn run_in_time(&self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut loan = self.connections.borrow().await?;
        let result = match &self.pooled {
            Some(begin) => pooler::run(&mut loan, begin, query).await,
            None => query.fetch_all(&mut *loan).await,
        };
        match result {
            Ok(rows) => {
                loan.give_back();
                Ok(rows)
            }
            Err(error) => {
                loan.failed(&error);
                Err(error.into())
            }
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn engine(&self) -> &'static str {
        "postgres"
    }

    async fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        // Each statement has its time; a batch of several has no more in all.
        tokio::time::timeout(self.timeout, self.apply_batch(commands)).await.unwrap_or_else(
            |_elapsed| {
                self.connections.discard();
                Err(StoreError::Timeout(self.timeout))
            },
        )
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

    async fn purge(&self, filter: &StaleFilter, most: u32) -> Result<u64, StoreError> {
        self.free_stale(filter, most).await
    }

    async fn prune(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        self.forget_free(free_for, most).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.check_epoch().await
    }

    async fn close(&self) {
        self.connections.close().await;
    }
}

/// Ends a connection that a set-up step used.
async fn goodbye(connection: sqlx::PgConnection) {
    // A goodbye that fails leaves nothing behind: the socket is closed.
    drop(connection.close().await);
}
