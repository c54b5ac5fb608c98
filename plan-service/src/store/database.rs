//! A database of either engine: bounded operations, transactions.

use std::{sync::Arc, time::Duration};

use super::{
    StoreError,
    connection::{Row, Statement},
    connections::{Connections, Loan},
};

/// A database of either engine.
#[derive(Debug)]
pub(super) struct Database {
    engine: Engine,
    /// How long an operation may take.
    timeout: Duration,
    reads: Arc<Connections>,
    /// The same ones, but for a SQLite file: there is one writer at a time, and
    /// in this process they wait for each other in order.
    writes: Arc<Connections>,
    begin_read: String,
    begin_write: String,
}

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Postgres,
    Sqlite,
}

/// What is done in it happens at [`Transaction::commit`], or never. It reads one
/// state of the database if it is for reading.
#[derive(Debug)]
pub(super) struct Transaction<'a>(Loan<'a>);

impl Database {
    pub(super) fn postgres(connections: Connections, timeout: Duration) -> Self {
        let connections = Arc::new(connections);
        let begin = |mode| {
            // The database gives up a little before the caller does, and says
            // so. An instance that is stopped within a transaction does not keep
            // its rows from the others.
            let margin = (timeout / 10).min(Duration::from_millis(250));
            let limit = (timeout - margin).as_millis().max(1);
            format!(
                "BEGIN ISOLATION LEVEL {mode}; \
                 SET LOCAL statement_timeout = '{limit}ms'; \
                 SET LOCAL idle_in_transaction_session_timeout = '{limit}ms'"
            )
        };
        Self {
            engine: Engine::Postgres,
            timeout,
            reads: Arc::clone(&connections),
            writes: connections,
            begin_read: begin("REPEATABLE READ READ ONLY"),
            // What has become a standby refuses this.
            begin_write: begin("READ COMMITTED READ WRITE"),
        }
    }

    pub(super) fn sqlite(
        reads: Arc<Connections>,
        writes: Arc<Connections>,
        timeout: Duration,
    ) -> Self {
        Self {
            engine: Engine::Sqlite,
            timeout,
            reads,
            writes,
            begin_read: "BEGIN DEFERRED".into(),
            // A transaction that only later turns out to write could be refused.
            begin_write: "BEGIN IMMEDIATE".into(),
        }
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    pub(super) async fn close(&self) {
        self.writes.close().await;
        self.reads.close().await;
    }

    /// Carries an operation out within the time that there is, again where the
    /// database gave up on it in favour of another.
    pub(super) async fn in_time<T, F>(&self, operation: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let trying = async {
            loop {
                match operation().await {
                    Err(error) if error.gave_way() => {}
                    done => return done,
                }
            }
        };
        tokio::time::timeout(self.timeout, trying).await.unwrap_or_else(|_elapsed| {
            self.reads.discard();
            self.writes.discard();
            Err(StoreError::Timeout)
        })
    }

    /// Begins a transaction that only reads.
    pub(super) async fn read(&self) -> Result<Transaction<'_>, StoreError> {
        Self::begin(&self.reads, &self.begin_read).await
    }

    /// Begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Transaction<'_>, StoreError> {
        Self::begin(&self.writes, &self.begin_write).await
    }

    async fn begin<'a>(
        connections: &'a Connections,
        begin: &str,
    ) -> Result<Transaction<'a>, StoreError> {
        loop {
            let mut loan = connections.borrow().await?;
            match loan.run(begin).await {
                Ok(()) => return Ok(Transaction(loan)),
                // Nothing has been asked for yet, and a new connection may do.
                Err(error) if loan.broke(&error) && loan.was_idle() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Transaction<'_> {
    /// Carries a statement out: how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        let done = self.0.execute(statement).await;
        done.map_err(|error| self.failed(error))
    }

    /// Carries a statement out: its rows.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let rows = self.0.rows(statement).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Carries a statement out: its only row, or the first.
    pub(super) async fn row(&mut self, statement: Statement) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Makes it happen.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Ends it, and nothing has happened. Quicker than to drop it.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> Result<(), StoreError> {
        let done = self.0.run(how).await;
        done.map_err(|error| self.failed(error))?;
        self.0.give_back();
        Ok(())
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        self.0.broke(&error);
        error.into()
    }
}
