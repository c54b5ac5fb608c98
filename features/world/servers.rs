//! The scenario's servers and their database.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lock_server::testing::TestServer;
use service_kit::testing::{PostgresServer, postgres};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};

use super::{Database, LockWorld, PATIENCE, Running, SOON, Store};

impl LockWorld {
    /// Says where the scenario's servers keep their locks.
    pub(crate) fn use_store(&mut self, store: Store) {
        self.store = Some(store);
    }

    /// Gives the scenario a Postgres of its own, to be taken away.
    pub(crate) async fn own_postgres(&mut self) {
        let start = || Arc::new(PostgresServer::start());
        let server = tokio::task::spawn_blocking(start).await.expect("start Postgres");
        let database = server.database().await;
        self.database = Some(Database::Own(server, database));
    }

    /// Does something to the scenario's own Postgres.
    pub(crate) async fn postgres(&self, action: fn(&PostgresServer)) {
        let Some(Database::Own(server, _)) = &self.database else {
            panic!("the scenario has no Postgres of its own");
        };
        let server = Arc::clone(server);
        tokio::task::spawn_blocking(move || action(&server)).await.expect("Postgres obeys");
    }

    async fn database_url(&mut self) -> String {
        if self.database.is_none() {
            self.database = Some(match self.store.expect("the run has a store") {
                Store::Sqlite => Database::File(tempfile::tempdir().expect("a folder")),
                Store::Postgres => Database::Shared(postgres::database().await),
            });
        }
        match self.database.as_ref().expect("made above") {
            Database::File(folder) => format!("sqlite://{}", sqlite_file(folder).display()),
            Database::Shared(database) | Database::Own(_, database) => database.url().to_owned(),
        }
    }

    /// Starts a server with these flags, and has callers talk to it.
    pub(crate) async fn start(&mut self, name: &str, flags: &[&str]) {
        self.flags.insert(name.to_owned(), flags.iter().map(|&flag| flag.to_owned()).collect());
        self.start_again(name).await;
    }

    /// Starts a server with the flags that it had, on the same database.
    pub(crate) async fn start_again(&mut self, name: &str) {
        // The file of a killed server is free again a moment later.
        let deadline = Instant::now() + SOON;
        let server = loop {
            match self.try_start(name).await {
                Ok(server) => break server,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let endpoint = Endpoint::from_shared(server.url()).expect("a server's address");
        let channel = endpoint.connect().await.expect("connect to the server");
        self.servers.insert(name.to_owned(), Running { server, channel });
        self.current = name.to_owned();
    }

    /// Starts a server, unless it refuses.
    pub(crate) async fn try_start(&mut self, name: &str) -> Result<TestServer, String> {
        let url = self.database_url().await;
        let flags = self.flags.get(name).cloned().unwrap_or_default();
        let mut flags: Vec<_> = flags.iter().map(String::as_str).collect();
        flags.extend(["--database-url", &url]);
        timeout(PATIENCE, TestServer::try_start(&flags))
            .await
            .expect("the server starts or says why not")
            .map_err(|error| error.report())
    }

    /// Has callers talk to this server from now on.
    pub(crate) fn turn_to(&mut self, name: &str) {
        assert!(self.servers.contains_key(name), "no server {name}");
        self.current = name.to_owned();
    }

    /// Takes a server out, to stop or kill it.
    pub(crate) fn take_server(&mut self) -> TestServer {
        self.servers.remove(&self.current).expect("a server runs").server
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn begin_stop(&mut self) {
        self.running_mut().server.begin_stop();
    }

    /// The connection to the server that callers talk to.
    pub(crate) fn channel(&self) -> Channel {
        self.servers.get(&self.current).expect("a server runs").channel.clone()
    }

    /// The names of all servers.
    pub(crate) fn server_names(&self) -> Vec<String> {
        self.servers.keys().cloned().collect()
    }

    /// The connections to all servers.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.servers.values().map(|running| running.channel.clone()).collect()
    }

    fn running_mut(&mut self) -> &mut Running {
        self.servers.get_mut(&self.current).expect("a server runs")
    }
}

pub(super) fn sqlite_file(folder: &TempDir) -> PathBuf {
    folder.path().join("locks.db")
}
