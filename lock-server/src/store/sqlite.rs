//! Locks in a SQLite file: the embedded default. One command and no set-up
//! gives a durable server on one machine.
//!
//! One connection writes; a batch is a `BEGIN IMMEDIATE` transaction, or some
//! where it is large, so that nothing changes between reading a row and writing it, and the rules
//! run as Rust ([`crate::domain::decide`]). Other connections read meanwhile,
//! which the write-ahead log allows. `synchronous = FULL` puts every commit on
//! disk before it is acknowledged.
//!
//! The database runs in this process, so its clock is this machine's clock,
//! read by SQLite itself, in milliseconds.
//!
//! Only one server may use a file: an advisory lock on `FILE.lock` refuses the
//! second. The system drops it with the process, however that ends.

mod apply;
mod inspect;
mod rows;
mod setup;
mod sweep;

use std::{
    fs::File,
    ops::{Deref, DerefMut},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection, sqlite::SqliteConnectOptions,
};
use tokio::sync::{Mutex, MutexGuard};

use super::{Freed, Store, StoreError};
use crate::domain::{
    Command, ListFilter, Lock, LockPage, Outcome, OwnerId, Resource, Span, StaleFilter, StalePage,
    Timestamp,
};

/// Locks in a SQLite file, or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Writer>,
    /// None in memory, where there is but one connection.
    readers: Option<SqlitePool>,
    /// How to open the file again after a failure.
    reopen: Option<SqliteConnectOptions>,
    timeout: Duration,
    /// Held for as long as the store is open.
    _only_server: Option<File>,
}

/// The one connection that writes.
#[derive(Debug)]
enum Writer {
    Open(SqliteConnection),
    /// The last write failed; the next one opens the file anew.
    Failed(Box<SqliteConnectOptions>),
    Closed,
}

/// The connection that writes, for one write. Unless the write is said to have
/// ended well, the connection is given up: a failed write may leave it in a
/// transaction that SQLite has ended and sqlx has not.
struct Write<'a> {
    writer: MutexGuard<'a, Writer>,
    /// Where to open the file anew; none when it is in memory, and goes with
    /// its connection.
    reopen: Option<SqliteConnectOptions>,
}

/// A connection to read from.
enum Reader<'a> {
    Pooled(PoolConnection<Sqlite>),
    Writer(Write<'a>),
}

impl SqliteStore {
    /// The connection that writes, once it is this caller's turn.
    async fn writer(&self) -> Result<Write<'_>, StoreError> {
        let mut writer = self.writer.lock().await;
        if let Writer::Failed(options) = &*writer {
            *writer = Writer::Open(options.connect().await?);
        }
        match &*writer {
            Writer::Open(_) => Ok(Write { writer, reopen: self.reopen.clone() }),
            _ => Err(StoreError::Closed),
        }
    }

    /// A connection to read from.
    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        match &self.readers {
            Some(readers) => Ok(Reader::Pooled(readers.acquire().await?)),
            None => Ok(Reader::Writer(self.writer().await?)),
        }
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

impl Write<'_> {
    /// The write ended well: the connection is as good as before.
    fn done(mut self) {
        self.reopen = None;
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if let Some(options) = self.reopen.take() {
            *self.writer = Writer::Failed(Box::new(options));
        }
    }
}

impl Deref for Write<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match &*self.writer {
            Writer::Open(connection) => connection,
            _ => unreachable!("a write begins on an open connection"),
        }
    }
}

impl DerefMut for Write<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match &mut *self.writer {
            Writer::Open(connection) => connection,
            _ => unreachable!("a write begins on an open connection"),
        }
    }
}

impl Reader<'_> {
    fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Writer(write) => write,
        }
    }

    /// The read ended well.
    fn done(self) {
        if let Self::Writer(write) = self {
            write.done();
        }
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

    async fn purge(&self, filter: &StaleFilter, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.free_stale(filter, most)).await
    }

    async fn prune(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        self.in_time(self.forget_free(free_for, most)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.in_time(self.check_writable()).await
    }

    async fn close(&self) {
        let writer = std::mem::replace(&mut *self.writer.lock().await, Writer::Closed);
        if let Writer::Open(connection) = writer {
            // A goodbye that fails leaves nothing behind: the file is closed.
            drop(connection.close().await);
        }
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
    }
}
