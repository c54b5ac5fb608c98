//! A small set of connections to one database.
//!
//! Why not sqlx's pool: see lock-server's of the same name; it tests each
//! connection that comes back, without a deadline. Here a connection whose user
//! gave up on it is closed on the spot, which rolls back what it was doing, and
//! one that broke discards all that were idle.
//!
//! A database in memory is its connection: that one is kept, and whoever has it
//! next rolls back what was given up on.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{StoreError, connection::Connection, error::ends_the_session};

/// Where connections come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A Postgres.
    Postgres(Box<PgConnectOptions>),
    /// A SQLite file.
    File(Box<SqliteConnectOptions>),
    /// From nowhere: there is the one in memory.
    Memory,
}

/// Connections to one database, at most so many at a time, in order of asking.
#[derive(Debug)]
pub(super) struct Connections {
    source: Source,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Goes up when one breaks; what is idle from before it is not used.
    generation: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    generation: u64,
    /// Somebody gave up on a transaction in it.
    unfinished: bool,
}

/// A connection on loan. When it is dropped without [`Loan::give_back`], nothing
/// that was not committed happens.
#[derive(Debug)]
pub(super) struct Loan<'a> {
    connections: &'a Connections,
    /// There until it is given back or dropped.
    connection: Option<Connection>,
    generation: u64,
    was_idle: bool,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    pub(super) fn new(source: Source, most: u32) -> Self {
        Self {
            source,
            permits: Semaphore::new(most.max(1) as usize),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// The one connection to a database in memory.
    pub(super) fn memory(connection: Connection) -> Self {
        let connections = Self::new(Source::Memory, 1);
        connections.idle().push(Idle { connection, generation: 0, unfinished: false });
        connections
    }

    /// A connection: an idle one, or a new one. Waits for one to come back
    /// when all are on loan.
    pub(super) async fn borrow(&self) -> Result<Loan<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| StoreError::closed())?;
        let generation = self.generation.load(Ordering::Acquire);
        let loan = |connection, was_idle| Loan {
            connections: self,
            connection: Some(connection),
            generation,
            was_idle,
            _permit: permit,
        };
        let Some(Idle { connection, unfinished, .. }) = self.take_idle(generation) else {
            return Ok(loan(self.source.connect().await?, false));
        };
        let mut loan = loan(connection, true);
        if unfinished {
            // There is nothing to roll back when it was given up after its end.
            drop(loan.run("ROLLBACK").await);
        }
        Ok(loan)
    }

    fn take_idle(&self, generation: u64) -> Option<Idle> {
        let mut idle = self.idle();
        idle.retain(|one| one.generation == generation);
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever is open now is not used again, unless it is the database.
    pub(super) fn discard(&self) {
        if !matches!(self.source, Source::Memory) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Refuses further loans and closes what is idle.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for one in idle {
            // A goodbye that fails leaves nothing behind: the connection is gone.
            drop(one.connection.close().await);
        }
    }
}

impl Source {
    async fn connect(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Postgres(options) => Ok(Connection::Postgres(Box::new(options.connect().await?))),
            Self::File(options) => Ok(Connection::Sqlite(Box::new(options.connect().await?))),
            Self::Memory => Err(StoreError::closed()),
        }
    }
}

impl Loan<'_> {
    /// Whether it was used before, and what it leads to may be gone since.
    pub(super) fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Keeps the connection for the next user. Only when no transaction is open.
    pub(super) fn give_back(mut self) {
        self.leave(false);
    }

    /// Looks at an error of this connection: whether it is one of all of them.
    pub(super) fn broke(&self, error: &sqlx::Error) -> bool {
        let broke = ends_the_session(error);
        if broke {
            self.connections.discard();
        }
        broke
    }

    fn leave(&mut self, unfinished: bool) {
        let Some(connection) = self.connection.take() else { return };
        let mut idle = self.connections.idle();
        // Looked at under the lock: who closes takes what is idle after it.
        if !self.connections.permits.is_closed() {
            idle.push(Idle { connection, generation: self.generation, unfinished });
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if matches!(self.connections.source, Source::Memory) {
            self.leave(true);
        }
    }
}

impl Deref for Loan<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a loan has its connection until it ends")
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a loan has its connection until it ends")
    }
}
