//! Opening the store: the file, its lock, its schema.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;
use service_kit::database::migrations::applied_sqlite;
use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::{
    SqliteStore,
    turn::Here,
    worker::{Desk, Source, Workers},
};
use crate::store::{Migrate, OpenError, StoreError, StoreOptions, migrations};

/// How many threads read beside the one that writes.
const READERS: usize = 4;

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and migrates.
    ///
    /// # Errors
    /// When the file cannot be used, another server uses it, or its schema does
    /// not fit.
    pub async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let url = &options.url;
        match url.sqlite_path().ok_or_else(|| OpenError::url(url, "write sqlite://PATH"))? {
            Some(path) => Self::open_file(path, options).await,
            None => Self::open_memory(options),
        }
    }

    async fn open_file(path: PathBuf, options: &StoreOptions) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File { path: path.display().to_string(), source };
        let only_server = Arc::new(only_server(&path)?);
        migrate(&path, options).await?;
        let desk = |writes| Desk {
            connection: None,
            source: Some(Source { path: path.clone(), writes, timeout: options.timeout }),
        };
        let start = |name, desks| Workers::start(name, desks, Some(&only_server)).map_err(failed);
        let writer = start("sqlite-writer", vec![desk(true)])?;
        let readers = start("sqlite-reader", (0..READERS).map(|_| desk(false)).collect())?;
        let here = Here::new(options.waiting);
        let store = Self { writer, readers: Some(readers), timeout: options.timeout, here };
        // What is wrong with the file shows now.
        store
            .in_time(store.check_writable())
            .await
            .map_err(|source| cannot_use(options, source))?;
        Ok(store)
    }

    /// A database in memory is new every time: nobody could migrate it first.
    fn open_memory(options: &StoreOptions) -> Result<Self, OpenError> {
        let made = || {
            let connection = Connection::open_in_memory()?;
            connection.set_prepared_statement_cache_capacity(Source::STATEMENTS);
            for migration in migrations::sqlite().iter() {
                connection.execute_batch(migration.sql.as_str())?;
            }
            Ok(connection)
        };
        let made = made().map_err(|error: rusqlite::Error| cannot_use(options, error))?;
        let desk = Desk { connection: Some(made), source: None };
        let writer = Workers::start("sqlite", vec![desk], None).map_err(|source| {
            let path = options.url.to_string();
            OpenError::File { path, source }
        })?;
        let here = Here::new(options.waiting);
        Ok(Self { writer, readers: None, timeout: options.timeout, here })
    }
}

fn cannot_use(options: &StoreOptions, source: impl Into<StoreError>) -> OpenError {
    OpenError::Database { url: options.url.to_string(), source: source.into() }
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

/// Makes the file if it is not there, and brings its schema up to date, or
/// checks that it is. On a connection of its own, which ends with it.
async fn migrate(path: &Path, options: &StoreOptions) -> Result<(), OpenError> {
    let failed = |source: sqlx::Error| cannot_use(options, source);
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(options.timeout)
        .disable_statement_logging();
    let mut connection = connect.connect().await.map_err(failed)?;
    let migrator = migrations::sqlite();
    let applied = applied_sqlite(&mut connection, migrations::TABLE).await.map_err(failed)?;
    let needed = migrations::newest(&migrator);
    if applied < Some(needed) {
        if options.migrate == Migrate::Never {
            let behind = migrations::behind(&options.url.to_string(), applied, needed);
            return Err(OpenError::Schema(behind));
        }
        let run = migrator.run_direct(None, &mut connection, false);
        run.await.map_err(OpenError::Migrate)?;
        migrations::note(applied, needed);
    }
    connection.close().await.map_err(failed)
}
