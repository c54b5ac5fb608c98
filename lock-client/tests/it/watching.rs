//! Watches, at servers that do as a test tells them.

use std::time::Duration;

use futures::StreamExt as _;
use lock_client::{
    AcquireOptions, ClientError, Lock, LockChange, LockClient, Resource, Watch, WatchEvent,
    WatchFilter,
};
use proto::lock::v1::{self as wire, LockEventKind};
use service_kit::testing::TcpProxy;
use tokio::time::timeout;
use tonic::Status;

use crate::fake::{Fake, PATIENCE, invalid, overloaded, shutting_down};

fn lock(id: &str) -> wire::Lock {
    wire::Lock { resource: Some(Resource::new("plan", id)), ..wire::Lock::default() }
}

async fn next(watch: &mut Watch) -> WatchEvent {
    timeout(PATIENCE, watch.next_event()).await.unwrap().unwrap().unwrap()
}

async fn is_empty_snapshot(watch: &mut Watch) {
    assert_eq!(next(watch).await, WatchEvent::SnapshotComplete);
}

async fn is_interrupted(watch: &mut Watch, words: &str) {
    let event = next(watch).await;
    let WatchEvent::Interrupted { message, .. } = &event else { panic!("{event:?}") };
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn the_snapshot_comes_first_and_then_what_happens_in_order() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(("plan", "a"), AcquireOptions::new()).await.unwrap();
    let filter = WatchFilter::resource_type("plan").id_prefix("a").include_renewals();
    let mut watch = client.watch(filter);
    let event = next(&mut watch).await;
    let WatchEvent::Snapshot(held) = &event else { panic!("{event:?}") };
    assert_eq!((&held.resource, held.fencing_token), (guard.resource(), guard.fencing_token()));
    is_empty_snapshot(&mut watch).await;
    let request = fake.watches().remove(0);
    assert_eq!(request.resource_type.as_deref(), Some("plan"));
    assert_eq!((request.id_prefix.as_deref(), request.include_renewals), (Some("a"), true));

    fake.tell(LockEventKind::Released, Some(lock("a"))).await;
    fake.tell(LockEventKind::Progress, None).await;
    fake.tell(LockEventKind::Unspecified, None).await;
    fake.tell(LockEventKind::Acquired, Some(wire::Lock { queue_length: 3, ..lock("a") })).await;
    let changed = |change, lock| WatchEvent::Changed { change, lock: Lock::from(lock) };
    assert_eq!(next(&mut watch).await, changed(LockChange::Released, lock("a")));
    assert_eq!(next(&mut watch).await, WatchEvent::Progress);
    let event = next(&mut watch).await;
    let WatchEvent::Changed { change: LockChange::Acquired, lock } = event else {
        panic!("{event:?}")
    };
    assert_eq!(lock.queue_length, 3);
}

#[tokio::test]
async fn a_watch_goes_on_at_another_server_and_says_that_it_begins_anew() {
    let (first, second) = (Fake::start(), Fake::start());
    let client = LockClient::builder().endpoints([first.url(), second.url()]).build().unwrap();
    let mut watch = client.watch(WatchFilter::all());
    is_empty_snapshot(&mut watch).await;
    first.end_watches(shutting_down).await;
    let event = next(&mut watch).await;
    let WatchEvent::Interrupted { reason, message } = event else { panic!("{event:?}") };
    assert_eq!(reason.as_deref(), Some("SHUTTING_DOWN"));
    assert_eq!(message, "the server says SHUTTING_DOWN");
    is_empty_snapshot(&mut watch).await;
    assert_eq!((first.watches().len(), second.watches().len()), (1, 1));
    drop(second);
    is_interrupted(&mut watch, "").await;
    is_empty_snapshot(&mut watch).await;
    assert_eq!(first.watches().len(), 2);
}

#[tokio::test]
async fn whatever_another_attempt_may_mend_is_tried_again() {
    let fake = Fake::start();
    let mut watch = fake.client().watch(WatchFilter::all());
    is_empty_snapshot(&mut watch).await;
    let endings: [fn() -> Status; 4] = [
        overloaded,
        || Status::internal("a bug"),
        || Status::resource_exhausted("too large"),
        || Status::unavailable("the store went away"),
    ];
    for ending in endings {
        fake.end_watches(ending).await;
        is_interrupted(&mut watch, "").await;
        is_empty_snapshot(&mut watch).await;
    }
}

#[tokio::test]
async fn what_no_attempt_would_mend_ends_it() {
    let fake = Fake::start();
    let endings: [fn() -> Status; 4] = [
        invalid,
        || Status::unimplemented("what is a watch?"),
        || Status::permission_denied("not you"),
        || Status::unauthenticated("who are you?"),
    ];
    for ending in endings {
        fake.refuse_watches(Some(ending));
        let asked = fake.watches().len();
        let mut watch = fake.client().watch(WatchFilter::all());
        let error = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap_err();
        match ending().code() {
            tonic::Code::InvalidArgument => {
                assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
            }
            code => assert!(
                matches!(&error, ClientError::Other { code: told, .. } if *told == code),
                "{error:?}"
            ),
        }
        assert!(watch.next().await.is_none());
        assert_eq!(fake.watches().len(), asked + 1);
    }
}

#[tokio::test]
async fn a_watch_begins_when_there_is_a_server_and_is_told_once_that_there_is_none() {
    let fake = Fake::start();
    let proxy = TcpProxy::start(fake.address()).await;
    proxy.cut().await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    let mut watch = client.watch(WatchFilter::all());
    is_interrupted(&mut watch, "").await;
    fake.refuse_watches(Some(shutting_down));
    proxy.resume().await;
    let refused = async || (!fake.watches().is_empty()).then_some(());
    service_kit::testing::eventually("a watch that is refused", PATIENCE, refused).await;
    fake.refuse_watches(None);
    is_empty_snapshot(&mut watch).await;
}

#[tokio::test]
async fn a_server_that_opens_no_watch_in_time_is_left() {
    let (silent, fake) = (Fake::start(), Fake::start());
    let proxy = TcpProxy::start(silent.address()).await;
    proxy.stall().await;
    let client = LockClient::builder()
        .endpoints([format!("http://{}", proxy.address()), fake.url()])
        .attempt_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let mut watch = client.watch(WatchFilter::all());
    is_interrupted(&mut watch, "no answer within").await;
    is_empty_snapshot(&mut watch).await;
}

#[tokio::test]
async fn a_watch_ends_at_the_server_when_it_is_dropped() {
    let fake = Fake::start();
    let client = fake.client();
    let mut watch = client.watch(WatchFilter::all());
    // The last one that keeps the connection.
    drop(client);
    is_empty_snapshot(&mut watch).await;
    drop(watch);
    fake.is_not_watched().await;
}
