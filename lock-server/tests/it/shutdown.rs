//! The end of a server: within its grace, with status 0, whatever is open.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use service_kit::testing::{Signal, eventually, postgres};
use sqlx::{Connection as _, PgConnection};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_client as reflection,
    server_reflection_request::MessageRequest,
};

use super::support::{
    DEADLINE, OpenStream, Serving, acquire, channel, failure, lease, renew, take,
};

/// Far below the default grace of 20 s.
const SOON: Duration = Duration::from_secs(5);

async fn serving(flags: &[&str]) -> Serving {
    Serving::start(&[&["--database-url", "sqlite::memory:"], flags].concat()).await
}

async fn watch_health(server: &Serving) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: "lock.v1.LockService".into() };
    let mut health = HealthClient::new(channel(&server.url()));
    let mut updates = health.watch(request).await.unwrap().into_inner();
    let first = updates.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    updates
}

/// A reflection stream whose client never ends it.
async fn hanging_reflection(server: &Serving) -> Streaming<ServerReflectionResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut client = reflection::ServerReflectionClient::new(channel(&server.url()));
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    answers
}

#[tokio::test]
async fn either_signal_ends_an_idle_server_with_zero() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = serving(&[]).await;
        server.process.signal(signal);
        server.assert_ends_well(SOON).await;
    }
}

#[tokio::test]
async fn open_streams_and_idle_connections_do_not_hold_it_up() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = serving(&[]).await;
        let locks = server.locks();
        let lock = take(&locks, "plan/42", "owner").await;
        let mut keep_alive = OpenStream::open(&locks).await;
        keep_alive.send(vec![lease(&lock)]).await;
        keep_alive.next().await.unwrap().unwrap();
        let mut quiet = OpenStream::open(&server.locks()).await;
        let idle = server.locks();
        take(&idle, "plan/43", "owner").await;
        let mut health = watch_health(&server).await;
        server.process.signal(signal);
        server.assert_ends_well(SOON).await;
        for stream in [&mut keep_alive, &mut quiet] {
            let status = stream.next().await.unwrap_err();
            let details = failure(&status, Code::Unavailable, "SHUTTING_DOWN");
            assert!(details.retry_info().unwrap().retry_delay.is_some(), "{status:?}");
        }
        while health.message().await.unwrap().is_some() {}
    }
}

#[tokio::test]
async fn who_watches_the_readiness_is_told_before_the_end() {
    // More than one: what is told last may lose a race against the end.
    for _ in 0..12 {
        let mut server = serving(&[]).await;
        let mut health = watch_health(&server).await;
        server.process.signal(Signal::SIGTERM);
        let last = health.message().await.unwrap().expect("told before the end");
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert!(health.message().await.unwrap().is_none(), "the watch has ended");
        server.assert_ends_well(SOON).await;
    }
}

#[tokio::test]
async fn what_never_ends_is_cut_off_after_the_grace() {
    let mut server = serving(&["--shutdown-grace", "1s"]).await;
    let mut reflection = hanging_reflection(&server).await;
    // A connection that has not even said what it speaks.
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    server.process.signal(Signal::SIGTERM);
    server.assert_ends_well(Duration::from_secs(1) + SOON).await;
    assert!(!matches!(reflection.message().await, Ok(Some(_))), "the stream has ended");
    let read = tokio::time::timeout(DEADLINE, silent.read(&mut [0; 64])).await.unwrap();
    // Whether it is closed or reset, it is over; settings frames may come first.
    drop(read);
}

/// A server with a request under way: somebody else has locked its row.
async fn busy(flags: &[&str]) -> (Serving, PgConnection, tokio::task::JoinHandle<Outcome>) {
    let database = postgres::database().await;
    let flags = [&["--database-url", database.url(), "--store-timeout", "25s"], flags].concat();
    let server = Serving::start(&flags).await;
    let mut locks = server.locks();
    let lock = take(&locks, "plan/42", "owner").await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("SELECT FROM locks FOR UPDATE").execute(&mut other).await.unwrap();
    let call = tokio::spawn(async move { locks.renew(renew(&lock)).await });
    super::row_locked::until_waiting(database.url(), 1).await;
    (server, other, call)
}

type Outcome = Result<tonic::Response<proto::lock::v1::RenewResponse>, tonic::Status>;

#[tokio::test]
async fn what_is_under_way_is_finished() {
    let (mut server, mut other, call) = busy(&[]).await;
    let mut known = server.locks();
    take(&known, "plan/43", "owner").await;
    server.process.signal(Signal::SIGTERM);
    server.process.wait_for_line(|line| line.contains("stopping"), DEADLINE).await;
    // New work is not taken on, on an open connection or a new one.
    eventually("the server takes no new work", SOON, async || {
        known.acquire(acquire("plan/44", "owner")).await.err()
    })
    .await;
    let status = server.locks().acquire(acquire("plan/44", "owner")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(!call.is_finished());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let renewed = call.await.unwrap().expect("carried out").into_inner();
    assert_eq!(renewed.lock.unwrap().owner_id, "owner");
    server.assert_ends_well(SOON).await;
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_after_the_grace() {
    let (mut server, _other, call) = busy(&["--shutdown-grace", "1s"]).await;
    server.process.signal(Signal::SIGTERM);
    server.assert_ends_well(Duration::from_secs(1) + SOON).await;
    let status = call.await.unwrap().unwrap_err();
    assert_ne!(status.code(), Code::Ok);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut server, _other, _call) = busy(&["--shutdown-grace", "60s"]).await;
        server.process.signal(Signal::SIGTERM);
        server.process.wait_for_line(|line| line.contains("stopping"), DEADLINE).await;
        server.process.signal(second);
        let status = server.process.wait(SOON).await;
        assert!(status.code().is_some(), "it ends by itself: {status}");
    }
}
