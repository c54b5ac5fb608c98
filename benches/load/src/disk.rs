//! What a commit costs: the disk itself, with 8 KiB appended and synced as a database does it, and
//! SQLite with one row.

use std::{fs::File, io::Write as _, path::Path, time::Instant};

use sqlx::{
    Connection as _, Executor as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    load::{histogram, micros},
    trouble::{During, Result},
};

/// Microseconds at the median of so many commits, in the folder for temporary files, where all
/// targets have their data.
pub(crate) async fn commit_micros(commits: usize) -> Result<f64> {
    let measure = move || {
        let folder = tempfile::Builder::new().prefix("lock-bench-disk-").tempdir();
        let folder = folder.during("make a temporary folder")?;
        let mut file = File::create(folder.path().join("log")).during("make a file")?;
        let page = [7; 8192];
        let mut times = histogram();
        for _ in 0..commits {
            let start = Instant::now();
            file.write_all(&page).during("write to the disk")?;
            file.sync_data().during("sync to the disk")?;
            times.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(micros(&times, 0.5))
    };
    tokio::task::spawn_blocking(measure).await.during("measure the disk")?
}

/// A SQLite file with one table, as durable as that of `lock-server`.
pub(crate) struct SqliteFile {
    connection: SqliteConnection,
}

impl SqliteFile {
    /// The one in this folder, made if there is none.
    pub(crate) async fn open(folder: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("rows.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let connection = SqliteConnection::connect_with(&options).await;
        let mut connection = connection.during("open a SQLite file")?;
        let table =
            "CREATE TABLE IF NOT EXISTS rows (id text PRIMARY KEY, changes integer NOT NULL)";
        connection.execute(table).await.during("make a table")?;
        Ok(Self { connection })
    }

    /// One upsert of one row, on disk when this returns.
    pub(crate) async fn commit_row(&mut self) -> Result<()> {
        let upsert = "INSERT INTO rows (id, changes) VALUES ($1, 1)
                      ON CONFLICT (id) DO UPDATE SET changes = changes + 1";
        let done = sqlx::query(upsert).bind("row").execute(&mut self.connection).await;
        done.map(drop).during("commit a row")
    }
}
