//! What a run has: its settings, its targets as they are started, and its rows.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    args::Options,
    load::{Script, Span, closed},
    part,
    row::Row,
    scenario::MANY,
    target::{Connections, Database, Kind, Target, Way, find_lock_server},
    trouble::{Result, Trouble},
};

/// The state of a run.
pub(crate) struct Lab {
    /// What was asked for.
    pub(crate) options: Options,
    /// How many connections callers share.
    pub(crate) connections: Connections,
    /// How many connections the obvious server has to its database.
    pub(crate) pool: u32,
    /// What was measured so far.
    pub(crate) rows: Vec<Row>,
    targets: HashMap<Kind, Result<Arc<Target>>>,
    two_servers: Option<Result<Vec<Arc<Target>>>>,
    // After the targets: a server goes before its database.
    database: Option<Result<Arc<Database>>>,
}

impl Lab {
    pub(crate) fn new(options: Options) -> Self {
        let connections = Connections::all(options.connections.map_or(1, usize::from));
        Self {
            options,
            connections,
            pool: 16,
            rows: Vec::new(),
            targets: HashMap::new(),
            two_servers: None,
            database: None,
        }
    }

    /// How long a run is.
    pub(crate) fn span(&self) -> Span {
        let time = self.options.seconds;
        Span { warm_up: (time / 4).min(Duration::from_millis(500)), time }
    }

    /// How many locks each caller goes round.
    pub(crate) fn locks_each(&self) -> usize {
        if self.options.smoke { 10 } else { 100 }
    }

    /// A target, started if this is the first to ask.
    pub(crate) async fn target(&mut self, kind: Kind) -> Result<Arc<Target>> {
        if let Some(started) = self.targets.get(&kind) {
            return started.clone();
        }
        let started = self.start(kind).await.map(Arc::new);
        self.targets.insert(kind, started.clone());
        started
    }

    /// Two servers on one new database, started if this is the first to ask.
    pub(crate) async fn two_servers(&mut self) -> Result<Vec<Arc<Target>>> {
        if let Some(started) = &self.two_servers {
            return started.clone();
        }
        let started = self.start_two().await;
        self.two_servers = Some(started.clone());
        started
    }

    async fn start_two(&mut self) -> Result<Vec<Arc<Target>>> {
        let program = self.lock_server()?;
        let postgres = self.database().await?;
        let database = postgres.database().await;
        let mut targets = Vec::with_capacity(2);
        for _ in 0..2 {
            let target = Target::lock_server_on(&program, &postgres, &database).await?;
            targets.push(Arc::new(target));
        }
        Ok(targets)
    }

    /// The Postgres of all targets that need one; they run one at a time.
    pub(crate) async fn database(&mut self) -> Result<Arc<Database>> {
        if let Some(started) = &self.database {
            return started.clone();
        }
        let started = Database::start().await.map(Arc::new);
        self.database = Some(started.clone());
        started
    }

    /// The version of the Postgres that ran, if one did.
    pub(crate) async fn postgres_version(&self) -> Option<String> {
        self.database.as_ref()?.as_ref().ok()?.version().await.ok()
    }

    /// The program that all this is about.
    pub(crate) fn lock_server(&self) -> Result<PathBuf> {
        find_lock_server(self.options.lock_server.as_deref())
    }

    /// Whether anything failed, beside what is not installed.
    pub(crate) fn failed(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.trouble, Some(Trouble::Failed(_))))
    }

    /// A row of what has been measured.
    pub(crate) fn row(
        &self,
        scenario: &str,
        kind: Kind,
        way: &str,
        callers: usize,
        case: &str,
    ) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.scenario == scenario
                && row.target == kind.name()
                && row.way == way
                && row.callers == callers
                && row.case == case
        })
    }

    async fn start(&mut self, kind: Kind) -> Result<Target> {
        match kind {
            Kind::NoStore => Target::no_store().await,
            Kind::LockServerSqlite => Target::lock_server_sqlite(&self.lock_server()?).await,
            Kind::LockServerPostgres => {
                let program = self.lock_server()?;
                Target::lock_server(&program, self.database().await?.as_ref()).await
            }
            Kind::Obvious => {
                let pool = self.pool;
                Target::obvious(self.database().await?.as_ref(), pool).await
            }
            Kind::Postgres | Kind::PostgresAdvisory | Kind::PostgresRows => {
                Target::plain(kind, self.database().await?.as_ref()).await
            }
            Kind::Etcd | Kind::Redis => Target::installed(kind).await,
            Kind::Zookeeper => {
                let target = Target::installed(kind).await?;
                self.warm(&target).await?;
                Ok(target)
            }
        }
    }

    /// A JVM has compiled nothing yet: it gets the time for that, which is not measured.
    async fn warm(&self, target: &Target) -> Result<()> {
        const LONG_ENOUGH: Duration = Duration::from_secs(10);
        let time = if self.options.smoke { self.options.seconds } else { LONG_ENOUGH };
        let parts = part::own(MANY, self.locks_each());
        let callers = target.callers(Way::Own, parts, self.connections).await?;
        let span = Span { warm_up: Duration::ZERO, time };
        closed(callers, Script::Pairs, span, target.meter()).await.map(drop)
    }
}
