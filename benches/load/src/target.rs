//! What is measured: each target is a process of its own, started when it is first asked for.

mod postgres;
mod processes;

pub(crate) use self::{
    postgres::{Database, settings},
    processes::ZOOKEEPER_JAR,
};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
use service_kit::testing::TestDatabase;

use crate::{
    caller::{
        Advisory, Caller, Etcd, Line, Redis, Rows, Session, Statement, Unary, Zookeeper, connect,
        load_script,
    },
    child::Child,
    load::Meter,
    part::Part,
    schema,
    trouble::{During, Result, Trouble},
};

/// Everything that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// lock-server on Postgres.
    LockServerPostgres,
    /// lock-server on a SQLite file.
    LockServerSqlite,
    /// A gRPC server that answers at once and keeps nothing.
    NoStore,
    /// A gRPC server that sends one statement for each request.
    Obvious,
    /// Postgres without a server: a statement for each command, a connection for each caller.
    Postgres,
    /// Postgres' advisory locks: nothing is written.
    PostgresAdvisory,
    /// Postgres without a server, 256 rows in a statement.
    #[value(name = "postgres-256-rows")]
    PostgresRows,
    /// etcd's lock API.
    Etcd,
    /// Redis with an fsync for each write.
    Redis,
    /// ZooKeeper, one server.
    Zookeeper,
}

/// How commands are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// A gRPC call each.
    Unary,
    /// Messages on a gRPC stream.
    Stream,
    /// The target's own protocol.
    Own,
}

/// How many connections callers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// For gRPC calls.
    pub(crate) unary: usize,
    /// For gRPC streams.
    pub(crate) stream: usize,
    /// For Redis.
    pub(crate) redis: usize,
    /// For ZooKeeper: its clients call them sessions.
    pub(crate) zookeeper: usize,
}

impl Connections {
    /// The same number for all.
    pub(crate) fn all(number: usize) -> Self {
        Self { unary: number, stream: number, redis: number, zookeeper: number }
    }
}

/// A target that runs.
pub(crate) struct Target {
    kind: Kind,
    url: String,
    meter: Meter,
    // It ends with the target.
    child: Option<Child>,
}

impl Kind {
    /// As it is called on the command line and in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LockServerPostgres => "lock-server-postgres",
            Self::LockServerSqlite => "lock-server-sqlite",
            Self::NoStore => "no-store",
            Self::Obvious => "obvious",
            Self::Postgres => "postgres",
            Self::PostgresAdvisory => "postgres-advisory",
            Self::PostgresRows => "postgres-256-rows",
            Self::Etcd => "etcd",
            Self::Redis => "redis",
            Self::Zookeeper => "zookeeper",
        }
    }

    /// What a reader must know who compares it.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::NoStore => "keeps nothing",
            Self::PostgresAdvisory => "not durable, not comparable",
            Self::PostgresRows => "the ceiling; callers are connections",
            _ => "",
        }
    }
}

impl Way {
    /// As it is called in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Own => "own",
        }
    }
}

impl Target {
    /// `lock-server` on a new database of this server.
    pub(crate) async fn lock_server(program: &Path, postgres: &Database) -> Result<Self> {
        Self::lock_server_on(program, postgres, &postgres.database().await).await
    }

    /// `lock-server` on this database of this server.
    pub(crate) async fn lock_server_on(
        program: &Path,
        postgres: &Database,
        database: &TestDatabase,
    ) -> Result<Self> {
        let mut target = processes::lock_server(program, Some(database.url())).await?;
        target.meter.database = Some(postgres.pid());
        Ok(target)
    }

    /// `lock-server` on a new SQLite file.
    pub(crate) async fn lock_server_sqlite(program: &Path) -> Result<Self> {
        processes::lock_server(program, None).await
    }

    /// The server without a store.
    pub(crate) async fn no_store() -> Result<Self> {
        processes::serve(Kind::NoStore, ["no-store"]).await
    }

    /// The obvious server with so many connections to a new database of this server.
    pub(crate) async fn obvious(postgres: &Database, pool: u32) -> Result<Self> {
        let database = postgres.database().await;
        schema::create(database.url()).await?;
        let pool = pool.to_string();
        let arguments = ["obvious", "--database-url", database.url(), "--pool", &pool];
        let mut target = processes::serve(Kind::Obvious, arguments).await?;
        target.meter.database = Some(postgres.pid());
        Ok(target)
    }

    /// A new database of this server, with the table, to be asked without a server.
    pub(crate) async fn plain(kind: Kind, postgres: &Database) -> Result<Self> {
        let database = postgres.database().await;
        schema::create(database.url()).await?;
        let meter = Meter { database: Some(postgres.pid()), ..Meter::default() };
        Ok(Self { kind, url: database.url().to_owned(), meter, child: None })
    }

    /// One of the programs of others, if the machine has it.
    pub(crate) async fn installed(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Etcd => processes::etcd().await,
            Kind::Redis => processes::redis().await,
            Kind::Zookeeper => processes::zookeeper().await,
            _ => Err(Trouble::failed(format!("{} is not a program of others", kind.name()))),
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its folder, which goes with it: all of this tool's files are in such folders.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.child.as_ref().map(Child::its_folder)
    }

    /// Its processes.
    pub(crate) fn meter(&self) -> Meter {
        self.meter
    }

    /// Callers, connected, one for each part.
    pub(crate) async fn callers(
        &self,
        way: Way,
        parts: Vec<Part>,
        connections: Connections,
    ) -> Result<Vec<Caller>> {
        match (self.kind, way) {
            (_, Way::Unary) => self.unary(parts, connections.unary).await,
            (_, Way::Stream) => self.stream(parts, connections.stream).await,
            (Kind::Etcd, _) => self.etcd(parts, connections.unary).await,
            (Kind::Redis, _) => self.redis(parts, connections.redis).await,
            (Kind::Zookeeper, _) => self.zookeeper(parts, connections.zookeeper).await,
            (Kind::Postgres | Kind::PostgresAdvisory | Kind::PostgresRows, _) => {
                self.on_connections_of_their_own(parts).await
            }
            (kind, Way::Own) => {
                Err(Trouble::failed(format!("{} has no protocol of its own", kind.name())))
            }
        }
    }

    async fn unary(&self, parts: Vec<Part>, connections: usize) -> Result<Vec<Caller>> {
        let channels = connect(&self.url, connections.min(parts.len())).await?;
        let channels = channels.iter().cycle().cloned();
        let callers = channels.zip(parts).map(|(channel, part)| Unary::new(channel, part));
        Ok(callers.map(Caller::Unary).collect())
    }

    async fn stream(&self, parts: Vec<Part>, connections: usize) -> Result<Vec<Caller>> {
        let connections = connections.min(parts.len());
        let mut lines = Vec::with_capacity(connections);
        for channel in connect(&self.url, connections).await? {
            lines.push(Line::open(channel, parts.len().div_ceil(connections)).await?);
        }
        let caller = |(number, part): (usize, Part)| {
            let line: &Arc<Line> = &lines[number % connections];
            Caller::Session(Session::new(line.clone(), number / connections, part))
        };
        Ok(parts.into_iter().enumerate().map(caller).collect())
    }

    async fn on_connections_of_their_own(&self, parts: Vec<Part>) -> Result<Vec<Caller>> {
        let mut callers = Vec::with_capacity(parts.len());
        for part in parts {
            callers.push(match self.kind {
                Kind::PostgresAdvisory => {
                    Caller::Advisory(Advisory::connect(&self.url, part).await?)
                }
                Kind::PostgresRows => Caller::Rows(Rows::connect(&self.url, part).await?),
                _ => Caller::Statement(Statement::connect(&self.url, part).await?),
            });
        }
        Ok(callers)
    }

    async fn etcd(&self, parts: Vec<Part>, connections: usize) -> Result<Vec<Caller>> {
        let callers = Etcd::connect(&self.url, parts, connections).await?;
        Ok(callers.into_iter().map(Box::new).map(Caller::Etcd).collect())
    }

    async fn redis(&self, parts: Vec<Part>, connections: usize) -> Result<Vec<Caller>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections.min(parts.len()) {
            clients.push(processes::connect_to_redis(&self.url).await?);
        }
        let script = match clients.first_mut() {
            Some(client) => load_script(client).await?,
            None => return Ok(Vec::new()),
        };
        let clients = clients.iter().cycle().cloned();
        let caller = |(client, part)| Caller::Redis(Redis::new(client, script.clone(), part));
        Ok(clients.zip(parts).map(caller).collect())
    }

    async fn zookeeper(&self, parts: Vec<Part>, connections: usize) -> Result<Vec<Caller>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections.min(parts.len()) {
            clients.push(processes::connect_to_zookeeper(&self.url).await?);
        }
        let clients = clients.iter().cycle().cloned();
        let caller = |(client, part)| Caller::Zookeeper(Zookeeper::new(client, part));
        Ok(clients.zip(parts).map(caller).collect())
    }
}

/// Callers of servers that belong together: each server's stand in turns in the list.
pub(crate) async fn callers_of_all(
    targets: &[Arc<Target>],
    way: Way,
    parts: Vec<Part>,
    connections: Connections,
) -> Result<Vec<Caller>> {
    let mut groups = Vec::with_capacity(targets.len());
    for number in 0..targets.len() {
        let own = parts.iter().skip(number).step_by(targets.len()).cloned().collect();
        groups.push(targets[number].callers(way, own, connections).await?.into_iter());
    }
    let mut callers = Vec::with_capacity(parts.len());
    for number in 0..parts.len() {
        let group = number % groups.len();
        callers.extend(groups[group].next());
    }
    Ok(callers)
}

/// The processes of servers that belong together.
pub(crate) fn meter_of_all(targets: &[Arc<Target>]) -> Meter {
    targets.iter().map(|target| target.meter()).reduce(Meter::and).unwrap_or_default()
}

/// `lock-server` beside this program, unless another one is given.
pub(crate) fn find_lock_server(given: Option<&Path>) -> Result<PathBuf> {
    let beside = || {
        let own = std::env::current_exe().during("find this program's folder")?;
        Ok(own.with_file_name("lock-server"))
    };
    let path = given.map_or_else(beside, |path| Ok(path.to_owned()))?;
    // The target is started from another folder.
    let found = path.canonicalize();
    found.map_err(|error| {
        Trouble::failed(format!(
            "cannot use {}: {error}; build it with cargo build --release -p lock-server, or say \
             --lock-server PATH",
            path.display()
        ))
    })
}
