//! The schema of each engine, built into the binary, and how it is brought up
//! to date. Migrations only go forward.

use service_kit::database::{DatabaseUrl, Migrate};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, SqlStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{OpenError, StoreError};

/// Number, name and text of a migration. The same numbers and names in both
/// engines.
type Script = (i64, &'static str, &'static str);

const POSTGRES: [Script; 1] =
    [(1, "plans", include_str!("../../../migrations/plan/postgres/0001_plans.sql"))];
const SQLITE: [Script; 1] =
    [(1, "plans", include_str!("../../../migrations/plan/sqlite/0001_plans.sql"))];

/// Where an engine notes which migrations it has seen. Not sqlx's default, so
/// that two services may share a database.
const TABLE: &str = "plan_schema_migrations";
const APPLIED: &str = "SELECT max(version) FROM plan_schema_migrations WHERE success";

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
    let Some(pending) = pending(applied_postgres(connection).await, &POSTGRES, migrate, url)?
    else {
        return Ok(());
    };
    let run = async {
        // Each statement must see what the one that was waited for has done.
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        pending.migrator.run_direct(None, &mut *transaction, false).await?;
        transaction.commit().await?;
        Ok(())
    };
    pending.done(run.await, url)
}

/// Brings the schema of a SQLite database up to date, or checks that it is.
/// Instances that start at the same time go one after the other.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
    migrate: Migrate,
    url: &DatabaseUrl,
) -> Result<(), OpenError> {
    let Some(pending) = pending(applied_sqlite(connection).await, &SQLITE, migrate, url)? else {
        return Ok(());
    };
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
        Migrate::Auto => Ok(Some(Pending { migrator: migrator(scripts), before, newest })),
        Migrate::Never => Err(OpenError::Schema(behind(url, before, newest))),
    }
}

fn migrator(scripts: &[Script]) -> Migrator {
    let migrations = scripts
        .iter()
        .map(|(number, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(*number, (*name).into(), kind, SqlStr::from_static(sql), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(TABLE);
    // sqlx would take a session lock, which a transaction-pooling proxy
    // strands; each engine takes its own instead.
    migrator.set_locking(false);
    // A newer instance may have been here: an older one must still start while
    // the newer one is rolled out or rolled back.
    migrator.set_ignore_missing(true);
    migrator
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

/// The newest migration that a Postgres has seen.
async fn applied_postgres(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    let mut transaction = connection.begin().await?;
    let newest = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(APPLIED))
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await;
    transaction.rollback().await?;
    match newest {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            Ok(None)
        }
        other => other,
    }
}

/// The newest migration that a SQLite database has seen.
async fn applied_sqlite(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'plan_schema_migrations'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(AssertSqlSafe(APPLIED)).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_are_in_step() {
        let listed = |scripts: &[Script]| -> Vec<_> {
            scripts.iter().map(|(number, name, _)| (*number, *name)).collect()
        };
        assert_eq!(listed(&POSTGRES), listed(&SQLITE));
        let numbers: Vec<_> = POSTGRES.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    }

    #[test]
    fn no_migration_was_forgotten() {
        for (engine, scripts) in [("postgres", &POSTGRES), ("sqlite", &SQLITE)] {
            let folder =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/plan");
            let files = std::fs::read_dir(folder.join(engine)).unwrap();
            let mut files: Vec<_> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            let known: Vec<_> =
                scripts.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql")).collect();
            assert_eq!(files, known, "{engine}");
        }
    }
}
