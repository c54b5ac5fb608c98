//! Commands, one after the other, in one write transaction.

use std::sync::LazyLock;

use sqlx::{Connection as _, SqliteConnection, types::Json};

use super::{
    SqliteStore, StoreError,
    rows::{self, NOW},
};
use crate::domain::{Change, Command, Outcome, Resource, Row, Timestamp, decide};

/// The clock, the token floor, and the resource's row where there is one.
static READ: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {NOW} AS now, e.token_floor, l.resource_id IS NOT NULL AS known, l.*
         FROM fencing_epoch e
         LEFT JOIN locks l ON l.resource_type = ?1 AND l.resource_id = ?2"
    )
});

const PUT: &str = "
    INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                       renewed_at, expires_at, freed_at, ttl, reentries, metadata)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8, ?9, ?10)
    ON CONFLICT (resource_type, resource_id) DO UPDATE SET
        owner_id = excluded.owner_id, fencing_token = excluded.fencing_token,
        acquired_at = excluded.acquired_at, renewed_at = excluded.renewed_at,
        expires_at = excluded.expires_at, freed_at = NULL, ttl = excluded.ttl,
        reentries = excluded.reentries, metadata = excluded.metadata";

const FREE: &str = "
    UPDATE locks SET expires_at = NULL, freed_at = ?3, metadata = '{}'
    WHERE resource_type = ?1 AND resource_id = ?2";

/// The most commands in one transaction: others get their turn in between, and
/// what is done stays done when the time for the rest is over.
const TRANSACTION: usize = 500;

impl SqliteStore {
    pub(super) async fn apply_batch(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for commands in commands.chunks(TRANSACTION) {
            let mut writer = self.writer().await?;
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            for command in commands {
                outcomes.push(apply(&mut transaction, command).await?);
            }
            transaction.commit().await?;
            writer.done();
        }
        Ok(outcomes)
    }
}

async fn apply(
    connection: &mut SqliteConnection,
    command: &Command,
) -> Result<Outcome, StoreError> {
    use sqlx::Row as _;
    let resource = command.resource();
    let found = sqlx::query(sqlx::AssertSqlSafe(READ.as_str()))
        .bind(resource.kind().as_str())
        .bind(resource.id())
        .fetch_one(&mut *connection)
        .await?;
    let now = Timestamp::from_micros(found.try_get("now")?);
    let known: bool = found.try_get("known")?;
    let row = known.then(|| rows::standing(&found)).transpose()?;
    let decision = decide(command, row, now, found.try_get("token_floor")?);
    match decision.change {
        Change::Keep => {}
        Change::Put(row) => put(connection, resource, &row).await?,
        Change::Free => {
            sqlx::query(FREE)
                .bind(resource.kind().as_str())
                .bind(resource.id())
                .bind(now.micros())
                .execute(connection)
                .await?;
        }
    }
    Ok(decision.outcome)
}

async fn put(
    connection: &mut SqliteConnection,
    resource: &Resource,
    row: &Row,
) -> Result<(), StoreError> {
    sqlx::query(PUT)
        .bind(resource.kind().as_str())
        .bind(resource.id())
        .bind(row.owner.as_str())
        .bind(row.token.for_table())
        .bind(row.acquired_at.micros())
        .bind(row.renewed_at.micros())
        .bind(row.expires_at.map(Timestamp::micros))
        .bind(row.ttl.micros())
        .bind(row.reentries)
        .bind(Json(row.metadata.entries()))
        .execute(connection)
        .await?;
    Ok(())
}
