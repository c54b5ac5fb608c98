//! Statements of 256 rows: the most that the same Postgres takes, whatever stands before it.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Grant, odd, statement::TTL_MS};
use crate::{
    part::{KIND, Part},
    schema,
    trouble::{During, Result},
};

/// Rows in a statement.
pub(crate) const ROWS: usize = 256;

/// One connection. What it takes and gives back is a set of rows.
pub(crate) struct Rows {
    connection: PgConnection,
    owner: String,
    sets: Vec<Vec<String>>,
}

impl Rows {
    pub(crate) async fn connect(url: &str, part: Part) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await.during("connect to Postgres")?;
        // The plan is made while the table is empty: say that it will not stay so.
        let plan =
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
        connection.execute(plan).await.during("choose a plan")?;
        let sets = part.resources.chunks_exact(ROWS).map(<[String]>::to_vec).collect();
        Ok(Self { connection, owner: part.owner, sets })
    }

    pub(super) fn sets(&self) -> usize {
        self.sets.len()
    }

    pub(super) async fn acquire(&mut self, set: usize) -> Result<Grant> {
        let rows = sqlx::query(schema::ACQUIRE_ROWS)
            .bind(KIND)
            .bind(&self.sets[set])
            .bind(&self.owner)
            .bind(TTL_MS)
            .fetch_all(&mut self.connection)
            .await
            .during("acquire rows")?;
        if rows.len() == ROWS { Ok(Grant::Granted) } else { Err(odd("not all rows were granted")) }
    }

    pub(super) async fn release(&mut self, set: usize) -> Result<()> {
        let done = sqlx::query(schema::RELEASE_ROWS)
            .bind(KIND)
            .bind(&self.sets[set])
            .bind(&self.owner)
            .execute(&mut self.connection)
            .await
            .during("release rows")?;
        let all = done.rows_affected() == ROWS as u64;
        if all { Ok(()) } else { Err(odd("not all rows were released")) }
    }
}
