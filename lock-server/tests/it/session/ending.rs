//! How the stream ends, and what becomes of what was sent on it.

use std::time::Duration;

use lock_server::testing::TestServer;
use proto::lock::v1::session_request::Command as Asked;
use service_kit::testing::{Signal, eventually, postgres};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    limits::assert_overloaded,
    row_locked::{Forgotten, until_waiting},
    support::{
        DEADLINE, Locks, OpenSession, Proxied, Serving, acquire, assert_serves, channel, client,
        failure, lock_of, on_each_store, refusal, release, renew, rows, take,
    },
};

/// Far below the default grace of 20 s.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn all_is_answered_before_the_end_that_the_client_asked_for() {
    on_each_store(&[], async |engine, locks| {
        for count in [0, 1, 3_000] {
            let mut session = OpenSession::open(&locks).await;
            for at in 0..count {
                session.send(Asked::Acquire(acquire(&format!("plan/{count}-{at}"), "me"))).await;
            }
            session.end();
            session.answers(count).await;
            assert_eq!(session.next().await.unwrap(), None, "{engine}: it ends well");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_ends_idle_streams_at_once() {
    let mut server = Serving::start(&["--database-url", "sqlite::memory:"]).await;
    let mut used = OpenSession::open(&server.locks()).await;
    used.ask(Asked::Acquire(acquire("plan/42", "me"))).await;
    let mut unused = OpenSession::open(&server.locks()).await;
    server.process.signal(Signal::SIGTERM);
    for session in [&mut used, &mut unused] {
        let status = session.next().await.unwrap_err();
        let details = failure(&status, Code::Unavailable, "SHUTTING_DOWN");
        assert!(details.retry_info().unwrap().retry_delay.is_some(), "{status:?}");
    }
    server.assert_ends_well(SOON).await;
}

/// What is in line is carried out and answered, and nothing more is taken.
#[tokio::test]
async fn a_server_that_stops_answers_what_is_in_line_first() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "25s"];
    let mut server = Serving::start(&flags).await;
    let locks = server.locks();
    let stuck = take(&locks, "plan/stuck", "me").await;
    let mut half_closed = OpenSession::open(&locks).await;
    let mut session = OpenSession::open(&locks).await;
    let forgotten = Forgotten::with(database.url(), "stuck").await;
    let first = session.send(Asked::Renew(renew(&stuck))).await;
    let behind = session.send(Asked::Release(release("plan/stuck", "me"))).await;
    let meanwhile = session.send(Asked::Acquire(acquire("plan/free", "me"))).await;
    assert_eq!(session.answer().await.0, meanwhile);
    half_closed.send(Asked::Acquire(acquire("plan/stuck", "me"))).await;
    half_closed.end();
    until_waiting(database.url(), 1).await;

    server.process.signal(Signal::SIGTERM);
    eventually("the server takes no new work", SOON, async || {
        locks.clone().acquire(acquire("plan/new", "me")).await.err()
    })
    .await;
    session.send(Asked::Acquire(acquire("plan/late", "me"))).await;
    forgotten.remembered().await;
    let (id, renewed) = session.answer().await;
    assert_eq!((id, lock_of(&renewed).fencing_token), (first, stuck.fencing_token));
    assert_eq!(session.answer().await.0, behind);
    let status = session.next().await.unwrap_err();
    failure(&status, Code::Unavailable, "SHUTTING_DOWN");
    // Who asked for nothing more has all its answers, and is told so.
    half_closed.answer().await;
    assert_eq!(half_closed.next().await.unwrap(), None);
    server.assert_ends_well(SOON).await;
    assert_eq!(rows(database.url(), "late").await, 0, "nothing more was taken");
}

#[tokio::test]
async fn a_client_whose_server_is_killed_is_told() {
    let mut server = Serving::start(&["--database-url", "sqlite::memory:"]).await;
    let mut session = OpenSession::open(&server.locks()).await;
    session.ask(Asked::Acquire(acquire("plan/42", "me"))).await;
    server.process.kill();
    let status = session.next().await.unwrap_err();
    assert_ne!(status.code(), Code::Ok, "{status:?}");
}

/// The client goes while its commands are in line behind others: they are not
/// carried out, since nobody would know of them.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_a_client_that_has_gone_are_not_sent_to_the_store() {
    const MANY: usize = 50;
    let database = Proxied::start().await;
    let most = (MANY + 1).to_string();
    let flags = ["--database-url", &database.url, "--store-timeout", "25s"];
    let one_batch = ["--concurrent-batches", "1", "--max-queue", &most];
    let server = TestServer::start(&[&flags[..], &one_batch].concat()).await;
    let (connection, others) = (channel(&server.url()), client(&server.url()));
    assert_serves(&mut others.clone()).await;
    let mut session = OpenSession::open(&Locks::new(connection.clone())).await;
    session.ask(Asked::Acquire(acquire("plan/opened", "me"))).await;

    // A batch is under way: the database has carried it out, and its answer
    // does not come through.
    database.proxy.mute().await;
    let mut busy = others.clone();
    let busy = tokio::spawn(async move { busy.acquire(acquire("plan/busy", "other")).await });
    eventually("the batch is carried out", DEADLINE, async || {
        (database.rows("busy").await == 1).then_some(())
    })
    .await;
    for at in 0..MANY {
        session.send(Asked::Acquire(acquire(&format!("plan/gone-{at}"), "me"))).await;
    }
    // The first that finds no place: those before it are in line.
    let refused = session.send(Asked::Acquire(acquire("plan/gone-last", "me"))).await;
    let (id, outcome) = session.answer().await;
    assert_eq!(id, refused);
    assert_overloaded(&refusal(&outcome));
    drop(session);
    // What comes later on the same connection finds the stream reset.
    let mut health = HealthClient::new(connection);
    for _ in 0..50 {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
    database.proxy.resume().await;
    busy.await.unwrap().unwrap();
    assert_serves(&mut others.clone()).await;
    assert_eq!(database.rows("gone-").await, 0);
    assert_eq!(database.rows("opened").await, 1);
}
