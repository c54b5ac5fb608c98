//! Opening the store that a URL names: connecting, checking, migrating.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use service_kit::database::{DatabaseUrl, Migrate};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    OpenError, SharedStore, StoreError,
    connection::Connection,
    connections::{Connections, Source},
    database::Database,
    error::{is_busy, is_missing_database},
    migrations,
    sql_store::SqlStore,
};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The most connections to Postgres, or that read a SQLite file at a time.
    pub max_connections: u32,
    /// After how long an operation counts as failed.
    pub timeout: Duration,
    /// Whether to bring the schema up to date first.
    pub migrate: Migrate,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { max_connections: 10, timeout: Duration::from_secs(5), migrate: Migrate::Auto }
    }
}

/// Opens the store that the URL names. A SQLite file is made where there is
/// none, and its folder; another instance may have it open, too. What is in
/// memory is new, and gone when it is closed.
///
/// # Errors
/// When the URL is wrong, or the database cannot be used.
pub async fn open(url: &DatabaseUrl, options: &OpenOptions) -> Result<SharedStore, OpenError> {
    let opening = Opening { url, options };
    let database = if url.is_postgres() {
        opening.postgres().await?
    } else {
        match url.sqlite_path() {
            Some(Some(path)) => opening.file(path).await?,
            Some(None) => opening.memory().await?,
            None => return Err(opening.wrong(DatabaseUrl::FORMS)),
        }
    };
    Ok(Arc::new(SqlStore::new(database)))
}

/// The least version of Postgres, as `server_version_num` writes it.
const LEAST_VERSION: i32 = 140_000;

/// What is being opened.
struct Opening<'a> {
    url: &'a DatabaseUrl,
    options: &'a OpenOptions,
}

impl Opening<'_> {
    async fn postgres(&self) -> Result<Database, OpenError> {
        let connect = PgConnectOptions::from_str(self.url.as_str())
            .map_err(|error| self.wrong(&error.to_string()))?
            .application_name("plan-service")
            // Proxies do not pass it on, and we read no floats.
            .extra_float_digits(None)
            // A name at the server is not known behind a proxy.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let mut connection = self.in_time(connect.connect()).await?;
        self.check_server(&mut connection).await?;
        // Without a limit: another instance may be migrating, and is waited for.
        migrations::postgres(&mut connection, self.options.migrate, self.url).await?;
        // A goodbye that fails leaves nothing behind.
        drop(tokio::time::timeout(self.options.timeout, connection.close()).await);
        let source = Source::Postgres(Box::new(connect));
        let connections = Connections::new(source, self.options.max_connections);
        Ok(Database::postgres(connections, self.options.timeout))
    }

    /// Checks what the promises depend on.
    async fn check_server(&self, connection: &mut PgConnection) -> Result<(), OpenError> {
        let asking = async {
            // In a transaction: behind a proxy, each may be another connection.
            let mut transaction = connection.begin().await?;
            let settings: (i32, bool, String, String) = sqlx::query_as(
                "SELECT current_setting('server_version_num')::int,
                        starts_with(version(), 'PostgreSQL'),
                        current_setting('server_encoding'),
                        current_setting('synchronous_commit')",
            )
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(settings)
        };
        let (version, is_postgres, encoding, commit) = self.in_time(asking).await?;
        match unfit(is_postgres.then_some(version), &encoding, &commit) {
            Some(problem) => Err(OpenError::Unsafe(format!("the database {} {problem}", self.url))),
            None => Ok(()),
        }
    }

    async fn file(&self, path: PathBuf) -> Result<Database, OpenError> {
        let failed = |source| OpenError::File { path: path.display().to_string(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(self.options.timeout)
            .disable_statement_logging();
        let mut connection = self.in_time(first_connection(&connect)).await?;
        migrations::sqlite(&mut connection, self.options.migrate, self.url).await?;
        connection.close().await.map_err(|error| self.failed(error.into()))?;
        let connections =
            |most| Arc::new(Connections::new(Source::File(Box::new(connect.clone())), most));
        let reads = connections(self.options.max_connections);
        Ok(Database::sqlite(reads, connections(1), self.options.timeout))
    }

    /// A database in memory is new every time: nobody could migrate it first.
    async fn memory(&self) -> Result<Database, OpenError> {
        let connect = SqliteConnectOptions::new()
            .filename(Path::new(":memory:"))
            .in_memory(true)
            .foreign_keys(true)
            .disable_statement_logging();
        let mut connection = self.in_time(connect.connect()).await?;
        migrations::sqlite(&mut connection, Migrate::Auto, self.url).await?;
        let connection = Connection::Sqlite(Box::new(connection));
        let connections = Arc::new(Connections::memory(connection));
        Ok(Database::sqlite(Arc::clone(&connections), connections, self.options.timeout))
    }

    /// A step, in time.
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, OpenError> {
        match tokio::time::timeout(self.options.timeout, step).await {
            Ok(done) => done.map_err(|error| self.failed(error.into())),
            Err(_elapsed) => Err(self.failed(StoreError::Timeout)),
        }
    }

    fn failed(&self, source: StoreError) -> OpenError {
        if is_missing_database(&source) {
            return OpenError::Missing(self.url.to_string());
        }
        OpenError::Database { url: self.url.to_string(), source }
    }

    fn wrong(&self, problem: &str) -> OpenError {
        OpenError::Url { url: self.url.to_string(), problem: problem.to_owned() }
    }
}

/// Makes the file if it is not there, and sees to its journal. To change that,
/// SQLite wants the file for itself and does not wait for it, so this asks again.
async fn first_connection(connect: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let connect = connect.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    loop {
        match connect.connect().await {
            Err(error) if is_busy(&error) => tokio::time::sleep(Duration::from_millis(20)).await,
            done => return done,
        }
    }
}

/// Why a Postgres cannot be used. What is compatible with it counts its versions
/// in its own way, so there is none then.
fn unfit(version: Option<i32>, encoding: &str, commit: &str) -> Option<String> {
    if let Some(version) = version.filter(|version| *version < LEAST_VERSION) {
        let (found, least) = (version / 10_000, LEAST_VERSION / 10_000);
        return Some(format!("is Postgres {found}; Postgres {least} or newer is needed"));
    }
    if encoding != "UTF8" {
        return Some(format!(
            "is encoded in {encoding}; plans need UTF8: create it with ENCODING 'UTF8'"
        ));
    }
    (commit == "off").then(|| {
        "has synchronous_commit = off: a fencing token that was written could be lost in a crash, \
         and a run that lost its lease could write again. Set it to on, for instance with ALTER \
         ROLE … SET synchronous_commit = on"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_told() {
        assert_eq!(unfit(Some(140_002), "UTF8", "on"), None);
        assert_eq!(unfit(None, "UTF8", "remote_apply"), None);
        assert!(unfit(Some(130_005), "UTF8", "on").unwrap().contains("14 or newer"));
        assert!(unfit(None, "SQL_ASCII", "on").unwrap().contains("ENCODING 'UTF8'"));
        assert!(unfit(None, "UTF8", "off").unwrap().contains("Set it to on"));
    }
}
