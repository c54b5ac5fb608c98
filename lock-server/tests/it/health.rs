//! `grpc.health.v1` of a server that is well.

use lock_server::testing::TestServer;
use service_kit::testing::postgres;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::support::channel;

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_check_tells_the_state_the_engine_and_the_version() {
    let database = postgres::database().await;
    let on_postgres = ["--database-url", database.url()];
    for (engine, flags) in [("sqlite", &[][..]), ("postgres", &on_postgres)] {
        let server = TestServer::start(flags).await;
        let mut health = HealthClient::new(channel(&server.url()));
        for service in ["", "lock.v1.LockService"] {
            let answer = health.check(about(service)).await.unwrap();
            assert_eq!(answer.metadata().get("lock-store").unwrap(), engine);
            let version = answer.metadata().get("lock-server-version").unwrap();
            assert_eq!(version, env!("CARGO_PKG_VERSION"));
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_not_served_is_not_found() {
    let server = TestServer::start(&[]).await;
    let mut health = HealthClient::new(channel(&server.url()));
    let status = health.check(about("lock.v2.LockService")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_begins_with_the_state_of_now() {
    let server = TestServer::start(&[]).await;
    let mut health = HealthClient::new(channel(&server.url()));
    for service in ["", "lock.v1.LockService"] {
        let mut updates = health.watch(about(service)).await.unwrap().into_inner();
        let first = updates.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving, "{service:?}");
    }
}
