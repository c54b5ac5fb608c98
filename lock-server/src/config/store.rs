//! Where locks are kept.

use std::time::Duration;

use clap::Args;
use service_kit::settings::{check_count, check_span, span};

use super::{ConfigError, WaitConfig};
use crate::{
    domain::Span,
    store::{DatabaseUrl, Migrate, StoreOptions, postgres::pooler::Pooler},
};

/// After how long a grant that stalled refuses itself: far below the shortest
/// `--free-retention`.
const MAX_STALL: Span = Span::from_micros(60 * 1_000_000);

/// Where locks are kept.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "shown by --help, where backticks would stand out")]
pub struct StoreConfig {
    /// The database: postgres://USER@HOST/DATABASE, sqlite://PATH or
    /// sqlite::memory:. Without it, a SQLite file in your data folder.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_parser = DatabaseUrl::parse,
        env = "LOCK_SERVER_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<DatabaseUrl>,

    /// Postgres by a way that passes notifications on, where the one above goes
    /// through a transaction-pooling proxy. Without it, a lock that is handed on
    /// behind such a proxy is found by looking, within a second.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_parser = DatabaseUrl::parse,
        env = "LOCK_SERVER_DATABASE_LISTEN_URL",
        hide_env_values = true
    )]
    pub database_listen_url: Option<DatabaseUrl>,

    /// Whether to bring the database's schema up to date at start.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Migrate::Auto,
        env = "LOCK_SERVER_MIGRATE"
    )]
    pub migrate: Migrate,

    /// How long the database may take, 10ms to 1m. After it a request fails with
    /// STORE_UNAVAILABLE.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "5s",
        value_parser = span,
        env = "LOCK_SERVER_STORE_TIMEOUT"
    )]
    pub store_timeout: Duration,

    /// The most connections to Postgres, 1 to 10000.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 16,
        env = "LOCK_SERVER_DATABASE_CONNECTIONS"
    )]
    pub database_connections: u32,

    /// How many batches of commands Postgres carries out at a time, each on a
    /// connection of its own beside those, 1 to 64.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 2,
        env = "LOCK_SERVER_CONCURRENT_BATCHES"
    )]
    pub concurrent_batches: u32,

    /// Whether a proxy such as PgBouncer stands before Postgres and lends
    /// connections for a transaction at a time. auto finds out at start.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Pooler::Auto,
        env = "LOCK_SERVER_DATABASE_POOLER"
    )]
    pub database_pooler: Pooler,
}

impl StoreConfig {
    /// How to open the store.
    ///
    /// # Errors
    /// When no database is given and the user has no data folder.
    pub fn options(&self, waiting: &WaitConfig) -> Result<StoreOptions, ConfigError> {
        let url = match &self.database_url {
            Some(url) => url.clone(),
            None => {
                DatabaseUrl::embedded_default("lock-server", "locks.db").map_err(|problem| {
                    ConfigError::range("database-url", format!("is missing: {problem}"))
                })?
            }
        };
        Ok(StoreOptions {
            url,
            migrate: self.migrate,
            max_connections: self.database_connections,
            batches: self.concurrent_batches,
            timeout: self.store_timeout,
            max_stall: MAX_STALL,
            waiting: waiting.limits(),
            listen_url: self.database_listen_url.clone(),
        })
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let right = Duration::from_millis(10)..=Duration::from_secs(60);
        check_span("store-timeout", self.store_timeout, right)?;
        if self.database_listen_url.as_ref().is_some_and(|url| !url.is_postgres()) {
            let problem = "is not Postgres; write postgres://USER@HOST/DATABASE";
            return Err(ConfigError::range("database-listen-url", problem));
        }
        check_count("database-connections", self.database_connections, 1..=10_000)?;
        check_count("concurrent-batches", self.concurrent_batches, 1..=64)?;
        Ok(())
    }
}
