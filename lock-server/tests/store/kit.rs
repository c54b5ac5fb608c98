//! A store to test, and plain SQL beside it to make time pass.

use std::{sync::Arc, time::Duration};

use lock_server::{
    domain::{
        Acquire, Actor, Command, Event, EventFilter, FencingToken, ForceRelease, Forced, Lock,
        Metadata, Outcome, OwnerId, Purge, Reason, Release, Renew, Resource, ResourceType, Span,
        StaleFilter,
    },
    store::{
        DatabaseUrl, Migrate, Store, StoreOptions, WaitLimits, open, postgres::pooler::Pooler,
    },
};
use service_kit::testing::postgres::{self, TestDatabase};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A store on a database of its own.
pub(crate) struct Kit {
    pub(crate) store: Arc<dyn Store>,
    database: Database,
}

enum Database {
    Sqlite { path: String, _folder: TempDir },
    Postgres(TestDatabase),
}

/// How the suite opens a store.
pub(crate) fn options(url: &str) -> StoreOptions {
    StoreOptions {
        url: DatabaseUrl::parse(url).unwrap(),
        migrate: Migrate::Auto,
        max_connections: 8,
        batches: 2,
        timeout: Duration::from_secs(30),
        max_stall: Span::from(Duration::from_secs(60)),
        waiting: WaitLimits { most_for_one: 100, grace: Duration::from_secs(10) },
        listen_url: None,
    }
}

impl Kit {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks.db").display().to_string();
        let store = open(&options(&format!("sqlite://{path}")), Pooler::Auto).await.unwrap();
        Self { store, database: Database::Sqlite { path, _folder: folder } }
    }

    pub(crate) async fn postgres() -> Self {
        let database = postgres::database().await;
        let store = open(&options(database.url()), Pooler::Auto).await.unwrap();
        Self { store, database: Database::Postgres(database) }
    }

    /// Runs plain SQL: how many rows it changed.
    pub(crate) async fn sql(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.database {
            Database::Sqlite { path, .. } => {
                let url = format!("sqlite://{path}");
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap().rows_affected()
            }
            Database::Postgres(database) => {
                let mut connection = PgConnection::connect(database.url()).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap().rows_affected()
            }
        }
    }

    /// A session of somebody else, on Postgres.
    pub(crate) async fn session(&self) -> PgConnection {
        match &self.database {
            Database::Sqlite { .. } => panic!("only Postgres has sessions"),
            Database::Postgres(database) => PgConnection::connect(database.url()).await.unwrap(),
        }
    }

    /// Runs one of two statements that mean the same.
    pub(crate) async fn sql_of(&self, sqlite: &str, postgres: &str) -> u64 {
        match self.database {
            Database::Sqlite { .. } => self.sql(sqlite).await,
            Database::Postgres(_) => self.sql(postgres).await,
        }
    }

    /// Makes a lease run out this many seconds ago.
    pub(crate) async fn age(&self, resource: &Resource, seconds: i64) {
        let of = format!(
            "WHERE resource_id = '{}' AND resource_type = '{}' AND expires_at IS NOT NULL",
            resource.id(),
            resource.kind().as_str()
        );
        let changed = self
            .sql_of(
                &format!(
                    "UPDATE locks SET expires_at = unixepoch() * 1000000 - {seconds} * 1000000 {of}"
                ),
                &format!(
                    "UPDATE locks SET expires_at = clock_timestamp() - {seconds} * interval '1 s', \
                     sweep_at = '-infinity' {of}"
                ),
            )
            .await;
        assert_eq!(changed, 1, "{resource} is not held");
    }

    /// Carries out one command, as a batch that nobody may hold up.
    pub(crate) async fn apply(&self, command: Command) -> Outcome {
        let mut outcomes = self.store.apply_now(&[command]).await.unwrap();
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0).expect("nobody holds it up")
    }

    /// Acquires what is free or stale.
    pub(crate) async fn grant(&self, resource: &Resource, owner: &str, ttl: Span) -> Lock {
        match self.apply(acquire(resource, owner, ttl)).await {
            Outcome::Granted { lock, reentrant: false } => lock,
            other => panic!("not a grant: {other:?}"),
        }
    }

    /// One step of a purge: how many locks it freed.
    pub(crate) async fn purge(&self, filter: &StaleFilter, most: u32) -> u64 {
        let mut purge = Purge::new(filter.clone(), Actor::sweeper());
        self.store.purge(&mut purge, most).await.unwrap()
    }

    /// A purge in steps, until nothing is left: how many locks it freed.
    pub(crate) async fn purge_run(&self, filter: &StaleFilter, step: u32) -> u64 {
        let mut purge = Purge::new(filter.clone(), Actor::sweeper());
        let mut freed = 0;
        loop {
            let count = self.store.purge(&mut purge, step).await.unwrap();
            freed += count;
            if count < u64::from(step) {
                return freed;
            }
        }
    }

    /// Breaks a hold, from 192.0.2.7.
    pub(crate) async fn force(
        &self,
        resource: &Resource,
        token: FencingToken,
        reason: &str,
    ) -> Forced {
        let asked = ForceRelease {
            resource: resource.clone(),
            token,
            actor: Actor::at(Some([192, 0, 2, 7].into())),
            reason: Reason::parse(reason).unwrap(),
        };
        self.store.force_release(&asked).await.unwrap()
    }

    /// The first 100 events that match.
    pub(crate) async fn events(&self, filter: &EventFilter) -> Vec<Event> {
        self.store.events(filter, None, 100).await.unwrap().events
    }

    /// The lock of a resource.
    pub(crate) async fn get(&self, resource: &Resource) -> Option<Lock> {
        self.store.get(resource).await.unwrap()
    }
}

pub(crate) const MINUTE: Span = Span::from_micros(60_000_000);

pub(crate) fn resource(id: &str) -> Resource {
    resource_of("plan", id)
}

pub(crate) fn resource_of(kind: &str, id: &str) -> Resource {
    Resource::parse_id(ResourceType::parse(kind).unwrap(), id).unwrap()
}

pub(crate) fn owner(id: &str) -> OwnerId {
    OwnerId::parse(id).unwrap()
}

pub(crate) fn metadata(entries: &[(&str, &str)]) -> Metadata {
    let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Metadata::parse(entries).unwrap()
}

pub(crate) fn acquire(resource: &Resource, by: &str, ttl: Span) -> Command {
    acquire_with(resource, by, ttl, &[])
}

pub(crate) fn acquire_with(
    resource: &Resource,
    by: &str,
    ttl: Span,
    entries: &[(&str, &str)],
) -> Command {
    let (resource, metadata) = (resource.clone(), metadata(entries));
    Command::Acquire(Acquire { resource, owner: owner(by), ttl, metadata, wait: None })
}

pub(crate) fn renew(
    resource: &Resource,
    by: &str,
    token: FencingToken,
    ttl: Option<Span>,
) -> Command {
    Command::Renew(Renew { resource: resource.clone(), owner: owner(by), token, ttl })
}

pub(crate) fn release(resource: &Resource, by: &str, token: Option<FencingToken>) -> Command {
    Command::Release(Release { resource: resource.clone(), owner: owner(by), token })
}

pub(crate) fn token(token: u64) -> FencingToken {
    FencingToken::new(token).unwrap()
}

/// The token before or after this one.
pub(crate) fn beside(other: FencingToken) -> FencingToken {
    token(other.get() + 1)
}
