//! Behind PgBouncer in transaction mode, as Debian packages it.

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{PgBouncer, postgres};
use tonic::Code;

use super::{
    row_locked::{self, Forgotten},
    support::{
        OpenStream, Serving, acquire, assert_serves, client, events, failure, force, lease, renew,
        take,
    },
};

/// Everything once, and then many at a time.
async fn everything_works(url: &str, flags: &[&str]) {
    let flags = [&["--database-url", url], flags].concat();
    let server = TestServer::start(&flags).await;
    let mut locks = client(&server.url());
    let lock = take(&locks, "plan/42", "owner").await;
    let status = locks.acquire(acquire("plan/42", "other")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
    let renewed = locks.renew(renew(&lock)).await.unwrap().into_inner().lock.unwrap();
    assert_eq!(renewed.fencing_token, lock.fencing_token);
    let mut stream = OpenStream::open(&locks).await;
    stream.send(vec![lease(&lock)]).await;
    assert_eq!(stream.next().await.unwrap().unwrap().results.len(), 1);
    let listed = locks.list_locks(wire::ListLocksRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.locks.len(), 1);
    let stale = locks.list_stale(wire::ListStaleRequest::default()).await.unwrap().into_inner();
    assert_eq!(stale.total_count, 0);
    locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
    let stuck = take(&locks, "plan/stuck", "owner").await;
    locks.force_release(force(&stuck, "stuck")).await.unwrap();
    let status = locks.renew(renew(&stuck)).await.unwrap_err();
    let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
    assert_eq!(details.error_info().unwrap().metadata["release_reason"], "stuck");
    let trail = events(&locks).await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(trail[0].resource, stuck.resource);
    let mut watch = locks.watch(wire::WatchRequest::default()).await.unwrap().into_inner();
    let mut told = async || watch.message().await.unwrap().unwrap().kind();
    assert_eq!(told().await, wire::LockEventKind::Snapshot);
    assert_eq!(told().await, wire::LockEventKind::SnapshotComplete);
    let all = wire::ReleaseAllRequest { owner_id: "owner".into() };
    assert_eq!(locks.release_all(all).await.unwrap().into_inner().released_count, 1);
    assert_eq!(told().await, wire::LockEventKind::Released);

    let busy = (0..16).map(|client| {
        let mut locks = locks.clone();
        async move {
            for round in 0..8 {
                let resource = format!("busy/{client}-{round}");
                let lock = take(&locks, &resource, "owner").await;
                locks.renew(renew(&lock)).await.unwrap();
                let status = locks.acquire(acquire(&resource, "other")).await.unwrap_err();
                failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
            }
        }
    });
    join_all(busy).await;
    assert_serves(&mut locks).await;
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_pooling_proxy_is_noticed() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    everything_works(pgbouncer.url(), &[]).await;
}

/// As many guides say; the proxy then drops the parameters without a word.
const HIDES: &str = "ignore_startup_parameters = extra_float_digits,options,statement_timeout\n";

#[tokio::test]
async fn a_proxy_that_drops_parameters_without_a_word_is_noticed_too() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, HIDES).await;
    everything_works(pgbouncer.url(), &[]).await;
}

#[tokio::test]
async fn a_proxy_that_hides_can_be_named() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, HIDES).await;
    everything_works(pgbouncer.url(), &["--database-pooler", "transaction"]).await;
}

#[tokio::test]
async fn sessions_that_wait_for_a_locked_row_do_not_pile_up_behind_the_proxy() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    let flags = ["--database-url", pgbouncer.url(), "--store-timeout", "500ms"];
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    let stuck = take(&locks, "plan/stuck", "owner").await;
    let _forgotten = Forgotten::with(database.url(), "stuck").await;
    for _round in 0..3 {
        join_all((0..8).map(|_| row_locked::refused(locks.clone(), &stuck))).await;
    }
    row_locked::until_waiting(database.url(), 0).await;
    assert_serves(&mut locks.clone()).await;
}

#[tokio::test]
async fn servers_behind_the_proxy_and_beside_it_share_the_locks() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    let behind = Serving::start(&["--database-url", pgbouncer.url()]).await;
    let beside = Serving::start(&["--database-url", database.url()]).await;
    let lock = take(&behind.locks(), "plan/42", "owner").await;
    let renewed = beside.locks().renew(renew(&lock)).await.unwrap().into_inner();
    assert_eq!(renewed.lock.unwrap().fencing_token, lock.fencing_token);
    let status = behind.locks().acquire(acquire("plan/42", "other")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
}
