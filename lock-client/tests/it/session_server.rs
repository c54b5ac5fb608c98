//! The command stream against the real server.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lock_client::{AcquireOptions, ClientError, LockClient, Released, Resource, TryAcquire};
use lock_server::testing::TestServer;
use proto::lock::v1::{
    ReleaseRequest, ReleaseResponse, SessionRequest, lock_service_client::LockServiceClient,
    session_request, session_response::Outcome,
};
use service_kit::testing::{TcpProxy, eventually, postgres};
use tokio::task::JoinSet;

use crate::fake::PATIENCE;

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

/// A way to the server that can be taken away.
async fn behind_proxy(server: &TestServer) -> (TcpProxy, LockClient) {
    let address: SocketAddr = server.url().trim_start_matches("http://").parse().unwrap();
    let proxy = TcpProxy::start(address).await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    (proxy, client)
}

/// Without this the other tests here would be about calls.
#[tokio::test]
async fn there_is_a_stream_to_use() {
    let server = TestServer::start(&[]).await;
    let mut client = LockServiceClient::connect(server.url()).await.unwrap();
    let release =
        ReleaseRequest { resource: Some(plan_a()), owner_id: "me".to_owned(), fencing_token: None };
    let command = Some(session_request::Command::Release(release));
    let commands = tokio_stream::once(SessionRequest { request_id: 7, command });
    let mut answers = client.session(commands).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let released = Outcome::Release(ReleaseResponse { released: false });
    assert_eq!((answer.request_id, answer.outcome), (7, Some(released)));
}

#[tokio::test]
async fn a_conflict_names_the_holder_with_all_it_said() {
    let server = TestServer::start(&[]).await;
    let holder = LockClient::builder().endpoint(server.url()).owner_id("holder").build().unwrap();
    let _guard = holder.acquire(plan_a(), options().metadata("job", "nightly")).await.unwrap();
    let error = holder.with_new_owner().acquire(plan_a(), options()).await.unwrap_err();
    let ClientError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((&conflict.resource, conflict.holder.as_str()), (&plan_a(), "holder"));
    assert_eq!(conflict.metadata.get("job").map(String::as_str), Some("nightly"));
    assert!(conflict.remaining > Duration::from_secs(30) && conflict.retry_after.is_some());
    assert!(conflict.acquire_time.is_some() && conflict.expire_time.is_some());
}

#[tokio::test]
async fn what_was_done_and_not_answered_is_found_done_when_it_is_repeated() {
    let server = TestServer::start(&[]).await;
    let direct = LockClient::connect(server.url()).unwrap();
    let (proxy, client) = behind_proxy(&server).await;
    // So that there is a stream.
    client.acquire_unguarded(("plan", "b"), options()).await.unwrap();

    proxy.mute().await;
    let acquisition = tokio::spawn({
        let client = client.clone();
        async move { client.acquire(plan_a(), options()).await }
    });
    let lock = async || direct.get(plan_a()).await.unwrap();
    let granted = eventually("a grant", PATIENCE, lock).await;
    proxy.cut().await;
    proxy.resume().await;
    let guard = acquisition.await.unwrap().unwrap();
    assert!(guard.retried() && guard.reentrant());
    assert_eq!(guard.fencing_token(), granted.fencing_token);
    guard.check().unwrap();

    proxy.mute().await;
    let release = tokio::spawn(guard.release());
    let free = async || direct.get(plan_a()).await.unwrap().is_none().then_some(());
    eventually("a release", PATIENCE, free).await;
    proxy.cut().await;
    proxy.resume().await;
    assert_eq!(release.await.unwrap().unwrap(), Released::ReleasedOrFree);
    let again = client.acquire(plan_a(), options()).await.unwrap();
    assert!(again.fencing_token() > granted.fencing_token && !again.reentrant());
}

#[tokio::test]
async fn an_idle_stream_holds_no_server_up_that_stops() {
    let server = TestServer::start(&["--shutdown-grace", "30s"]).await;
    let client = LockClient::connect(server.url()).unwrap();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    tokio::time::timeout(PATIENCE, server.stop()).await.unwrap();
    guard.check().unwrap();
}

/// What contenders see of one resource.
#[derive(Default)]
struct Seen {
    inside: AtomicBool,
    token: Mutex<u64>,
}

/// Takes locks and gives them back until it held so many.
async fn contend(client: LockClient, resources: Arc<Vec<Seen>>, grants: Arc<AtomicUsize>) {
    let client = client.with_new_owner();
    let mut held = 0;
    while held < 20 {
        let at = fastrand::usize(..resources.len());
        let (resource, seen) = (Resource::new("plan", at.to_string()), &resources[at]);
        match client.try_acquire(resource, options()).await.unwrap() {
            TryAcquire::Held(_) => tokio::task::yield_now().await,
            TryAcquire::Acquired(guard) => {
                assert!(!seen.inside.swap(true, Ordering::SeqCst), "two at once");
                let before =
                    std::mem::replace(&mut *seen.token.lock().unwrap(), guard.fencing_token());
                assert!(before < guard.fencing_token(), "{before} {guard:?}");
                guard.check().unwrap();
                tokio::task::yield_now().await;
                seen.inside.store(false, Ordering::SeqCst);
                let released = guard.release().await.unwrap();
                assert!(
                    matches!(released, Released::Released | Released::ReleasedOrFree),
                    "{released:?}"
                );
                held += 1;
                grants.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// 64 contenders for 16 resources at two servers, one of which goes away in the
/// middle.
async fn one_of_two_goes(leave: impl AsyncFnOnce(TestServer)) {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (first, second) = (TestServer::start(&flags).await, TestServer::start(&flags).await);
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    let resources: Arc<Vec<Seen>> = Arc::new((0..16).map(|_| Seen::default()).collect());
    let grants = Arc::new(AtomicUsize::new(0));
    let mut contenders = JoinSet::new();
    for _ in 0..64 {
        contenders.spawn(contend(client.clone(), resources.clone(), grants.clone()));
    }
    let some = async || (grants.load(Ordering::SeqCst) >= 200).then_some(());
    eventually("200 grants", PATIENCE, some).await;
    leave(first).await;
    while let Some(ended) = contenders.join_next().await {
        ended.unwrap();
    }
    assert_eq!(grants.load(Ordering::SeqCst), 64 * 20);
    client.flush().await;
}

#[tokio::test]
async fn commands_under_way_at_a_server_that_stops_end_well_at_another_one() {
    one_of_two_goes(TestServer::stop).await;
}

#[tokio::test]
async fn commands_under_way_at_a_server_that_is_killed_end_well_at_another_one() {
    one_of_two_goes(async |server: TestServer| server.kill()).await;
}
