//! The bounds of a server, reached.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{TcpProxy, eventually};
use tonic::{Code, Status};

use super::support::{
    DEADLINE, OpenStream, Proxied, acquire, assert_serves, client, failure, keep_alive, lease, take,
};

#[tokio::test(flavor = "multi_thread")]
async fn past_the_queue_callers_are_told_to_come_back() {
    const PLACES: usize = 4;
    let database = Proxied::start().await;
    let flags = ["--database-url", &database.url, "--max-queue", "4", "--store-timeout", "20s"];
    let server = TestServer::start(&flags).await;
    let mut locks = client(&server.url());
    assert_serves(&mut locks).await;
    database.proxy.stall().await;

    let call = |id: usize| {
        let mut locks = locks.clone();
        tokio::spawn(async move { locks.acquire(acquire(&format!("plan/{id}"), "owner")).await })
    };
    let calls: Vec<_> = (0..20).map(call).collect();
    eventually("all but a queueful are refused", DEADLINE, async || {
        let refused = calls.iter().filter(|call| call.is_finished()).count();
        (refused == calls.len() - PLACES).then_some(())
    })
    .await;
    assert_overloaded(&locks.acquire(acquire("plan/late", "owner")).await.unwrap_err());
    let get = wire::GetLockRequest { resource: super::support::resource("plan/late") };
    assert_overloaded(&locks.get_lock(get).await.unwrap_err());
    let leases = vec![wire::KeepAliveLease {
        resource: super::support::resource("plan/late"),
        owner_id: "owner".into(),
        fencing_token: 1,
    }];
    let request = wire::KeepAliveRequest { leases, ttl: None };
    assert_overloaded(&keep_alive(&mut locks, request).await.unwrap_err());

    database.proxy.resume().await;
    let mut granted = 0;
    for result in join_all(calls).await {
        match result.unwrap() {
            Ok(_) => granted += 1,
            Err(status) => assert_overloaded(&status),
        }
    }
    assert_eq!(granted, PLACES);
    assert_serves(&mut locks).await;
}

#[track_caller]
pub(crate) fn assert_overloaded(status: &Status) {
    let details = failure(status, Code::ResourceExhausted, "OVERLOADED");
    assert!(!details.retry_info().unwrap().retry_delay.unwrap().is_zero(), "{status:?}");
    let quota = &details.quota_failure().unwrap().violations;
    assert_eq!(quota.len(), 1, "{status:?}");
    assert!(quota[0].subject.contains("max-queue"), "{status:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_gets_the_stacks_own_answer() {
    let small = TestServer::start(&["--max-message-size", "4096"]).await;
    let usual = TestServer::start(&[]).await;
    for (server, bytes) in [(&small, 5_000), (&usual, 17 * 1024 * 1024)] {
        let mut locks = client(&server.url());
        let request =
            wire::AcquireRequest { owner_id: "x".repeat(bytes), ..acquire("plan/42", "") };
        let lease = wire::KeepAliveLease {
            resource: request.resource.clone(),
            owner_id: request.owner_id.clone(),
            fencing_token: 1,
        };
        let too_long = wire::KeepAliveRequest { leases: vec![lease], ttl: None };
        for status in [
            locks.acquire(request).await.unwrap_err(),
            keep_alive(&mut locks, too_long).await.unwrap_err(),
        ] {
            assert!(
                matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
                "{bytes}: {status:?}"
            );
            assert!(status.details().is_empty(), "{status:?}");
            assert_serves(&mut locks).await;
        }
    }
}

#[tokio::test]
async fn a_message_of_nearly_the_limit_is_read() {
    let server = TestServer::start(&["--max-message-size", "4096"]).await;
    let mut locks = client(&server.url());
    let request = wire::AcquireRequest { owner_id: "x".repeat(4_000), ..acquire("plan/42", "") };
    let status = locks.acquire(request).await.unwrap_err();
    assert_eq!(super::support::wrong(&status), ["owner_id"]);
}

#[tokio::test]
async fn streams_past_the_bound_of_a_connection_wait_at_the_client() {
    let server = TestServer::start(&["--max-concurrent-streams", "2"]).await;
    let one_connection = client(&server.url());
    let lock = take(&one_connection, "plan/42", "owner").await;
    let first = OpenStream::open(&one_connection).await;
    let mut second = OpenStream::open(&one_connection).await;
    let mut locks = one_connection.clone();
    let waiting = tokio::spawn(async move { assert_serves(&mut locks).await });
    // The others go on: by the time of the answer the call had time to be sent.
    for _ in 0..3 {
        second.send(vec![lease(&lock)]).await;
        second.next().await.unwrap().unwrap();
    }
    assert!(!waiting.is_finished());
    assert_serves(&mut client(&server.url())).await;
    drop(first);
    tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
}

/// How many connections are established with a local port, as the system
/// counts them.
fn connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&local) && row[3] == ESTABLISHED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_vanished_is_noticed() {
    let flags = ["--ping-interval", "200ms", "--ping-timeout", "200ms"];
    let server = TestServer::start(&flags).await;
    let address: std::net::SocketAddr =
        server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = TcpProxy::start(address).await;
    let locks = client(&format!("http://{}", proxy.address()));
    let _stream = OpenStream::open(&locks).await;
    assert_eq!(connections(address.port()), 1);
    // It is there for longer than the server waits for an answer to its pings.
    let until = Instant::now() + Duration::from_secs(1);
    eventually("a second goes by", DEADLINE, async || (Instant::now() > until).then_some(())).await;
    assert_eq!(connections(address.port()), 1, "a client that answers stays connected");
    proxy.stall().await;
    eventually("the server closes the connection", DEADLINE, async || {
        (connections(address.port()) == 0).then_some(())
    })
    .await;
}
