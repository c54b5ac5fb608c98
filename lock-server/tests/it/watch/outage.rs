//! A watch when its store is away, its server stops, or somebody has forgotten a
//! transaction.

use std::time::{Duration, Instant};

use lock_server::testing::TestServer;
use proto::lock::v1::LockEventKind as Kind;
use service_kit::testing::{eventually, postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::Code;

use super::{
    super::support::{DEADLINE, Locks, Proxied, client, failure, release, renew, take},
    kit::{Watch, everything, everything_with_renewals, said},
};

/// A session beside the server, with a transaction that it has forgotten.
async fn forgotten(url: &str, sql: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = AssertSqlSafe(format!("BEGIN; {sql}"));
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection
}

async fn number(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_forgotten_transaction_does_not_keep_a_watch_from_beginning() {
    const TIMEOUT: Duration = Duration::from_secs(20);
    let database = postgres::database().await;
    let url = database.url();
    let server = TestServer::start(&["--database-url", url, "--store-timeout", "20s"]).await;
    let mut locks = client(&server.url());
    let held = take(&locks, "plan/held", "alice").await;
    let _others = [
        forgotten(url, "INSERT INTO lock_events (kind, actor) VALUES ('PURGED', 'me')").await,
        forgotten(url, "UPDATE locks SET ttl = ttl WHERE resource_id = 'held'").await,
        forgotten(url, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM locks")
            .await,
    ];
    let began = Instant::now();
    let (mut watch, snapshot) = Watch::begin(&locks, everything()).await;
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(snapshot.len(), 1);
    assert_eq!(snapshot[0].fencing_token, held.fencing_token);
    for _ in 0..3 {
        let lock = take(&locks, "plan/42", "alice").await;
        locks.release(release("plan/42", "alice")).await.unwrap();
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
        assert_eq!(watch.said().await, said(Kind::Released, &lock));
    }
}

/// One that has read what statements look at is taken for one of theirs: for no
/// longer than those may take.
#[tokio::test]
async fn one_that_looks_like_ours_is_waited_for_no_longer_than_ours_may_take() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "1s"];
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    let _other = forgotten(database.url(), "SELECT 1 FROM fencing_epoch").await;
    let began = Instant::now();
    let mut watch = Watch::of_nothing(&locks, everything()).await;
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    let lock = take(&locks, "plan/42", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
}

/// That takes longer than it is said at a time that somebody watches.
#[tokio::test]
async fn a_watch_that_takes_long_to_begin_is_heard_of_and_begins() {
    let database = postgres::database().await;
    let url = database.url();
    let server = TestServer::start(&["--database-url", url, "--store-timeout", "20s"]).await;
    let locks = client(&server.url());
    let _other = forgotten(url, "SELECT 1 FROM fencing_epoch").await;
    let began = Instant::now();
    let mut watch = Watch::open(&locks, everything()).await;
    assert_eq!(watch.any().await.unwrap().kind(), Kind::Progress);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(watch.snapshot().await, []);
    assert!(began.elapsed() > Duration::from_secs(20), "{:?}", began.elapsed());
    let lock = take(&locks, "plan/42", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
}

/// Another one begins with the renewals, and that takes too long.
#[tokio::test]
async fn a_watch_ends_when_another_one_takes_too_long_to_begin() {
    let database = postgres::database().await;
    let url = database.url();
    let server = TestServer::start(&["--database-url", url, "--store-timeout", "20s"]).await;
    let locks = client(&server.url());
    let mut watch = Watch::of_nothing(&locks, everything()).await;
    let other = forgotten(url, "SELECT 1 FROM fencing_epoch").await;
    let mut late = Watch::open(&locks, everything_with_renewals()).await;
    eventually("it is said that renewals are watched", DEADLINE, async || {
        let said = "SELECT count(*) FROM fencing_epoch WHERE renewals_until > clock_timestamp()";
        (number(url, said).await == 1).then_some(())
    })
    .await;
    let lock = take(&locks, "plan/42", "alice").await;
    // It cannot be told in time, and does not go on without it.
    let end = tokio::time::timeout(DEADLINE, watch.end()).await.expect("the end in time");
    failure(&end, Code::Unavailable, "STORE_UNAVAILABLE");
    failure(&late.end().await, Code::Unavailable, "STORE_UNAVAILABLE");
    drop(other);
    let (_watch, snapshot) = Watch::begin(&locks, everything_with_renewals()).await;
    assert_eq!(snapshot[0].fencing_token, lock.fencing_token);
}

/// A statement that has begun before anybody watched, and does not know of it.
#[tokio::test]
async fn a_statement_from_before_the_watch_is_waited_for() {
    let database = postgres::database().await;
    let url = database.url();
    let server = TestServer::start(&["--database-url", url, "--store-timeout", "60s"]).await;
    let locks = client(&server.url());
    let lock = take(&locks, "plan/42", "alice").await;
    let other = forgotten(url, "SELECT 1 FROM locks WHERE resource_id = '42' FOR UPDATE").await;
    let mut renewing = locks.clone();
    let (request, mut opening) = (renew(&lock), locks.clone());
    let renewed = tokio::spawn(async move { renewing.renew(request).await });
    // Past its batch, it waits alone, and with more patience.
    eventually("it waits", DEADLINE, async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND datname = current_database()
                       AND clock_timestamp() - query_start > interval '300 ms'";
        (number(url, waiting).await == 1).then_some(())
    })
    .await;
    let mut stream = opening.watch(everything_with_renewals()).await.unwrap().into_inner();
    eventually("it is said that somebody watches", DEADLINE, async || {
        let watched = "SELECT count(*) FROM fencing_epoch WHERE watched_until > clock_timestamp()";
        (number(url, watched).await == 1).then_some(())
    })
    .await;
    let early = tokio::time::timeout(Duration::from_millis(500), stream.message()).await;
    assert!(early.is_err(), "the watch begins before the statement is over: {early:?}");
    drop(other);
    let renewed = renewed.await.unwrap().unwrap().into_inner().lock.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.kind(), Kind::Snapshot);
    assert_eq!(first.lock.unwrap().expire_time, renewed.expire_time, "the snapshot has seen it");
    let complete = stream.message().await.unwrap().unwrap();
    assert_eq!(complete.kind(), Kind::SnapshotComplete);
}

/// What is committed after what was begun later, and told before, is told then.
#[tokio::test]
async fn what_becomes_visible_late_is_told() {
    let database = postgres::database().await;
    let url = database.url();
    let server = TestServer::start(&["--database-url", url]).await;
    let locks = client(&server.url());
    let mut watch = Watch::of_nothing(&locks, everything()).await;
    let first = take(&locks, "plan/1", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &first));
    let tell = "SELECT lock_changed('RELEASED', l) FROM locks l WHERE resource_id = '1'";
    let mut late = forgotten(url, tell).await;
    for name in ["plan/2", "plan/3"] {
        let lock = take(&locks, name, "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
    }
    sqlx::query("COMMIT").execute(&mut late).await.unwrap();
    assert_eq!(watch.said().await, said(Kind::Released, &first));
    let last = take(&locks, "plan/4", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &last), "and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_store_is_away_all_watches_end_and_begin_anew() {
    let database = Proxied::start().await;
    let server =
        TestServer::start(&["--database-url", &database.url, "--store-timeout", "1s"]).await;
    let locks = client(&server.url());
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(Watch::of_nothing(&locks, everything()).await);
    }
    database.proxy.stall().await;
    for watch in &mut watches {
        let status = watch.end().await;
        let details = failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
        assert!(details.retry_info().unwrap().retry_delay.is_some(), "{status:?}");
    }
    // One that begins now ends, too.
    let mut early = Watch::open(&locks, everything()).await;
    failure(&early.end().await, Code::Unavailable, "STORE_UNAVAILABLE");
    database.proxy.resume().await;
    let mut watch = eventually("a watch begins", DEADLINE, async || {
        let mut watch = Watch::open(&locks, everything()).await;
        let first = watch.any().await.ok()?;
        assert_eq!(first.kind(), Kind::SnapshotComplete);
        Some(watch)
    })
    .await;
    let lock = take(&locks, "plan/42", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
}

/// Whatever it is that has kept the server from saying that it watches.
#[tokio::test]
async fn a_watch_of_which_the_database_does_not_know_any_more_ends() {
    let database = postgres::database().await;
    let server = TestServer::start(&["--database-url", database.url()]).await;
    let locks = client(&server.url());
    let mut watch = Watch::of_nothing(&locks, everything()).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let forget = "UPDATE fencing_epoch SET watched_until = '-infinity'";
    sqlx::query(forget).execute(&mut connection).await.unwrap();
    failure(&watch.end().await, Code::Unavailable, "STORE_UNAVAILABLE");
    let mut watch = Watch::of_nothing(&locks, everything()).await;
    let lock = take(&locks, "plan/42", "alice").await;
    assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches() {
    let database = postgres::database().await;
    for flags in [&[][..], &["--database-url", database.url()]] {
        let mut server = TestServer::start(flags).await;
        let locks = client(&server.url());
        let lock = take(&locks, "plan/42", "alice").await;
        let mut watch = Watch::open(&locks, everything()).await;
        assert_eq!(watch.snapshot().await[0].fencing_token, lock.fencing_token);
        let mut unread = Watch::open(&locks, everything()).await;
        server.begin_stop();
        failure(&watch.end().await, Code::Unavailable, "SHUTTING_DOWN");
        failure(&unread.end().await, Code::Unavailable, "SHUTTING_DOWN");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_nobody_watches_leaves_nothing_behind() {
    let database = postgres::database().await;
    let url = database.url();
    let flags = ["--database-url", url, "--sweep-interval", "200ms"];
    let server = TestServer::start(&flags).await;
    let mut locks = client(&server.url());
    let pair = async |locks: &mut Locks| {
        let lock = take(locks, "plan/42", "alice").await;
        locks.renew(renew(&lock)).await.unwrap();
        locks.release(release("plan/42", "alice")).await.unwrap();
        lock
    };
    pair(&mut locks).await;
    let changes = "SELECT count(*) FROM lock_changes";
    let watched = "SELECT count(*) FROM fencing_epoch WHERE watched_until > '-infinity'
                   OR renewals_until > '-infinity'";
    assert_eq!(number(url, "SELECT last_value FROM lock_changes_change_id_seq").await, 1);
    assert_eq!((number(url, changes).await, number(url, watched).await), (0, 0));

    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(Watch::of_nothing(&locks, everything()).await);
    }
    let lock = pair(&mut locks).await;
    for watch in &mut watches {
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
        assert_eq!(watch.said().await, said(Kind::Released, &lock));
    }
    assert_eq!(number(url, changes).await, 2, "each is written once, and the renewal is not");
    let looking = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE '%LEFT JOIN%lock_changes%'
                   AND pid <> pg_backend_pid()";
    assert_eq!(number(url, looking).await, 1, "one looks for all");
    drop(watches);
    // What would pass is made to have passed.
    let mut connection = PgConnection::connect(url).await.unwrap();
    eventually("nothing is left", DEADLINE, async || {
        let over = "UPDATE fencing_epoch SET watched_until = '-infinity'";
        sqlx::query(over).execute(&mut connection).await.unwrap();
        (number(url, changes).await == 0).then_some(())
    })
    .await;
    pair(&mut locks).await;
    assert_eq!(number(url, changes).await, 0);
}
