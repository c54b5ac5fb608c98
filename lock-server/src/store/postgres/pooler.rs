//! Working behind a transaction-pooling proxy, such as PgBouncer.
//!
//! Such a proxy lends a server connection for one transaction at a time.
//! Preparing a statement and running it are two exchanges, so they must stand
//! in one transaction to meet the same server connection, and the statement
//! must have no name, or it would collide with another client's.
//!
//! That costs two more round trips a statement, so it is done only where it
//! must be: a proxy of this kind refuses `statement_timeout` among the startup
//! parameters, or drops it without a word, and that tells it apart.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgRow};

use super::Query;

/// How Postgres is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Pooler {
    /// Find out at start.
    #[default]
    Auto,
    /// Directly, or through a proxy that lends connections for a session.
    None,
    /// Through a proxy that lends connections for a transaction.
    Transaction,
}

impl std::fmt::Display for Pooler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Transaction => "transaction",
        })
    }
}

/// Runs one statement in a transaction of its own and commits: its rows.
pub(super) async fn run(
    connection: &mut PgConnection,
    begin: &str,
    query: Query<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut transaction = connection.begin_with(AssertSqlSafe(begin.to_owned())).await?;
    let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Whether connecting failed because the one who answered does not take
/// startup parameters: a transaction-pooling proxy.
pub(super) fn refused_startup_parameters(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(refusal)
        if refusal.message().contains("unsupported startup parameter"))
}
