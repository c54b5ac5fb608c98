//! The schema of each engine, built into the binary, and how it is brought up
//! to date. Migrations only go forward.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Number, name and text of a migration. The same numbers and names in both
/// engines.
type Script = (i64, &'static str, &'static str);

const POSTGRES: [Script; 4] = [
    (1, "locks", include_str!("../../../migrations/lock/postgres/0001_locks.sql")),
    (
        2,
        "in_place_updates",
        include_str!("../../../migrations/lock/postgres/0002_in_place_updates.sql"),
    ),
    (3, "events", include_str!("../../../migrations/lock/postgres/0003_events.sql")),
    (4, "waiting", include_str!("../../../migrations/lock/postgres/0004_waiting.sql")),
];
const SQLITE: [Script; 4] = [
    (1, "locks", include_str!("../../../migrations/lock/sqlite/0001_locks.sql")),
    (
        2,
        "in_place_updates",
        include_str!("../../../migrations/lock/sqlite/0002_in_place_updates.sql"),
    ),
    (3, "events", include_str!("../../../migrations/lock/sqlite/0003_events.sql")),
    (4, "waiting", include_str!("../../../migrations/lock/sqlite/0004_waiting.sql")),
];

/// Where an engine notes which migrations it has seen. Not sqlx's default, so
/// that two services may share a database.
const TABLE: &str = "lock_schema_migrations";

pub(super) fn postgres() -> Migrator {
    migrator(&POSTGRES)
}

pub(super) fn sqlite() -> Migrator {
    migrator(&SQLITE)
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
    // A newer server may have been here: an older one must still start while
    // the newer one is rolled out or rolled back.
    migrator.set_ignore_missing(true);
    migrator
}

/// The newest migration that this binary has.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Reads the newest migration that a database has seen.
pub(super) const APPLIED: &str = "SELECT max(version) FROM lock_schema_migrations WHERE success";

/// Logs that a schema was brought up to date. A new one is told apart: where
/// locks were expected, it means that the URL is not the one that was meant.
pub(super) fn note(before: Option<i64>, now: i64) {
    match before {
        None => tracing::info!(version = now, "this database is new: made the tables"),
        Some(before) => tracing::info!(before, version = now, "brought the schema up to date"),
    }
}

/// What to say of a schema that is behind.
pub(super) fn behind(url: &str, found: Option<i64>, needed: i64) -> String {
    let found = match found {
        None => "has no schema yet".to_owned(),
        Some(found) => format!("has schema version {found}"),
    };
    format!(
        "the database {url} {found}, this server needs version {needed}, and --migrate never \
         keeps it from changing that: run `lock-server migrate` first, or start with --migrate auto"
    )
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
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/lock");
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
