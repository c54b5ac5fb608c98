//! Somebody has locked a row in `psql` and forgotten it: its resource cannot be
//! decided on, everything else can.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{TestDatabase, eventually, postgres};
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use super::support::{
    DEADLINE, Locks, acquire, assert_serves, client, failure, keep_alive, renew, resource, span,
    take, until_stale,
};

/// The time that the server allows its database, and what a busy machine takes.
const LATEST: Duration = Duration::from_millis(2_500);
const FLAGS: [&str; 4] = ["--store-timeout", "500ms", "--min-ttl", "100ms"];

/// How many sessions of a server there are, and how many wait for a lock.
async fn sessions(url: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE wait_event_type = 'Lock') FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'lock-server'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

/// Waits until exactly so many sessions wait for a lock.
pub(crate) async fn until_waiting(url: &str, count: i64) {
    eventually("sessions wait for the row", DEADLINE, async || {
        (sessions(url).await.1 == count).then_some(())
    })
    .await;
}

/// The forgotten transaction.
pub(crate) struct Forgotten(PgConnection);

impl Forgotten {
    pub(crate) async fn with(url: &str, id: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        let rows = sqlx::query("SELECT 1 FROM locks WHERE resource_id = $1 FOR UPDATE")
            .bind(id)
            .fetch_all(&mut connection);
        assert_eq!(rows.await.unwrap().len(), 1);
        Self(connection)
    }

    pub(crate) async fn remembered(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

async fn start(more: &[&str]) -> (TestDatabase, TestServer, Locks) {
    let database = postgres::database().await;
    let flags = [&["--database-url", database.url()], &FLAGS[..], more].concat();
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    (database, server, locks)
}

/// Renews a lock whose row is locked.
pub(crate) async fn refused(mut locks: Locks, lock: &wire::Lock) {
    let started = Instant::now();
    let status = locks.renew(renew(lock)).await.unwrap_err();
    failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    assert!(started.elapsed() < LATEST, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_locked_row_stops_its_own_resource_only() {
    let (database, _server, mut locks) = start(&[]).await;
    let stuck = take(&locks, "plan/stuck", "owner").await;
    let fine = take(&locks, "plan/fine", "another").await;
    let forgotten = Forgotten::with(database.url(), "stuck").await;

    let refusals = join_all((0..8).map(|_| refused(locks.clone(), &stuck)));
    let mut others = locks.clone();
    let meanwhile = async {
        // They stand in one line, whose first waits for the row.
        until_waiting(database.url(), 1).await;
        for _ in 0..10 {
            others.renew(renew(&fine)).await.expect("another resource works");
            assert_serves(&mut others).await;
        }
    };
    tokio::join!(refusals, meanwhile);

    let release = wire::ReleaseRequest {
        resource: stuck.resource.clone(),
        owner_id: "owner".into(),
        fencing_token: None,
    };
    for status in [
        locks.acquire(acquire("plan/stuck", "owner")).await.unwrap_err(),
        locks.release(release).await.unwrap_err(),
    ] {
        failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    }
    // What only reads does not wait.
    let get = wire::GetLockRequest { resource: resource("plan/stuck") };
    locks.get_lock(get).await.unwrap();
    let status = locks.acquire(acquire("plan/stuck", "another")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");

    forgotten.remembered().await;
    let renewed = locks.renew(renew(&stuck)).await.unwrap().into_inner();
    assert_eq!(renewed.lock.unwrap().fencing_token, stuck.fencing_token);
}

#[tokio::test]
async fn sessions_that_wait_for_a_locked_row_do_not_pile_up() {
    let (database, _server, locks) = start(&["--database-connections", "4"]).await;
    let stuck = take(&locks, "plan/stuck", "owner").await;
    let _forgotten = Forgotten::with(database.url(), "stuck").await;
    for _round in 0..4 {
        join_all((0..16).map(|_| refused(locks.clone(), &stuck))).await;
        let (sessions, _) = sessions(database.url()).await;
        // Those that were given up on end by themselves a moment later.
        assert!(sessions <= 2 * 4, "{sessions} sessions");
    }
    until_waiting(database.url(), 0).await;
    eventually("the sessions end", DEADLINE, async || {
        (sessions(database.url()).await.0 <= 4).then_some(())
    })
    .await;
    assert_serves(&mut locks.clone()).await;
}

#[tokio::test]
async fn neither_a_purge_nor_a_start_waits_for_a_locked_stale_row() {
    let (database, _server, mut locks) = start(&[]).await;
    for id in ["plan/stuck", "plan/old"] {
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire(id, "owner") };
        locks.acquire(short).await.unwrap();
        until_stale(&locks, id).await;
    }
    let forgotten = Forgotten::with(database.url(), "stuck").await;
    let purged = locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
    assert_eq!(purged.into_inner().purged_count, 1);
    let flags = [&["--database-url", database.url()], &FLAGS[..]].concat();
    let second = TestServer::start(&flags).await;
    assert_serves(&mut client(&second.url())).await;
    forgotten.remembered().await;
    let purged = locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
    assert_eq!(purged.into_inner().purged_count, 1);
}

#[tokio::test]
async fn the_other_leases_of_a_keep_alive_are_renewed() {
    let database = postgres::database().await;
    let flags = [&FLAGS[..], &["--database-url", database.url()]].concat();
    let server = TestServer::start(&flags).await;
    let mut locks = client(&server.url());
    let mut leases = Vec::new();
    for id in ["plan/a", "plan/b", "plan/c"] {
        let lock = take(&locks, id, "me").await;
        leases.push((id, lock));
    }
    let request = wire::KeepAliveRequest {
        leases: leases
            .iter()
            .map(|(_, lock)| wire::KeepAliveLease {
                resource: lock.resource.clone(),
                owner_id: lock.owner_id.clone(),
                fencing_token: lock.fencing_token,
            })
            .collect(),
        ttl: None,
    };
    let forgotten = Forgotten::with(database.url(), "b").await;
    let error = keep_alive(&mut locks, request.clone()).await.unwrap_err();
    failure(&error, Code::Unavailable, "STORE_UNAVAILABLE");
    for (id, before) in &leases {
        let get = wire::GetLockRequest { resource: resource(id) };
        let after = locks.get_lock(get).await.unwrap().into_inner().lock.unwrap();
        let was_renewed = after.renew_time.unwrap().nanos != before.renew_time.unwrap().nanos;
        assert_eq!(was_renewed, *id != "plan/b", "{id}");
    }
    forgotten.remembered().await;
    let answer = keep_alive(&mut locks, request).await.unwrap();
    assert_eq!(answer.results.len(), 3);
}
