//! Postgres' advisory locks: nothing is written, so they are gone with the connection.

use sqlx::{Connection as _, PgConnection};

use super::{Grant, odd};
use crate::{
    part::Part,
    trouble::{During, Result},
};

/// One caller on a connection of its own.
pub(crate) struct Advisory {
    connection: PgConnection,
    pub(super) part: Part,
}

impl Advisory {
    pub(crate) async fn connect(url: &str, part: Part) -> Result<Self> {
        let connection = PgConnection::connect(url).await.during("connect to Postgres")?;
        Ok(Self { connection, part })
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        const TRY: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        Ok(if self.ask(TRY, lock).await? { Grant::Granted } else { Grant::Conflict })
    }

    /// Blocks in the database, and the connection with it.
    pub(super) async fn wait_for(&mut self, lock: usize) -> Result<Grant> {
        sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
            .bind(&self.part.resources[lock])
            .execute(&mut self.connection)
            .await
            .during("wait for an advisory lock")?;
        Ok(Grant::Granted)
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
        if self.ask(UNLOCK, lock).await? { Ok(()) } else { Err(odd("nothing was released")) }
    }

    async fn ask(&mut self, statement: &'static str, lock: usize) -> Result<bool> {
        sqlx::query_scalar(statement)
            .bind(&self.part.resources[lock])
            .fetch_one(&mut self.connection)
            .await
            .during("ask for an advisory lock")
    }
}
