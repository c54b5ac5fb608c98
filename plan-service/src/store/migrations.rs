//! The schema of each engine, built into the binary, and how it is brought up
//! to date. Migrations only go forward.

use service_kit::database::{
    DatabaseUrl, Migrate,
    migrations::{Script, applied_postgres, applied_sqlite, migrator, run_postgres},
};
use sqlx::{
    Connection as _, PgConnection, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

use super::{OpenError, StoreError};

const POSTGRES: [Script; 3] = [
    (1, "plans", include_str!("../../../migrations/plan/postgres/0001_plans.sql")),
    (2, "output_tokens", include_str!("../../../migrations/plan/postgres/0002_output_tokens.sql")),
    (3, "noted_merges", include_str!("../../../migrations/plan/postgres/0003_noted_merges.sql")),
];
const SQLITE: [Script; 3] = [
    (1, "plans", include_str!("../../../migrations/plan/sqlite/0001_plans.sql")),
    (2, "output_tokens", include_str!("../../../migrations/plan/sqlite/0002_output_tokens.sql")),
    (3, "noted_merges", include_str!("../../../migrations/plan/sqlite/0003_noted_merges.sql")),
];

/// Where an engine notes which migrations it has seen. Not sqlx's default, so
/// that two services may share a database.
const TABLE: &str = "plan_schema_migrations";

/// What instances that migrate at the same time wait for each other with; any
/// number that nobody else is likely to use.
const LOCK: i64 = 0x706c_616e_2d73_7276;

/// Brings the schema of a Postgres up to date, or checks that it is. Instances
/// that start at the same time go one after the other.
pub(super) async fn postgres(
    connection: &mut PgConnection,
    migrate: Migrate,
    url: &DatabaseUrl,
) -> Result<(), OpenError> {
    let applied = applied_postgres(connection, TABLE).await;
    let Some(pending) = pending(applied, &POSTGRES, migrate, url)? else { return Ok(()) };
    let done = run_postgres(&pending.migrator, connection, LOCK).await;
    pending.done(done, url)
}

/// Brings the schema of a SQLite database up to date, or checks that it is.
/// Instances that start at the same time go one after the other.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
    migrate: Migrate,
    url: &DatabaseUrl,
) -> Result<(), OpenError> {
    let applied = applied_sqlite(connection, TABLE).await;
    let Some(pending) = pending(applied, &SQLITE, migrate, url)? else { return Ok(()) };
    let run = async {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        pending.migrator.run_direct(None, &mut *transaction, false).await?;
        transaction.commit().await?;
        Ok(())
    };
    pending.done(run.await, url)
}

/// Migrations that a database has not seen, and may be given.
struct Pending {
    migrator: Migrator,
    before: Option<i64>,
    newest: i64,
}

impl Pending {
    /// Logs that a schema was brought up to date. A new one is told apart: where
    /// plans were expected, it means that the URL is not the one that was meant.
    fn done(&self, result: Result<(), MigrateError>, url: &DatabaseUrl) -> Result<(), OpenError> {
        result.map_err(|source| OpenError::Migrate { url: url.to_string(), source })?;
        let version = self.newest;
        match self.before {
            None => tracing::info!(version, "this database is new: made the tables"),
            Some(before) => tracing::info!(before, version, "brought the schema up to date"),
        }
        Ok(())
    }
}

fn pending(
    applied: Result<Option<i64>, sqlx::Error>,
    scripts: &[Script],
    migrate: Migrate,
    url: &DatabaseUrl,
) -> Result<Option<Pending>, OpenError> {
    let failed = |source: sqlx::Error| OpenError::Database {
        url: url.to_string(),
        source: StoreError::from(source),
    };
    let before = applied.map_err(failed)?;
    let newest = scripts.iter().map(|(number, ..)| *number).max().unwrap_or(0);
    if before >= Some(newest) {
        return Ok(None);
    }
    match migrate {
        Migrate::Auto => Ok(Some(Pending { migrator: migrator(scripts, TABLE), before, newest })),
        Migrate::Never => Err(OpenError::Schema(behind(url, before, newest))),
    }
}

/// What to say of a schema that is behind.
fn behind(url: &DatabaseUrl, found: Option<i64>, needed: i64) -> String {
    let found = match found {
        None => "has no schema yet".to_owned(),
        Some(found) => format!("has schema version {found}"),
    };
    format!(
        "the database {url} {found}, this service needs version {needed}, and --migrate never \
         keeps it from changing that: run `plan-service migrate` first, or start with --migrate \
         auto"
    )
}

#[cfg(test)]
mod tests {
    use service_kit::testing::assert_migrations;

    use super::*;

    #[test]
    fn the_engines_are_in_step_and_no_migration_was_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/plan");
        assert_migrations(folder, &[("postgres", &POSTGRES), ("sqlite", &SQLITE)]);
    }
}
