//! What can go wrong between the server and its database.

use std::time::Duration;

use service_kit::database::DatabaseUrl;

/// The database did not do what it was asked, or did not say so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database answered with an error, or not at all.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// SQLite answered with an error.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
    /// No answer within the time allowed.
    #[error("the database did not answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// Others changed the same resource again and again while it was decided on.
    #[error("the resource changed too often to be decided on")]
    Contended,
    /// What happened to locks was not read in time, and some of it is lost.
    #[error("what happened to locks was not read in time")]
    ChangesLost,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// This program failed while it worked on the commands.
    #[error("the server failed while it carried out the commands")]
    Aborted,
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
    /// Another server uses the file.
    #[error(
        "{path} is in use by another lock-server{by}; only one may use a SQLite file: stop that \
         one, name another file with --database-url sqlite://PATH, or use Postgres to run several"
    )]
    InUse {
        /// The database file.
        path: String,
        /// Which process, where that is known.
        by: String,
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
    #[error("cannot bring the schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl StoreError {
    /// Whether the database gave up on the statement so that another one could
    /// go on; the statement did nothing and may be sent again.
    pub(crate) fn gave_way(&self) -> bool {
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        self.code()
            .is_some_and(|code| matches!(code.as_ref(), SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
    }

    /// Whether a row was locked by somebody else for longer than it was waited
    /// for; the statement did nothing and may be sent again.
    pub(crate) fn met_a_locked_row(&self) -> bool {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        self.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE)
    }

    /// Whether the fencing epoch is not that of the database's history, as the
    /// functions of migration 0004 say; the statement did nothing.
    pub(crate) fn is_of_another_epoch(&self) -> bool {
        const OTHER_EPOCH: &str = "LS001";
        self.code().is_some_and(|code| code == OTHER_EPOCH)
    }

    /// Whether somebody watches and the statement would not have told them; it did
    /// nothing and is to be replaced by one that tells.
    pub(crate) fn is_watched(&self) -> bool {
        const WATCHED: &str = "LS002";
        self.code().is_some_and(|code| code == WATCHED)
    }

    /// Whether the database knows no such statement: it speaks Postgres'
    /// protocol and is another.
    pub(crate) fn is_not_understood(&self) -> bool {
        const FEATURE_NOT_SUPPORTED: &str = "0A000";
        const UNDEFINED_COLUMN: &str = "42703";
        const UNDEFINED_FUNCTION: &str = "42883";
        self.code().is_some_and(|code| {
            matches!(code.as_ref(), FEATURE_NOT_SUPPORTED | UNDEFINED_COLUMN | UNDEFINED_FUNCTION)
        })
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        }
    }
}

impl OpenError {
    /// A URL that cannot be used.
    pub(super) fn url(url: &DatabaseUrl, problem: impl Into<String>) -> Self {
        Self::Url { url: url.to_string(), problem: problem.into() }
    }
}
