//! A small set of Postgres connections.
//!
//! Why not sqlx's pool: it tests each connection with a round trip when it
//! goes back, without a deadline, so that a database that stops answering
//! keeps every connection in that test until TCP gives up, a quarter of an
//! hour later. Here a connection whose user gave up on it is closed, on the
//! spot, and one failure discards all that were idle, since whatever happened
//! to one (a restart, a failover, a partition) happened to all.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::StoreError;

/// Connections to one database, at most so many at a time.
#[derive(Debug)]
pub(super) struct Connections {
    options: PgConnectOptions,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Goes up with every failure; what is idle from before it is not used.
    generation: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    generation: u64,
}

/// A connection on loan. Closed when dropped, unless [`Loan::give_back`].
#[derive(Debug)]
pub(super) struct Loan<'a> {
    connections: &'a Connections,
    connection: PgConnection,
    generation: u64,
    _permit: SemaphorePermit<'a>,
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(options: PgConnectOptions, most: u32) -> Self {
        Self {
            options,
            permits: Semaphore::new(most.max(1) as usize),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// A connection: an idle one, or a new one. Waits for one to come back
    /// when all are on loan.
    pub(super) async fn borrow(&self) -> Result<Loan<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_closed| StoreError::Closed)?;
        let generation = self.generation.load(Ordering::Acquire);
        let idle = self.take_idle(generation);
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Loan { connections: self, connection, generation, _permit: permit })
    }

    fn take_idle(&self, generation: u64) -> Option<PgConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.generation == generation);
        idle.pop().map(|one| one.connection)
    }

    /// Whatever is open now is not used again.
    pub(super) fn discard(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Refuses further loans and closes what is idle.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for one in idle {
            // A goodbye that fails leaves nothing behind: the socket is closed.
            drop(one.connection.close().await);
        }
    }
}

// === impl Loan ===

impl Loan<'_> {
    /// Keeps the connection for the next user. Only after a complete answer.
    pub(super) fn give_back(self) {
        let Self { connections, connection, generation, _permit } = self;
        if !connections.permits.is_closed() {
            let mut idle = connections.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Idle { connection, generation });
        }
    }

    /// Closes the connection and discards those that are idle, unless the
    /// database only refused what it was asked and is well itself. Whether the
    /// connection is closed.
    pub(super) fn failed(self, error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(database) if !ends_the_session(database.code().as_deref()) => {
                self.give_back();
                false
            }
            _ => {
                self.connections.discard();
                true
            }
        }
    }
}

/// Classes 08 (connection), 57P (shutdown) and 58 (system): the session is over.
/// 25006 (read only) is what a primary answers that became a standby.
fn ends_the_session(code: Option<&str>) -> bool {
    code.is_none_or(|code| {
        ["08", "57P", "58", "25006", "XX"].iter().any(|class| code.starts_with(class))
    })
}

impl Deref for Loan<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
