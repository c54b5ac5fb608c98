//! What the instances of a test share: a lock server, a database, a folder.

use std::path::PathBuf;

use service_kit::testing::{TcpProxy, postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tempfile::TempDir;

use super::{Gate, Instance, Locks, Repo, turn::Turn};

/// A lock server, a database and a folder.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) locks: Locks,
    pub(crate) gate: Gate,
    database: String,
    folder: TempDir,
    _turn: Turn,
}

impl Scene {
    /// On Postgres, with leases of that length.
    pub(crate) async fn on_postgres(lease: &str) -> Self {
        let (plans, locks) = (postgres::database().await, postgres::database().await);
        Self::on(plans.url().to_owned(), locks.url(), lease).await
    }

    /// On Postgres and without a test beside it: for what needs all of the
    /// machine.
    pub(crate) async fn alone_on_postgres(lease: &str) -> Self {
        let turn = Turn::alone().await;
        let (plans, locks) = (postgres::database().await, postgres::database().await);
        let locks = Locks::start(locks.url(), lease).await;
        Self::new(locks, plans.url().to_owned(), tempfile::tempdir().unwrap(), turn)
    }

    /// On a SQLite file that instances share.
    pub(crate) async fn on_sqlite(lease: &str) -> Self {
        let turn = Turn::shared().await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let locks = Locks::start(&file("locks.db"), lease).await;
        Self::new(locks, file("plans.db"), folder, turn)
    }

    /// On these databases.
    pub(crate) async fn on(plans: String, locks: &str, lease: &str) -> Self {
        let turn = Turn::shared().await;
        let locks = Locks::start(locks, lease).await;
        Self::new(locks, plans, tempfile::tempdir().unwrap(), turn)
    }

    fn new(locks: Locks, database: String, folder: TempDir, turn: Turn) -> Self {
        let gate = Gate::new(&folder.path().join("gate"));
        Self { locks, gate, database, folder, _turn: turn }
    }

    /// An instance of this name. It looks for abandoned plans only when it
    /// starts, unless the flags say otherwise.
    pub(crate) async fn instance(&self, name: &str, flags: &[&str]) -> Instance {
        self.instance_on(&self.database, name, flags).await
    }

    /// An instance that reaches the database by another way.
    pub(crate) async fn instance_on(&self, database: &str, name: &str, flags: &[&str]) -> Instance {
        let mut all = vec![
            "--lock-server",
            self.locks.url(),
            "--database-url",
            database,
            "--instance-name",
            name,
        ];
        if !flags.contains(&"--recovery-interval") {
            all.extend(["--recovery-interval", "1h"]);
        }
        all.extend(flags);
        Instance::start(&self.path(name), &all).await
    }

    /// A proxy before the plans' Postgres, and their database's URL by it.
    pub(crate) async fn by_proxy(&self) -> (TcpProxy, String) {
        let (start, rest) = self.database.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let proxy = TcpProxy::start(server.parse().unwrap()).await;
        let url = format!("{start}@{}/{name}", proxy.address());
        (proxy, url)
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// A new project.
    pub(crate) fn repo(&self, name: &str) -> Repo {
        Repo::new(&self.path("projects"), name)
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every row of every table of the plans' Postgres.
    pub(crate) async fn rows(&self) -> String {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema \
                      = 'public' AND table_type = 'BASE TABLE' ORDER BY 1";
        let mut all = String::new();
        for table in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
            let table: String = table.get(0);
            let rows = format!("SELECT t::text FROM {table} t ORDER BY 1");
            all.push_str(&format!("== {table}\n"));
            let rows = sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap();
            for row in rows {
                all.push_str(row.get(0));
                all.push('\n');
            }
        }
        connection.close().await.unwrap();
        all
    }
}
