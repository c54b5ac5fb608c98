//! Waiting in line at real servers: in order, over the loss of one, and with a
//! lease that counts from its grant.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lock_client::{AcquireOptions, ClientError, ListFilter, LockClient, LockGuard, Resource};
use lock_server::testing::TestServer;
use service_kit::testing::{TcpProxy, eventually, postgres};
use tokio::{task::JoinHandle, time::Instant};

use crate::fake::PATIENCE;

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

fn waiting() -> AcquireOptions {
    options().wait(Duration::from_secs(120))
}

fn client_of(servers: &[&TestServer]) -> LockClient {
    LockClient::builder().endpoints(servers.iter().map(|server| server.url())).build().unwrap()
}

async fn has_in_line(client: &LockClient, count: u64) {
    let line = async || {
        let lock = client.get(plan_a()).await.unwrap();
        lock.is_some_and(|lock| lock.queue_length == count).then_some(())
    };
    eventually(&format!("{count} in line"), PATIENCE, line).await;
}

/// An acquisition that is in line behind so many others.
async fn in_line(client: &LockClient, others: u64) -> JoinHandle<Result<LockGuard, ClientError>> {
    let waiter = client.clone();
    let acquisition = tokio::spawn(async move { waiter.acquire(plan_a(), waiting()).await });
    has_in_line(client, others + 1).await;
    acquisition
}

async fn granted(acquisition: JoinHandle<Result<LockGuard, ClientError>>) -> LockGuard {
    let guard = tokio::time::timeout(PATIENCE, acquisition).await.unwrap().unwrap().unwrap();
    guard.check().unwrap();
    guard
}

#[tokio::test]
async fn who_came_first_is_served_first() {
    let server = TestServer::start(&[]).await;
    let client = client_of(&[&server]);
    let mut guard = client.acquire(plan_a(), options()).await.unwrap();
    let mut line = Vec::new();
    for others in 0..5 {
        line.push(in_line(&client.with_new_owner(), others).await);
    }
    for next in line {
        let token = guard.fencing_token();
        guard.release().await.unwrap();
        guard = granted(next).await;
        assert!(guard.fencing_token() > token);
    }
}

#[tokio::test]
async fn a_lease_counts_from_its_grant_and_not_from_when_the_wait_began() {
    let server = TestServer::start(&["--min-ttl", "100ms"]).await;
    let client = client_of(&[&server]);
    let ttl = Duration::from_secs(2);
    // Nobody renews it: it is granted on when it runs out.
    client.acquire_unguarded(plan_a(), options().ttl(ttl)).await.unwrap();
    let began = Instant::now();
    let waiter = client.with_new_owner();
    let guard = waiter.acquire(plan_a(), waiting().ttl(ttl)).await.unwrap();
    assert!(began.elapsed() > ttl / 2);
    guard.check().unwrap();
    assert!(guard.trusted_until() > began + ttl, "more than from when it was asked for");
    let lock = client.get(plan_a()).await.unwrap().unwrap();
    assert_eq!((lock.owner_id.as_str(), lock.stale), (waiter.owner_id(), false));
    assert_eq!(guard.fencing_token(), lock.fencing_token);
}

#[tokio::test]
async fn a_wait_that_is_dropped_is_out_of_line_at_once() {
    let server = TestServer::start(&[]).await;
    let client = client_of(&[&server]);
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    let first = in_line(&client.with_new_owner(), 0).await;
    let second = in_line(&client.with_new_owner(), 1).await;
    first.abort();
    has_in_line(&client, 1).await;
    guard.release().await.unwrap();
    granted(second).await;
}

/// Whichever of the two comes first, nobody is left with a lock.
#[tokio::test]
async fn a_wait_that_is_dropped_as_it_is_granted_leaves_no_lock() {
    let server = TestServer::start(&[]).await;
    let client = client_of(&[&server]);
    let waiters = client_of(&[&server]);
    let ids: Vec<_> = (0..200).map(|id| id.to_string()).collect();
    for (at, id) in ids.iter().enumerate() {
        let held = client.acquire_unguarded(("plan", id), options()).await.unwrap();
        let mut waiter = Box::pin(waiters.acquire(("plan", id), waiting()));
        let lock = async || client.get(("plan", id)).await.unwrap().unwrap();
        while lock().await.queue_length == 0 {
            assert!(futures::poll!(&mut waiter).is_pending());
        }
        let owner = client.owner_id();
        let release = tokio::spawn({
            let (client, id, owner) = (client.clone(), id.clone(), owner.to_owned());
            let token = held.lock.fencing_token;
            async move { client.release(("plan", id), owner, Some(token)).await }
        });
        // From before the release is sent to after the grant is there.
        let soon = Duration::from_micros(10 * at as u64);
        let _ = tokio::time::timeout(soon, waiter).await;
        assert!(release.await.unwrap().unwrap().released);
    }
    waiters.flush().await;
    let held = async || {
        let page = client.list(ListFilter::default(), 1_000, "").await.unwrap();
        page.locks.is_empty().then_some(())
    };
    eventually("no lock", PATIENCE, held).await;
}

#[tokio::test]
async fn the_release_of_everything_takes_an_owner_out_of_line_wherever_it_is_called() {
    let server = TestServer::start(&[]).await;
    let client = client_of(&[&server]);
    let _guard = client.acquire(plan_a(), options()).await.unwrap();
    let waiter = client.with_new_owner();
    let here = in_line(&waiter, 0).await;
    waiter.release_all().await.unwrap();
    assert_eq!(here.await.unwrap().unwrap_err().reason(), Some("WAIT_CANCELLED"));
    has_in_line(&client, 0).await;
    let there = in_line(&waiter, 0).await;
    client_of(&[&server]).release_all_of(waiter.owner_id()).await.unwrap();
    assert_eq!(there.await.unwrap().unwrap_err().reason(), Some("WAIT_CANCELLED"));
    has_in_line(&client, 0).await;
}

#[tokio::test]
async fn a_wait_goes_on_when_its_connection_breaks() {
    let server = TestServer::start(&[]).await;
    let direct = client_of(&[&server]);
    let guard = direct.acquire(plan_a(), options()).await.unwrap();
    let address = server.url().trim_start_matches("http://").parse().unwrap();
    let proxy = TcpProxy::start(address).await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    let acquisition = in_line(&client, 0).await;
    proxy.cut().await;
    proxy.resume().await;
    has_in_line(&direct, 1).await;
    guard.release().await.unwrap();
    granted(acquisition).await.release().await.unwrap();
}

/// Two wait, the first at a server that then goes away.
async fn the_first_in_line_keeps_its_place(leave: impl AsyncFnOnce(TestServer)) {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (going, staying) = (TestServer::start(&flags).await, TestServer::start(&flags).await);
    let holder = client_of(&[&staying]);
    let guard = holder.acquire(plan_a(), options()).await.unwrap();
    let first = in_line(&client_of(&[&going, &staying]), 0).await;
    let second = in_line(&client_of(&[&staying]), 1).await;
    leave(going).await;
    guard.release().await.unwrap();
    let guard = granted(first).await;
    assert!(!second.is_finished());
    guard.release().await.unwrap();
    granted(second).await;
}

#[tokio::test]
async fn a_place_in_line_is_kept_when_its_server_stops() {
    the_first_in_line_keeps_its_place(TestServer::stop).await;
}

#[tokio::test]
async fn a_place_in_line_is_kept_when_its_server_is_killed() {
    the_first_in_line_keeps_its_place(async |server: TestServer| server.kill()).await;
}

/// What those who take turns see of the lock.
#[derive(Default)]
struct Seen {
    inside: AtomicBool,
    tokens: Mutex<Vec<u64>>,
}

async fn take_turns(client: LockClient, seen: Arc<Seen>) {
    for _ in 0..10 {
        let guard = client.acquire(plan_a(), waiting()).await.unwrap();
        assert!(!seen.inside.swap(true, Ordering::SeqCst), "two at once");
        seen.tokens.lock().unwrap().push(guard.fencing_token());
        guard.check().unwrap();
        tokio::task::yield_now().await;
        seen.inside.store(false, Ordering::SeqCst);
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn many_take_turns_over_two_servers_of_which_one_is_killed() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (going, staying) = (TestServer::start(&flags).await, TestServer::start(&flags).await);
    let clients = [client_of(&[&going, &staying]), client_of(&[&staying, &going])];
    let seen = Arc::<Seen>::default();
    let all: Vec<_> = (0..16)
        .map(|at| {
            let client = clients[at % 2].with_new_owner();
            tokio::spawn(take_turns(client, seen.clone()))
        })
        .collect();
    let some = async || (seen.tokens.lock().unwrap().len() >= 60).then_some(());
    eventually("60 grants", PATIENCE, some).await;
    going.kill();
    for one in all {
        one.await.unwrap();
    }
    for client in clients {
        client.flush().await;
    }
    let tokens = seen.tokens.lock().unwrap();
    assert_eq!(tokens.len(), 160);
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}
