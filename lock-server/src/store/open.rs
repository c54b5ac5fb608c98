//! Which store: chosen by the scheme of the database URL.

use std::sync::Arc;

use service_kit::database::DatabaseUrl;

use super::{
    OpenError, Store, StoreOptions,
    postgres::{PostgresStore, pooler::Pooler},
    sqlite::SqliteStore,
};

/// Opens the store that the URL names.
///
/// # Errors
/// When the URL is wrong, or the database cannot be used.
pub async fn open(options: &StoreOptions, pooler: Pooler) -> Result<Arc<dyn Store>, OpenError> {
    match options.url.scheme() {
        "postgres" | "postgresql" => Ok(Arc::new(PostgresStore::open(options, pooler).await?)),
        "sqlite" => Ok(Arc::new(SqliteStore::open(options).await?)),
        _ => Err(OpenError::url(&options.url, DatabaseUrl::FORMS)),
    }
}
