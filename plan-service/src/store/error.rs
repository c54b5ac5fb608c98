//! What a database did that it should not have done.

use sqlx::migrate::MigrateError;

/// The database failed, or did not answer in time. Whether a write happened is
/// then unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or gave an error.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// It took longer than it may.
    #[error("the database did not answer in time")]
    Timeout,
    /// It holds something that this version does not understand.
    #[error("the database holds what this version cannot read: {0}")]
    Unreadable(String),
}

/// The database cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one of a database that we know.
    #[error("--database-url {url}: {problem}")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The file or its folder cannot be used.
    #[error("cannot use the database file {path}")]
    File {
        /// The database file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be reached or refuses.
    #[error("cannot use the database {url}")]
    Database {
        /// The URL, without its password.
        url: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Postgres answers and has no such database.
    #[error("the database {0} does not exist: make it first, for instance with createdb")]
    Missing(String),
    /// The schema is not what this version needs.
    #[error("{0}")]
    Schema(String),
    /// A setting of the database breaks a promise.
    #[error("{0}")]
    Unsafe(String),
    /// A migration failed.
    #[error("cannot bring the schema of the database {url} up to date")]
    Migrate {
        /// The URL, without its password.
        url: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
}

impl From<sqlx::Error> for StoreError {
    /// The database's own word that it took too long is a timeout, too.
    fn from(error: sqlx::Error) -> Self {
        const QUERY_CANCELED: &str = "57014";
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let is_timeout = is_busy(&error)
            || has_code(&error, |code| matches!(code, QUERY_CANCELED | LOCK_NOT_AVAILABLE));
        if is_timeout { Self::Timeout } else { Self::Database(error) }
    }
}

impl StoreError {
    /// What was asked for makes no sense, whatever the database holds.
    pub(super) fn wrong(problem: impl Into<String>) -> Self {
        Self::Database(sqlx::Error::InvalidArgument(problem.into()))
    }

    /// The store has been closed.
    pub(super) fn closed() -> Self {
        Self::Database(sqlx::Error::PoolClosed)
    }

    /// Whether the database gave up on a transaction so that another one could
    /// go on: nothing of it happened, and it may be tried again.
    pub(super) fn gave_way(&self) -> bool {
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        matches!(self, Self::Database(error)
            if has_code(error, |code| matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED)))
    }
}

/// Whether another connection to the SQLite file was in the way for too long.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, and its kinds _RECOVERY, _SNAPSHOT and _TIMEOUT.
    has_code(error, |code| matches!(code, "5" | "261" | "517" | "773"))
}

/// Whether an error says that there is no such database on the server.
pub(super) fn is_missing_database(error: &StoreError) -> bool {
    const INVALID_CATALOG_NAME: &str = "3D000";
    matches!(error, StoreError::Database(error)
        if has_code(error, |code| code == INVALID_CATALOG_NAME))
}

/// Whether whatever happened to this connection happened to all of them: it
/// broke (classes 08, 57P, 58, XX), or leads to what is a standby now (25006).
pub(super) fn ends_the_session(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_none_or(|code| {
            ["08", "57P", "58", "25006", "XX"].iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

fn has_code(error: &sqlx::Error, is_it: impl Fn(&str) -> bool) -> bool {
    matches!(error, sqlx::Error::Database(database)
        if database.code().is_some_and(|code| is_it(&code)))
}
