//! A private Postgres: one for the whole test process, or one of a test's own to break.
//!
//! Postgres runs from the installed binaries, on a free loopback port, in a folder of its own that
//! goes when the test process does. Nothing is asked for a password, so that URLs hold no secret.

mod binaries;
mod supervisor;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use supervisor::Supervisor;

/// Settings of every server. A test's own come after and win.
const COMMON: [(&str, &str); 5] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("max_connections", "300"),
    // Shared memory in the data folder, where it cannot outlive it.
    ("dynamic_shared_memory_type", "mmap"),
    // Start after a crash in 0.3 s rather than 3 s.
    ("recovery_init_sync_method", "syncfs"),
];

/// The shared server never needs what it wrote.
const HASTY: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// A fresh, empty database of the process's shared server.
pub async fn database() -> TestDatabase {
    static SHARED: OnceLock<PostgresServer> = OnceLock::new();
    let start = || SHARED.get_or_init(|| PostgresServer::start_with(&HASTY));
    let server = tokio::task::spawn_blocking(start).await.expect("start the shared Postgres");
    server.database().await
}

/// A database that no other test uses. It lives as long as its server.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    url: String,
}

impl TestDatabase {
    /// `postgres://postgres@127.0.0.1:PORT/NAME`
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A Postgres of a test's own, durable as in production, to be killed, stopped and paused.
///
/// The methods block for the fraction of a second that Postgres needs; a test whose own tasks must
/// go on meanwhile runs on the multi-threaded runtime.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    supervisor: Mutex<Supervisor>,
}

impl PostgresServer {
    /// Starts a server with the default settings.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these settings (`-c name=value`), which it keeps for its life.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_from(settings, |supervisor| supervisor.copy(template()))
    }

    /// Starts an asynchronous standby of a server.
    pub fn standby_of(primary: &Self) -> Self {
        Self::start_from(&[], |supervisor| supervisor.backup(primary.port))
    }

    fn start_from(settings: &[(&str, &str)], fill: impl FnOnce(&mut Supervisor)) -> Self {
        let port = super::free_port();
        let all = COMMON.iter().chain(settings).map(|(name, value)| format!("{name}={value}"));
        let all = all.chain([format!("port={port}")]);
        let options = all.flat_map(|setting| ["-c".into(), setting]);
        let mut supervisor = Supervisor::new(options);
        fill(&mut supervisor);
        supervisor.start();
        Self { port, supervisor: Mutex::new(supervisor) }
    }

    /// Makes a standby a primary, and waits until it is.
    pub async fn promote(&self) {
        let url = self.url("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("connect to the standby");
        let promote = "SELECT pg_promote(true, 60)";
        connection.execute(promote).await.expect("promote the standby");
        connection.close().await.expect("close the connection");
    }

    /// The URL of one of its databases; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A fresh, empty database.
    pub async fn database(&self) -> TestDatabase {
        let name = format!("test_{:016x}", fastrand::u64(..));
        let mut connection =
            PgConnection::connect(&self.url("postgres")).await.expect("connect to Postgres");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.expect("create a database");
        connection.close().await.expect("close the connection");
        TestDatabase { url: self.url(&name) }
    }

    /// Kills the server and all its processes with SIGKILL, and waits until they are gone.
    pub fn kill(&self) {
        self.supervisor().tell("kill");
    }

    /// Shuts the server down: open transactions end, everything is written (SIGINT).
    pub fn stop_fast(&self) {
        self.supervisor().tell("stop");
    }

    /// Starts the server again after [`kill`](Self::kill) or [`stop_fast`](Self::stop_fast), with
    /// the same data on the same port, and waits until it answers.
    pub fn start_again(&self) {
        self.supervisor().start();
    }

    /// [`kill`](Self::kill) and [`start_again`](Self::start_again).
    pub fn restart(&self) {
        self.kill();
        self.start_again();
    }

    /// Freezes the server and all its processes: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.supervisor().tell("pause");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.supervisor().tell("resume");
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A prepared data folder, to be copied: `initdb` takes ten times as long.
fn template() -> &'static std::path::Path {
    static TEMPLATE: OnceLock<Supervisor> = OnceLock::new();
    let prepare = || {
        let mut supervisor = Supervisor::new([]);
        supervisor.tell("init");
        supervisor
    };
    TEMPLATE.get_or_init(prepare).folder()
}
