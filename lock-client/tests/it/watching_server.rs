//! Watches at real servers: what one server does is told by another one, and the
//! loss of a server is a new snapshot.

use std::{collections::BTreeMap, time::Duration};

use lock_client::{
    AcquireOptions, ClientError, Lock, LockChange, LockClient, Watch, WatchEvent, WatchFilter,
};
use lock_server::testing::TestServer;
use service_kit::testing::postgres;
use tokio::time::timeout;

use crate::fake::PATIENCE;

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

/// The next event but for signs of life.
async fn next(watch: &mut Watch) -> WatchEvent {
    loop {
        let event = timeout(PATIENCE, watch.next_event()).await.unwrap().unwrap().unwrap();
        if event != WatchEvent::Progress {
            return event;
        }
    }
}

/// What is held, by id.
async fn snapshot(watch: &mut Watch) -> BTreeMap<String, Lock> {
    let mut held = BTreeMap::new();
    loop {
        match next(watch).await {
            WatchEvent::Snapshot(lock) => _ = held.insert(lock.resource.id.clone(), lock),
            WatchEvent::SnapshotComplete => return held,
            event => panic!("{event:?}"),
        }
    }
}

async fn changed(watch: &mut Watch) -> (LockChange, Lock) {
    match next(watch).await {
        WatchEvent::Changed { change, lock } => (change, lock),
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn what_happens_at_another_server_is_told_in_order() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (here, there) = (TestServer::start(&flags).await, TestServer::start(&flags).await);
    let actor = LockClient::connect(there.url()).unwrap();
    let before = actor.acquire_unguarded(("plan", "a"), options()).await.unwrap().lock;
    let filter = WatchFilter::resource_type("plan").include_renewals();
    let mut watch = LockClient::connect(here.url()).unwrap().watch(filter);
    let held = snapshot(&mut watch).await;
    assert_eq!(held.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(held["a"].fencing_token, before.fencing_token);

    let (owner, token) = (actor.owner_id(), before.fencing_token);
    actor.acquire_unguarded(("project", "a"), options()).await.unwrap();
    actor.renew(("plan", "a"), owner, token, Some(Duration::from_secs(90))).await.unwrap();
    actor.release(("plan", "a"), owner, Some(token)).await.unwrap();
    let after = actor.acquire_unguarded(("plan", "a"), options()).await.unwrap().lock;
    let broken = actor.force_release(("plan", "a"), after.fencing_token, "a test").await.unwrap();
    for (expected, token) in [
        (LockChange::Renewed, token),
        (LockChange::Released, token),
        (LockChange::Acquired, after.fencing_token),
        (LockChange::ForceReleased, broken.fencing_token),
    ] {
        let (change, lock) = changed(&mut watch).await;
        assert_eq!((change, lock.fencing_token), (expected, token), "{lock:?}");
        assert_eq!((lock.resource.id.as_str(), lock.owner_id.as_str()), ("a", owner));
    }
}

#[tokio::test]
async fn a_watch_goes_on_at_another_server_when_its_own_is_killed_or_stops() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (killed, stopped, last) = (
        TestServer::start(&flags).await,
        TestServer::start(&flags).await,
        TestServer::start(&flags).await,
    );
    let client =
        LockClient::builder().endpoints([killed.url(), stopped.url(), last.url()]).build().unwrap();
    let mut watch = client.watch(WatchFilter::all());
    assert!(snapshot(&mut watch).await.is_empty());

    killed.kill();
    assert!(matches!(next(&mut watch).await, WatchEvent::Interrupted { .. }));
    assert!(snapshot(&mut watch).await.is_empty());
    let guard = client.acquire(("plan", "a"), options()).await.unwrap();
    assert_eq!(changed(&mut watch).await.0, LockChange::Acquired);

    stopped.stop().await;
    assert!(matches!(next(&mut watch).await, WatchEvent::Interrupted { .. }));
    let held = snapshot(&mut watch).await;
    assert_eq!(held["a"].fencing_token, guard.fencing_token());
    guard.release().await.unwrap();
    assert_eq!(changed(&mut watch).await.0, LockChange::Released);
}

#[tokio::test]
async fn a_lease_that_runs_out_and_is_taken_over_is_told() {
    let server = TestServer::start(&["--min-ttl", "100ms"]).await;
    let client = LockClient::connect(server.url()).unwrap();
    let mut watch = client.watch(WatchFilter::resource(("plan", "a")));
    snapshot(&mut watch).await;
    let short = options().ttl(Duration::from_millis(200));
    let first = client.acquire_unguarded(("plan", "a"), short).await.unwrap().lock;
    let waiter = client.with_new_owner();
    let guard = waiter.acquire(("plan", "a"), options().wait(PATIENCE)).await.unwrap();
    let mut told = Vec::new();
    while told.last().is_none_or(|(change, _)| *change != LockChange::TakenOver) {
        told.push(changed(&mut watch).await);
    }
    assert_eq!(told[0].0, LockChange::Acquired);
    assert_eq!(told[0].1.fencing_token, first.fencing_token);
    let (_, taken_over) = told.last().unwrap();
    assert_eq!(taken_over.owner_id, waiter.owner_id());
    assert_eq!(taken_over.fencing_token, guard.fencing_token());
}

#[tokio::test]
async fn a_filter_that_is_wrong_ends_it_with_each_field() {
    let server = TestServer::start(&[]).await;
    let client = LockClient::connect(server.url()).unwrap();
    let mut watch = client.watch(WatchFilter::all().id_prefix("a"));
    let error = timeout(PATIENCE, watch.next_event()).await.unwrap().unwrap().unwrap_err();
    let ClientError::Invalid { violations, .. } = &error else { panic!("{error:?}") };
    assert!(!violations.is_empty(), "{error}");
    assert!(watch.next_event().await.is_none());
}
