//! The Postgres that targets keep their rows in: private, durable, with the memory that its manual
//! advises.

use service_kit::testing::{PostgresServer, TestDatabase};
use sqlx::{Connection as _, PgConnection};

use crate::{
    machine,
    trouble::{During, Result, Trouble},
};

/// A private Postgres.
pub(crate) struct Database {
    server: PostgresServer,
    pid: u32,
}

/// What it is told beside its defaults. All commits are on disk before they are answered: that is
/// the default. Checkpoints come by time and not in the middle of each run.
pub(crate) fn settings() -> Vec<(&'static str, String)> {
    // A quarter of the memory, as the manual says, and no more than these databases can use.
    let buffers = (machine::memory_mib() / 4).clamp(128, 4096);
    vec![
        ("shared_buffers", format!("{buffers}MB")),
        ("max_wal_size", "8GB".to_owned()),
        ("checkpoint_timeout", "15min".to_owned()),
        // A connection for each of 256 who wait, beside all the others.
        ("max_connections", "700".to_owned()),
    ]
}

impl Database {
    /// Starts one.
    pub(crate) async fn start() -> Result<Self> {
        let start = || {
            let settings = settings();
            let settings: Vec<_> =
                settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            PostgresServer::start_with(&settings)
        };
        let server = tokio::task::spawn_blocking(start).await.during("start Postgres")?;
        let mut connection = connect(&server.url("postgres")).await?;
        let file: String = sqlx::query_scalar("SELECT pg_read_file('postmaster.pid')")
            .fetch_one(&mut connection)
            .await
            .during("ask Postgres for its process id")?;
        let pid = file.lines().next().and_then(|line| line.trim().parse().ok());
        let pid = pid.ok_or_else(|| Trouble::failed("Postgres does not know its process id"))?;
        connection.close().await.during("close a connection")?;
        Ok(Self { server, pid })
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> TestDatabase {
        self.server.database().await
    }

    /// The postmaster.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it calls its version.
    pub(crate) async fn version(&self) -> Result<String> {
        let mut connection = connect(&self.server.url("postgres")).await?;
        sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut connection)
            .await
            .during("ask Postgres for its version")
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.during("connect to Postgres")
}
