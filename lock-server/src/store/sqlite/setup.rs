//! Opening the store: the file, its lock, its schema.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::{SqliteStore, Writer};
use crate::store::{
    OpenError, StoreOptions,
    migrations::{self, Migrate},
};

/// How many connections read beside the one that writes.
const READERS: u32 = 4;

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and migrates.
    ///
    /// # Errors
    /// When the file cannot be used, another server uses it, or its schema does
    /// not fit.
    pub async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let url = &options.url;
        let path = url.sqlite_path().ok_or_else(|| url.wrong("write sqlite://PATH".to_owned()))?;
        let only_server = path.as_deref().map(only_server).transpose()?;
        let connect = connect_options(path.as_deref(), options.timeout);
        let failed = |source: sqlx::Error| OpenError::Database {
            url: url.to_string(),
            source: source.into(),
        };
        let mut writer = connect.connect().await.map_err(failed)?;
        migrate(&mut writer, options).await?;
        let readers = path.is_some().then(|| {
            SqlitePoolOptions::new()
                .max_connections(READERS)
                // Nothing but this process can break a connection to a file.
                .test_before_acquire(false)
                .acquire_timeout(options.timeout)
                .connect_lazy_with(connect.clone().read_only(true))
        });
        Ok(Self {
            writer: Mutex::new(Writer::Open(writer)),
            readers,
            reopen: path.map(|_| connect),
            timeout: options.timeout,
            _only_server: only_server,
        })
    }
}

fn connect_options(path: Option<&Path>, timeout: Duration) -> SqliteConnectOptions {
    let options = match path {
        Some(path) => SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
        None => SqliteConnectOptions::new().in_memory(true),
    };
    // Somebody may look at the file with the sqlite3 shell meanwhile.
    options.busy_timeout(timeout).disable_statement_logging()
}

/// Makes sure that this is the only server on the file, for as long as what is
/// returned is kept.
fn only_server(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::File { path: path.display().to_string(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&beside)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            note_process(&mut file).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            // Who it is only makes the message better.
            drop(file.read_to_string(&mut process));
            let process = process.trim();
            let by =
                if process.is_empty() { String::new() } else { format!(" (process {process})") };
            Err(OpenError::InUse { path: path.display().to_string(), by })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn note_process(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

/// Brings the schema up to date, or checks that it is.
async fn migrate(writer: &mut SqliteConnection, options: &StoreOptions) -> Result<(), OpenError> {
    let failed = |source: sqlx::Error| OpenError::Database {
        url: options.url.to_string(),
        source: source.into(),
    };
    let migrator = migrations::sqlite();
    let applied = applied(writer).await.map_err(failed)?;
    let needed = migrations::newest(&migrator);
    if applied >= Some(needed) {
        return Ok(());
    }
    match options.migrate {
        Migrate::Auto => {
            run(&migrator, writer).await.inspect(|()| migrations::note(applied, needed))
        }
        // A database in memory is new every time: nobody could migrate it first.
        Migrate::Never if options.url.sqlite_path() == Some(None) => run(&migrator, writer).await,
        Migrate::Never => {
            Err(OpenError::Schema(migrations::behind(&options.url.to_string(), applied, needed)))
        }
    }
}

async fn run(migrator: &Migrator, writer: &mut SqliteConnection) -> Result<(), OpenError> {
    migrator.run_direct(None, writer, false).await.map_err(OpenError::Migrate)
}

/// The newest migration that the file has seen.
async fn applied(writer: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'lock_schema_migrations'",
    )
    .fetch_one(&mut *writer)
    .await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(migrations::APPLIED).fetch_one(writer).await
}
