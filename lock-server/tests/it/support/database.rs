//! The database beside the server: behind a proxy, and looked at with plain SQL.

use service_kit::testing::{TcpProxy, TestDatabase, postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A database that a test can take away.
pub(crate) struct Proxied {
    pub(crate) proxy: TcpProxy,
    /// Its URL through the proxy.
    pub(crate) url: String,
    /// Its URL past the proxy.
    pub(crate) direct: String,
}

impl Proxied {
    pub(crate) async fn start() -> Self {
        let direct = postgres::database().await.url().to_owned();
        let (_, place) = direct.split_once('@').unwrap();
        let (upstream, name) = place.split_once('/').unwrap();
        let proxy = TcpProxy::start(upstream.parse().unwrap()).await;
        let url = format!("postgres://postgres@{}/{name}", proxy.address());
        Self { proxy, url, direct }
    }

    /// How many resources whose id starts like this have a row.
    pub(crate) async fn rows(&self, prefix: &str) -> i64 {
        rows(&self.direct, prefix).await
    }
}

/// How many resources whose id starts like this have a row.
pub(crate) async fn rows(url: &str, prefix: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM locks WHERE starts_with(resource_id, $1)")
        .bind(prefix)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// A database whose tables a test changes, to make time pass there.
pub(crate) enum Tables {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

impl Tables {
    /// A new database of each engine.
    pub(crate) async fn on_each_store() -> [Self; 2] {
        [Self::Sqlite(tempfile::tempdir().unwrap()), Self::Postgres(postgres::database().await)]
    }

    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// What `--database-url` takes.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/locks.db", folder.path().display()),
            Self::Postgres(database) => database.url().to_owned(),
        }
    }

    /// Runs one of two statements that mean the same: how many rows it changed.
    pub(crate) async fn run(&self, sqlite: &str, postgres: &str) -> u64 {
        let sql = |sql: &str| sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(_) => {
                let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
                sql(sqlite).execute(&mut connection).await.unwrap().rows_affected()
            }
            Self::Postgres(_) => {
                let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                sql(postgres).execute(&mut connection).await.unwrap().rows_affected()
            }
        }
    }
}
