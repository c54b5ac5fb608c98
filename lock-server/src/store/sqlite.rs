//! Locks in a SQLite file: the embedded default. One command and no set-up
//! gives a durable server on one machine.
//!
//! One thread writes, on one connection: a batch is handed to it as a whole and
//! is a `BEGIN IMMEDIATE` transaction, or some where it is large, so that
//! nothing changes between reading a row and writing it, and the rules run as
//! Rust ([`crate::domain::decide`]). Other threads read meanwhile, which the
//! write-ahead log allows. `synchronous = FULL` puts every commit on disk before
//! it is acknowledged.
//!
//! The database runs in this process, so its clock is this machine's clock,
//! read by SQLite itself, in milliseconds.
//!
//! Only one server may use a file: an advisory lock on `FILE.lock` refuses the
//! second. The system drops it with the process, however that ends.

mod apply;
mod events;
mod inspect;
mod line;
mod outbox;
mod rows;
mod setup;
mod sweep;
mod table;
mod turn;
mod waiting;
mod watch;
mod worker;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::{turn::Here, worker::Workers};
use super::{Batching, Changes, Freed, Look, Store, StoreError, Wake};
use crate::domain::{
    Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock, LockPage, Outcome,
    OwnerId, Purge, Resource, Span, StaleFilter, StalePage, Timestamp, WaitsFor, WatchFilter,
    WatchPage,
};

/// Locks in a SQLite file, or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Workers,
    /// None in memory, where there is but one connection.
    readers: Option<Workers>,
    timeout: Duration,
    here: Arc<Here>,
}

impl SqliteStore {
    /// Who reads.
    fn readers(&self) -> &Workers {
        self.readers.as_ref().unwrap_or(&self.writer)
    }

    /// Runs in time, or not at all as far as the caller can tell.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or(Err(StoreError::Timeout(self.timeout)))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    async fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        self.in_time(self.apply_batch(commands)).await
    }

    fn batching(&self) -> Batching {
        // There is one writer, and a batch is one transaction.
        Batching { at_a_time: 1, queues: [0; Command::KINDS], most: apply::TRANSACTION }
    }

    async fn release_owner(&self, owner: &OwnerId, most: u32) -> Result<Freed, StoreError> {
        self.in_time(self.free_locks_of(owner, most)).await
    }

    async fn get(&self, resource: &Resource) -> Result<Option<Lock>, StoreError> {
        self.in_time(self.read_lock(resource)).await
    }

    async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError> {
        self.in_time(self.read_live(filter, after, size)).await
    }

    async fn list_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, StoreError> {
        self.in_time(self.read_stale(filter, after, size)).await
    }

    async fn purge(&self, purge: &mut Purge, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.free_stale(purge, most)).await
    }

    async fn force_release(&self, asked: &ForceRelease) -> Result<Forced, StoreError> {
        self.in_time(self.break_hold(asked)).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, StoreError> {
        self.in_time(self.read_events(filter, before, size)).await
    }

    async fn forget_events(&self, older_than: Span, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.delete_events(older_than, most)).await
    }

    async fn prune(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.forget_free(free_for, most)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.in_time(self.check_writable()).await
    }

    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        self.here.news.receiver()
    }

    async fn say_alive(&self) -> Result<(), StoreError> {
        self.in_time(self.keep_places()).await
    }

    async fn look_after_waiters(&self) -> Result<Look, StoreError> {
        self.in_time(self.read_look()).await
    }

    async fn without_place(
        &self,
        waiters: &[(Resource, OwnerId)],
    ) -> Result<Vec<usize>, StoreError> {
        self.in_time(self.read_without_place(waiters)).await
    }

    async fn send_waiters_away(&self) -> Result<(), StoreError> {
        self.here.send_away();
        Ok(())
    }

    async fn waits_for(&self) -> Result<Vec<WaitsFor>, StoreError> {
        self.in_time(self.read_waits_for()).await
    }

    async fn drop_gone_waiters(&self, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.drop_gone(most)).await
    }

    async fn watch(&self, renewals: bool) -> Result<(), StoreError> {
        self.begin_to_watch(renewals).await
    }

    async fn watch_renewals(&self) -> Result<(), StoreError> {
        self.go_on_with_renewals().await
    }

    async fn changes(&self, renewals: bool) -> Result<Changes, StoreError> {
        self.in_time(self.read_changes(renewals)).await
    }

    async fn watched(
        &self,
        filter: &WatchFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<WatchPage, StoreError> {
        self.in_time(self.read_watched(filter, after, size)).await
    }

    async fn forget_changes(&self, _most: u32) -> Result<u64, StoreError> {
        // Nothing is left behind: what nobody asks for is not kept.
        Ok(0)
    }

    async fn close(&self) {
        // Who writes is the last to close the file, and so the one who tidies
        // the log away.
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.writer.close().await;
    }
}
