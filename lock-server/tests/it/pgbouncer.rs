//! Behind PgBouncer in transaction mode, as Debian packages it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{Process, TestDatabase, free_port, postgres};
use tonic::Code;

use super::{
    row_locked::{self, Forgotten},
    support::{
        DEADLINE, OpenStream, Serving, acquire, assert_serves, client, events, failure, force,
        lease, renew, take,
    },
};

/// A running PgBouncer with fewer server connections than the lock server has,
/// so that statements change connections all the time.
struct PgBouncer {
    url: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    async fn before(database: &TestDatabase, more: &str) -> Self {
        let (_, place) = database.url().split_once('@').unwrap();
        let (address, name) = place.split_once('/').unwrap();
        let (host, upstream) = address.split_once(':').unwrap();
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        // PgBouncer gives its rights up before it reads the file.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ini = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={host} port={upstream} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n{more}"
        );
        fs::write(&ini, settings).unwrap();
        let ini = ini.to_str().unwrap();
        let args = if is_root() { vec!["-u", "postgres", ini] } else { vec![ini] };
        let mut process = Process::start(installed(), args, [("LC_ALL", "C")]);
        process.wait_for_line(|line| line.contains("process up"), DEADLINE).await;
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
        Self { url, _process: process, _folder: folder }
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where PgBouncer is installed.
fn installed() -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let places = path.split(':').map(|folder| format!("{folder}/pgbouncer"));
    let mut found = places.filter(|program| std::path::Path::new(program).is_file());
    found.next().expect("PgBouncer is needed: apt-get install --no-install-recommends pgbouncer")
}

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
    let all = wire::ReleaseAllRequest { owner_id: "owner".into() };
    assert_eq!(locks.release_all(all).await.unwrap().into_inner().released_count, 1);

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
    everything_works(&pgbouncer.url, &[]).await;
}

/// As many guides say; the proxy then drops the parameters without a word.
const HIDES: &str = "ignore_startup_parameters = extra_float_digits,options,statement_timeout\n";

#[tokio::test]
async fn a_proxy_that_drops_parameters_without_a_word_is_noticed_too() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, HIDES).await;
    everything_works(&pgbouncer.url, &[]).await;
}

#[tokio::test]
async fn a_proxy_that_hides_can_be_named() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, HIDES).await;
    everything_works(&pgbouncer.url, &["--database-pooler", "transaction"]).await;
}

#[tokio::test]
async fn sessions_that_wait_for_a_locked_row_do_not_pile_up_behind_the_proxy() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    let flags = ["--database-url", &pgbouncer.url, "--store-timeout", "500ms"];
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
    let behind = Serving::start(&["--database-url", &pgbouncer.url]).await;
    let beside = Serving::start(&["--database-url", database.url()]).await;
    let lock = take(&behind.locks(), "plan/42", "owner").await;
    let renewed = beside.locks().renew(renew(&lock)).await.unwrap().into_inner();
    assert_eq!(renewed.lock.unwrap().fencing_token, lock.fencing_token);
    let status = behind.locks().acquire(acquire("plan/42", "other")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
}
