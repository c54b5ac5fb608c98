//! A client that is faster than the store, or does not read its answers: it
//! waits, and the server's memory does not pay for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream};
use lock_server::testing::TestServer;
use proto::lock::v1::{
    self as wire, lock_service_client::LockServiceClient, session_request::Command as Asked,
};
use service_kit::testing::eventually;
use tonic::{Streaming, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    DEADLINE, Locks, OpenSession, Proxied, acquire, assert_serves, channel, client, session_of,
};

/// As in `session.rs`.
const MOST_UNANSWERED: usize = 1_024;

/// How many bytes a command and its answer have here at least.
const COMMAND_BYTES: usize = 1_000;

/// What the transport may hold of requests: the server's window for a stream
/// (1 MiB) and what a client sends before it has to wait (1 MiB), and as much
/// again for what is in neither.
const MOST_IN_TRANSPORT: usize = 4 * 1024 * 1024 / COMMAND_BYTES;

/// A command that takes its place on the wire, and its answer too.
fn large(at: usize) -> wire::SessionRequest {
    let value = "x".repeat(250);
    let metadata = ["a", "b", "c", "d"].map(|key| (key.to_owned(), value.clone()));
    let request = wire::AcquireRequest {
        metadata: metadata.into(),
        ..acquire(&format!("plan/large-{at}"), "me")
    };
    wire::SessionRequest { request_id: at as u64, command: Some(Asked::Acquire(request)) }
}

/// A stream of commands that the transport pulls, and how many it has pulled.
async fn flood(
    locks: &Locks,
    count: usize,
    command: fn(usize) -> wire::SessionRequest,
) -> (Streaming<wire::SessionResponse>, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let commands = stream::iter(0..count).map(move |at| {
        counter.fetch_add(1, Ordering::SeqCst);
        command(at)
    });
    (session_of(locks, commands).await, pulled)
}

/// A client whose connection takes few bytes that are not read.
fn narrow(url: &str) -> Locks {
    const WINDOW: u32 = 65_535;
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW);
    LockServiceClient::new(endpoint.initial_connection_window_size(WINDOW * 4).connect_lazy())
}

async fn read_all(mut answers: Streaming<wire::SessionResponse>, count: usize) {
    let mut seen = vec![false; count];
    for _ in 0..count {
        let answer = tokio::time::timeout(DEADLINE, answers.message()).await;
        let answer = answer.expect("an answer in time").unwrap().expect("not the end");
        let again = std::mem::replace(&mut seen[usize::try_from(answer.request_id).unwrap()], true);
        assert!(!again, "{} is answered twice", answer.request_id);
    }
}

/// Waits until a number stays the same while others get answers.
async fn until_it_stays(locks: &mut Locks, least: usize, mut number: impl AsyncFnMut() -> usize) {
    let mut last = None;
    eventually("the number stays the same", DEADLINE, async || {
        for _ in 0..20 {
            assert_serves(locks).await;
        }
        let now = number().await;
        let before = last.replace(now);
        (now >= least && before == Some(now)).then_some(())
    })
    .await;
}

/// Waits until no more commands are pulled while the server answers others, and
/// more than these have been: how many.
async fn until_the_client_waits(server: &TestServer, pulled: &AtomicUsize, least: usize) -> usize {
    let mut health = HealthClient::new(channel(&server.url()));
    let mut last = 0;
    eventually("the client waits", DEADLINE, async || {
        for _ in 0..50 {
            health.check(HealthCheckRequest::default()).await.unwrap();
        }
        let now = pulled.load(Ordering::SeqCst);
        let before = std::mem::replace(&mut last, now);
        (now > least && before == now).then_some(now)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_not_read_from_and_harms_nobody() {
    const ASKED: usize = 10_000;
    /// The client's window, the server's buffer for a stream (400 KiB), and as
    /// much again for what is in neither.
    const MOST_UNREAD: usize = 1024 * 1024 / COMMAND_BYTES;
    let database = Proxied::start().await;
    let flags = ["--database-url", &database.url, "--store-timeout", "20s"];
    let server = TestServer::start(&flags).await;
    let (answers, pulled) = flood(&narrow(&server.url()), ASKED, large).await;
    let mut others = client(&server.url());
    until_it_stays(&mut others, 1, async || {
        usize::try_from(database.rows("large-").await).unwrap()
    })
    .await;
    let taken = usize::try_from(database.rows("large-").await).unwrap();
    assert!(taken <= MOST_UNANSWERED + MOST_UNREAD, "{taken} commands were taken");
    let pulled = pulled.load(Ordering::SeqCst);
    assert!(pulled <= taken + MOST_IN_TRANSPORT, "{pulled} commands were pulled, {taken} taken");
    // Another stream of another client, meanwhile.
    let mut session = OpenSession::open(&others).await;
    for at in 0..100 {
        session.ask(Asked::Acquire(acquire(&format!("plan/other-{at}"), "me"))).await;
    }
    // Nothing is lost: it goes on where it stopped.
    read_all(answers, ASKED).await;
    assert_eq!(database.rows("large-").await, i64::try_from(ASKED).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_taken_than_may_wait_for_the_store() {
    const ASKED: usize = 20_000;
    let database = Proxied::start().await;
    let flags = ["--database-url", &database.url, "--store-timeout", "20s"];
    let server = TestServer::start(&flags).await;
    assert_serves(&mut client(&server.url())).await;
    database.proxy.stall().await;
    let (answers, pulled) = flood(&client(&server.url()), ASKED, large).await;
    let pulled = until_the_client_waits(&server, &pulled, MOST_UNANSWERED).await;
    assert!(pulled <= MOST_UNANSWERED + MOST_IN_TRANSPORT, "{pulled} commands were pulled");
    database.proxy.resume().await;
    read_all(answers, ASKED).await;
    assert_eq!(database.rows("large-").await, i64::try_from(ASKED).unwrap());
}

/// A keep-alive of many leases counts as many commands: what is kept of it
/// until its answer is read is as large.
#[tokio::test(flavor = "multi_thread")]
async fn large_keep_alives_count_by_their_leases() {
    const ASKED: usize = 40;
    const LEASES: usize = 10_000;
    fn keep_alive(at: usize) -> wire::SessionRequest {
        let lease = |id: usize| wire::KeepAliveLease {
            resource: Some(wire::Resource::new("plan", id.to_string())),
            owner_id: "me".to_owned(),
            fencing_token: 1,
        };
        let leases = (0..LEASES).map(lease).collect();
        let request = wire::KeepAliveRequest { leases, ttl: None };
        wire::SessionRequest { request_id: at as u64, command: Some(Asked::KeepAlive(request)) }
    }
    /// 1,024 commands, of which one may be too many, and what is in the
    /// transport at 20 bytes a lease.
    const MOST: usize = 1_024 / (LEASES / 64) + 1 + 4 * 1024 * 1024 / (20 * LEASES);
    let database = Proxied::start().await;
    let flags = ["--database-url", &database.url, "--store-timeout", "20s"];
    let server = TestServer::start(&flags).await;
    assert_serves(&mut client(&server.url())).await;
    database.proxy.stall().await;
    let (answers, pulled) = flood(&client(&server.url()), ASKED, keep_alive).await;
    let pulled = until_the_client_waits(&server, &pulled, 2).await;
    assert!(pulled <= MOST, "{pulled} keep-alives were pulled, {MOST} may be");
    database.proxy.resume().await;
    read_all(answers, ASKED).await;
}

/// Who does not read its answers has no places in the queue that others need.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_and_not_read_takes_no_place() {
    const ASKED: usize = 50_000;
    fn keep_alive(at: usize) -> wire::SessionRequest {
        let leases = vec![wire::KeepAliveLease {
            resource: Some(wire::Resource::new("plan", at.to_string())),
            owner_id: "me".to_owned(),
            fencing_token: 1,
        }];
        let request = wire::KeepAliveRequest { leases, ttl: None };
        wire::SessionRequest { request_id: at as u64, command: Some(Asked::KeepAlive(request)) }
    }
    let server = TestServer::start(&["--max-queue", "64"]).await;
    let (_answers, pulled) = flood(&narrow(&server.url()), ASKED, keep_alive).await;
    let (mut last, mut others) = (0, client(&server.url()));
    let request = acquire("plan/other", "other");
    eventually("a call finds a place, and the client waits", DEADLINE, async || {
        others.acquire(request.clone()).await.ok()?;
        let now = pulled.load(Ordering::SeqCst);
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(())
    })
    .await;
    assert!(last < ASKED, "the client does not wait");
    for _ in 0..20 {
        assert_serves(&mut others).await;
    }
}
