//! The stores, each with a server that starts when a benchmark first asks for
//! it: a run that is filtered to SQLite needs no Postgres.

use tokio::sync::OnceCell;

use crate::server::Server;

/// Where the locks are kept.
#[derive(Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A store and the server on it.
pub(crate) struct Store {
    engine: Engine,
    listed: u64,
    server: OnceCell<Server>,
}

impl Store {
    /// One of each; a list shall have so many locks to show.
    pub(crate) fn all(listed: u64) -> [Self; 2] {
        let store = |engine| Self { engine, listed, server: OnceCell::new() };
        [Engine::Sqlite, Engine::Postgres].map(store)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }

    /// The server, started if this is the first to ask.
    pub(crate) async fn server(&self) -> &Server {
        self.server.get_or_init(|| Server::start(self.engine, self.listed)).await
    }
}
