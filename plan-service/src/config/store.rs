//! Where plans are kept.

use std::{path::Path, time::Duration};

use clap::Args;
use service_kit::{
    database::{DatabaseUrl, Migrate},
    settings::{RangeError, check_count, check_span, span},
};

/// The file in the data folder, where no other database is named.
const FILE: &str = "plans.db";

/// Where plans are kept.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "shown by --help, where backticks would stand out")]
pub struct StoreConfig {
    /// The database: postgres://USER@HOST/DATABASE, sqlite://PATH or
    /// sqlite::memory:. Without it, the SQLite file plans.db in --data-dir.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_parser = DatabaseUrl::parse,
        hide_env_values = true,
    )]
    pub database_url: Option<DatabaseUrl>,

    /// Whether to bring the database's schema up to date at start.
    #[arg(long, global = true, value_enum, default_value_t = Migrate::Auto)]
    pub migrate: Migrate,

    /// How long the database may take, 10ms to 1m. After it a request fails with
    /// STORE_UNAVAILABLE.
    #[arg(long, global = true, value_name = "SPAN", default_value = "5s", value_parser = span)]
    pub store_timeout: Duration,

    /// The most connections to the database, 1 to 10000. SQLite in memory has
    /// one.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 16)]
    pub database_connections: u32,
}

impl StoreConfig {
    /// The database, in this data folder unless another is named.
    ///
    /// # Errors
    /// When the folder's path cannot stand in a URL.
    pub fn url(&self, data_dir: &Path) -> Result<DatabaseUrl, RangeError> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => DatabaseUrl::sqlite(&data_dir.join(FILE)).map_err(|problem| {
                RangeError::new("database-url", format!("is missing, and {problem}"))
            }),
        }
    }

    pub(super) fn validate(&self) -> Result<(), RangeError> {
        let right = Duration::from_millis(10)..=Duration::from_secs(60);
        check_span("store-timeout", self.store_timeout, right)?;
        check_count("database-connections", self.database_connections, 1..=10_000)
    }
}
