//! The schema of a service as a list of migrations that is built into its binary: how sqlx runs
//! them, and what a database has seen of them.
//!
//! When they are run, and what is said about it, is the service's own.

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, SqlStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

/// Number, name and text of a migration. The same numbers and names for every engine.
pub type Script = (i64, &'static str, &'static str);

/// Runs these migrations, and notes in this table which ones a database has seen.
///
/// The table has a name of the service's own, so that two services may share a database.
pub fn migrator(scripts: &[Script], table: &'static str) -> Migrator {
    let migrations = scripts
        .iter()
        .map(|(number, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(*number, (*name).into(), kind, SqlStr::from_static(sql), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(table);
    // sqlx would take a session lock, which a transaction-pooling proxy
    // strands; each engine takes its own instead.
    migrator.set_locking(false);
    // A newer server may have been here: an older one must still start while
    // the newer one is rolled out or rolled back.
    migrator.set_ignore_missing(true);
    migrator
}

/// The newest migration that a Postgres has seen, by the table in which they are noted.
///
/// # Errors
///
/// When the database does not answer.
pub async fn applied_postgres(
    connection: &mut PgConnection,
    table: &str,
) -> Result<Option<i64>, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    let mut transaction = connection.begin().await?;
    let newest = sqlx::query_scalar::<_, Option<i64>>(newest_in(table))
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

/// The newest migration that a SQLite database has seen, by the table in which they are noted.
///
/// # Errors
///
/// When the database does not answer.
pub async fn applied_sqlite(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Option<i64>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = ?")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(newest_in(table)).fetch_one(connection).await
}

/// Runs what a Postgres has not seen, in one transaction. Servers that do so at the same time,
/// with the same number for the lock, go one after the other, and all but the first find nothing
/// to do.
///
/// # Errors
///
/// When a migration fails; nothing of it is left then.
pub async fn run_postgres(
    migrator: &Migrator,
    connection: &mut PgConnection,
    lock: i64,
) -> Result<(), MigrateError> {
    // Each statement must see what the one that was waited for has done.
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(lock)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

fn newest_in(table: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SELECT max(version) FROM {table} WHERE success"))
}
