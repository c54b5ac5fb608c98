//! A statement for each command, prepared, on a connection to Postgres of the caller's own.

use sqlx::{Connection as _, PgConnection};

use super::{Grant, odd};
use crate::{
    part::{KIND, Part},
    schema,
    trouble::{During, Result},
};

/// As long as the server's default.
pub(super) const TTL_MS: i64 = 300_000;

/// One caller.
pub(crate) struct Statement {
    connection: PgConnection,
    pub(super) part: Part,
}

impl Statement {
    pub(crate) async fn connect(url: &str, part: Part) -> Result<Self> {
        let connection = PgConnection::connect(url).await.during("connect to Postgres")?;
        Ok(Self { connection, part })
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        let row = sqlx::query(schema::ACQUIRE)
            .bind(KIND)
            .bind(&self.part.resources[lock])
            .bind(&self.part.owner)
            .bind(TTL_MS)
            .fetch_optional(&mut self.connection)
            .await
            .during("acquire")?;
        Ok(if row.is_some() { Grant::Granted } else { Grant::Conflict })
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        let done = sqlx::query(schema::RELEASE)
            .bind(KIND)
            .bind(&self.part.resources[lock])
            .bind(&self.part.owner)
            .bind(None::<i64>)
            .execute(&mut self.connection)
            .await
            .during("release")?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(odd("nothing was released")) }
    }
}
