//! The schema of each engine, built into the binary, and how it is brought up
//! to date. Migrations only go forward.

use service_kit::database::migrations::{self, Script};
use sqlx::migrate::Migrator;

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
pub(super) const TABLE: &str = "lock_schema_migrations";

pub(super) fn postgres() -> Migrator {
    migrations::migrator(&POSTGRES, TABLE)
}

pub(super) fn sqlite() -> Migrator {
    migrations::migrator(&SQLITE, TABLE)
}

/// The newest migration that this binary has.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

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
    use service_kit::testing::assert_migrations;

    use super::*;

    #[test]
    fn the_engines_are_in_step_and_no_migration_was_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/lock");
        assert_migrations(folder, &[("postgres", &POSTGRES), ("sqlite", &SQLITE)]);
    }
}
