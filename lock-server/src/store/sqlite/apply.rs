//! Commands in one write transaction: the rows that they are about are read at
//! once, decided on one command after the other, and written at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use super::{
    SqliteStore, StoreError,
    rows::{self, NOW},
};
use crate::domain::{Change, Command, Metadata, Outcome, Resource, Row, Timestamp, decide};

/// The clock and the token floor.
static CLOCK: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {NOW} AS now, token_floor FROM fencing_epoch"));

/// The rows of resources, which are given as pairs of type and id.
const READ: &str = "
    SELECT l.*
    FROM json_each(?1) AS wanted
    JOIN locks l ON l.resource_type = wanted.value ->> 0 AND l.resource_id = wanted.value ->> 1";

/// Writes rows, which are given as arrays in the order of these columns.
const WRITE: &str = "
    INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                       renewed_at, expires_at, freed_at, ttl, reentries, metadata)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
           value ->> 6, value ->> 7, value ->> 8, value ->> 9, value -> 10
    FROM json_each(?1)
    WHERE true
    ON CONFLICT (resource_type, resource_id) DO UPDATE SET
        owner_id = excluded.owner_id, fencing_token = excluded.fencing_token,
        acquired_at = excluded.acquired_at, renewed_at = excluded.renewed_at,
        expires_at = excluded.expires_at, freed_at = excluded.freed_at, ttl = excluded.ttl,
        reentries = excluded.reentries, metadata = excluded.metadata";

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
            outcomes.extend(apply(&mut transaction, commands).await?);
            transaction.commit().await?;
            writer.done();
        }
        Ok(outcomes)
    }
}

/// Carries out commands while nobody else can write. One reading of the clock
/// serves them all: it is from after the write lock was granted.
async fn apply(
    connection: &mut SqliteConnection,
    commands: &[Command],
) -> Result<Vec<Outcome>, StoreError> {
    let clock = sqlx::query(AssertSqlSafe(CLOCK.as_str())).fetch_one(&mut *connection).await?;
    let now = Timestamp::from_micros(clock.try_get("now")?);
    let floor: i64 = clock.try_get("token_floor")?;
    let mut rows = read(connection, commands).await?;
    let mut changed = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        let resource = command.resource();
        let decision = decide(command, rows.get(resource).cloned(), now, floor);
        match decision.change {
            Change::Keep => {}
            Change::Put(row) => {
                rows.insert(resource.clone(), row);
                changed.insert(resource);
            }
            Change::Free => {
                if let Some(row) = rows.get_mut(resource) {
                    row.expires_at = None;
                    row.metadata = Metadata::default();
                    changed.insert(resource);
                }
            }
        }
        outcomes.push(decision.outcome);
    }
    write(connection, &rows, &changed, now).await?;
    Ok(outcomes)
}

async fn read(
    connection: &mut SqliteConnection,
    commands: &[Command],
) -> Result<BTreeMap<Resource, Row>, StoreError> {
    let wanted: BTreeSet<_> = commands.iter().map(Command::resource).collect();
    let wanted: Vec<_> = wanted.iter().map(|one| [one.kind().as_str(), one.id()]).collect();
    let found = sqlx::query(READ).bind(json!(wanted)).fetch_all(connection).await?;
    found.iter().map(|row| Ok((rows::resource(row)?, rows::standing(row)?))).collect()
}

async fn write(
    connection: &mut SqliteConnection,
    rows: &BTreeMap<Resource, Row>,
    changed: &BTreeSet<&Resource>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if changed.is_empty() {
        return Ok(());
    }
    let values: Vec<_> = changed
        .iter()
        .filter_map(|resource| Some((resource, rows.get(*resource)?)))
        .map(|(resource, row)| {
            let freed_at = row.expires_at.is_none().then(|| now.micros());
            json!([
                resource.kind().as_str(),
                resource.id(),
                row.owner.as_str(),
                row.token.for_table(),
                row.acquired_at.micros(),
                row.renewed_at.micros(),
                row.expires_at.map(Timestamp::micros),
                freed_at,
                row.ttl.micros(),
                row.reentries,
                row.metadata.entries(),
            ])
        })
        .collect();
    sqlx::query(WRITE).bind(json!(values)).execute(connection).await?;
    Ok(())
}
