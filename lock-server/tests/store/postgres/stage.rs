//! A store on Postgres, and sessions of others beside it that hold it up.

use std::{sync::Arc, time::Duration};

use lock_server::{
    domain::{Command, Lock, Outcome, Span},
    store::{Store, StoreError, StoreOptions, open, postgres::pooler::Pooler},
};
use service_kit::testing::{eventually, postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::task::JoinHandle;

use crate::kit::{acquire, options, resource};

const DEADLINE: Duration = Duration::from_secs(20);

/// A store, and a session of somebody else beside it.
pub(super) struct Stage {
    pub(super) store: Arc<dyn Store>,
    other: PgConnection,
    /// A session to look at the others from.
    observer: PgConnection,
}

type Applied<T> = JoinHandle<Result<Vec<T>, StoreError>>;

impl Stage {
    pub(super) async fn set(max_stall: Duration) -> Self {
        let database = postgres::database().await;
        let options = StoreOptions { max_stall: Span::from(max_stall), ..options(database.url()) };
        let store = open(&options, Pooler::Auto).await.unwrap();
        let other = PgConnection::connect(database.url()).await.unwrap();
        let observer = PgConnection::connect(database.url()).await.unwrap();
        Self { store, other, observer }
    }

    pub(super) async fn sql(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.other).await.unwrap();
    }

    pub(super) async fn number(&mut self, sql: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.other).await;
        row.unwrap().get(0)
    }

    /// Starts a command, which is known to be stuck when this returns.
    pub(super) async fn stuck(&mut self, command: Command) -> Applied<Outcome> {
        let store = Arc::clone(&self.store);
        let applied = tokio::spawn(async move { store.apply(&[command]).await });
        self.until_stuck().await;
        applied
    }

    /// Starts a batch, which is known to be stuck when this returns, or to have
    /// been for as long as a batch is.
    pub(super) async fn stuck_batch(&mut self, commands: Vec<Command>) -> Applied<Option<Outcome>> {
        let store = Arc::clone(&self.store);
        let applied = tokio::spawn(async move { store.apply_now(&commands).await });
        tokio::select! {
            () = self.until_stuck() => {}
            () = over(&applied) => {}
        }
        applied
    }

    async fn until_stuck(&mut self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND application_name = 'lock-server' AND wait_event_type = 'Lock'";
        eventually("the command waits for a database lock", DEADLINE, async || {
            let row = sqlx::query(waiting).fetch_one(&mut self.observer).await.unwrap();
            (row.get::<i64, _>(0) == 1).then_some(())
        })
        .await;
    }

    /// Waits until the lease of a lock has no more than this left, by the
    /// database's clock; none, for its end.
    pub(super) async fn until_left(&mut self, lock: &Lock, left: Span) {
        eventually("the lease runs down", DEADLINE, async || {
            let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
            let now: i64 = sqlx::query(clock).fetch_one(&mut self.observer).await.unwrap().get(0);
            (now >= lock.expires_at.micros() - left.micros()).then_some(())
        })
        .await;
    }

    /// Waits until this much time has passed by the database's clock.
    pub(super) async fn let_pass(&mut self, span: Duration) {
        let start =
            self.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").await;
        let span = i64::try_from(span.as_millis()).unwrap();
        eventually("time passes", DEADLINE, async || {
            let now: i64 =
                sqlx::query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                    .fetch_one(&mut self.observer)
                    .await
                    .unwrap()
                    .get(0);
            (now > start + span).then_some(())
        })
        .await;
    }

    pub(super) async fn grant(&self, owner: &str, ttl: Span) -> Lock {
        granted(&self.store.apply(&[acquire(&resource("42"), owner, ttl)]).await.unwrap())
    }
}

pub(super) fn granted(outcomes: &[Outcome]) -> Lock {
    match &outcomes[0] {
        Outcome::Granted { lock, reentrant: false } => lock.clone(),
        other => panic!("not a grant: {other:?}"),
    }
}

async fn over<T>(applied: &Applied<T>) {
    eventually("the batch is over", DEADLINE, async || applied.is_finished().then_some(())).await;
}
