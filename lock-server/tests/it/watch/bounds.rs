//! Requests that are wrong, watches that are too many, and callers that do not read.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, LockEventKind as Kind};
use service_kit::testing::eventually;
use tonic::Code;

use super::{
    super::support::{
        DEADLINE, Locks, Tables, acquire, assert_serves, client, failure, on_each_store, release,
        resource, take, wrong,
    },
    kit::{Watch, everything, one, said},
};

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_at_once() {
    let server = TestServer::start(&[]).await;
    let mut locks = client(&server.url());
    let kind = |kind: &str| Some(kind.to_owned());
    let none = wire::WatchRequest::default();
    let wrong_resource = Some(wire::Resource { r#type: "Plan".into(), id: "\n".into() });
    for (request, fields) in [
        (one("plan/42").with(kind("plan"), None), &["resource_type"][..]),
        (one("plan/42").with(None, kind("4")), &["id_prefix"]),
        (
            one("plan/42").with(kind("Plan"), kind("4")),
            &["id_prefix", "resource_type", "resource_type"],
        ),
        (none.clone().with(None, kind("4")), &["resource_type"]),
        (none.clone().with(kind(""), None), &["resource_type"]),
        (none.clone().with(kind("plan"), kind("\n")), &["id_prefix"]),
        (none.clone().with(kind("plan"), kind(&"x".repeat(513))), &["id_prefix"]),
        (
            wire::WatchRequest { resource: wrong_resource, ..none.clone() },
            &["resource.id", "resource.type"],
        ),
        (
            wire::WatchRequest { resource: Some(wire::Resource::default()), ..none.clone() },
            &["resource.id", "resource.type"],
        ),
    ] {
        let status = locks.watch(request.clone()).await.unwrap_err();
        assert_eq!(wrong(&status), fields, "{request:?}");
    }
    // What says nothing is not wrong.
    for request in [none.clone().with(None, kind("")), one("plan/42").with(None, kind(""))] {
        Watch::of_nothing(&locks, request).await;
    }
    assert_serves(&mut locks).await;
}

trait With {
    fn with(self, kind: Option<String>, prefix: Option<String>) -> Self;
}

impl With for wire::WatchRequest {
    fn with(self, resource_type: Option<String>, id_prefix: Option<String>) -> Self {
        Self { resource_type, id_prefix, ..self }
    }
}

#[tokio::test]
async fn past_the_bound_no_watch_begins() {
    on_each_store(&["--max-watches", "2"], async |engine, mut locks| {
        let first = Watch::of_nothing(&locks, everything()).await;
        let mut second = Watch::of_nothing(&locks, one("plan/42")).await;
        let status = locks.watch(everything()).await.unwrap_err();
        let details = failure(&status, Code::ResourceExhausted, "OVERLOADED");
        assert!(details.retry_info().unwrap().retry_delay.is_some(), "{engine}: {status:?}");
        assert!(status.message().contains("--max-watches"), "{engine}: {status:?}");
        let lock = take(&locks, "plan/42", "alice").await;
        assert_eq!(second.said().await, said(Kind::Acquired, &lock), "{engine}");
        drop(first);
        let mut third = eventually("a watch ends", DEADLINE, async || {
            Some(locks.clone().watch(everything()).await.ok()?.into_inner())
        })
        .await;
        let snapshot = third.message().await.unwrap().unwrap();
        assert_eq!(snapshot.kind(), Kind::Snapshot, "{engine}");
    })
    .await;
}

/// Silence of what is watched, whatever happens beside it.
#[tokio::test]
async fn silence_is_not_death() {
    on_each_store(&[], async |engine, locks| {
        let mut watch = Watch::of_nothing(&locks, one("plan/quiet")).await;
        let began = Instant::now();
        let beside = async {
            loop {
                assert_serves(&mut locks.clone()).await;
            }
        };
        let event = tokio::select! {
            event = watch.any() => event.unwrap(),
            () = beside => unreachable!("it goes on for ever"),
        };
        assert_eq!((event.kind(), event.lock), (Kind::Progress, None), "{engine}");
        assert!(began.elapsed() > Duration::from_secs(9), "{engine}: {:?}", began.elapsed());
        let lock = take(&locks, "plan/quiet", "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{engine}");
    })
    .await;
}

/// What had run out long before is nothing for who begins to watch.
#[tokio::test(flavor = "multi_thread")]
async fn many_stale_locks_do_not_end_the_first_watch() {
    const MANY: usize = 60_000;
    for tables in Tables::on_each_store().await {
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let locks = client(&server.url());
        let sqlite = format!(
            "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                 renewed_at, expires_at, ttl, not_free_before)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
             SELECT 'plan', 'r' || i, 'alice', i, 1, 1, unixepoch() * 1000000 - 5000000, 60000000, 1
             FROM n"
        );
        let postgres = format!(
            "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                 renewed_at, expires_at, ttl)
             SELECT 'plan', 'r' || i, 'alice', i, now(), now(), now() - interval '5 s', '1 min'
             FROM generate_series(1, {MANY}) i"
        );
        tables.run(&sqlite, &postgres).await;
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        let lock = take(&locks, "plan/42", "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{}", tables.engine());
    }
}

/// Pairs of a lock with as much in it as may be.
async fn large_pairs(locks: Locks, caller: usize, count: usize) {
    let metadata = (0..4).map(|n| (format!("key-{n}"), "x".repeat(240))).collect();
    let id = format!("{caller}-{}", "x".repeat(500));
    let request = wire::AcquireRequest {
        resource: Some(wire::Resource::new("large", &id)),
        metadata,
        ..acquire("large/x", &format!("owner-{caller}"))
    };
    let release = wire::ReleaseRequest {
        resource: request.resource.clone(),
        ..release("large/x", &request.owner_id)
    };
    let mut locks = locks;
    for _ in 0..count {
        locks.acquire(request.clone()).await.unwrap();
        locks.release(release.clone()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off_and_harms_nobody() {
    on_each_store(&[], async |engine, locks| {
        const CALLERS: usize = 32;
        let mut slow = Watch::of_nothing(&locks, everything()).await;
        let mut reader = Watch::of_nothing(&locks, everything()).await;
        let flood = join_all((0..CALLERS).map(|caller| {
            // What one may leave unread, what is on the way, and more.
            large_pairs(locks.clone(), caller, 12 * 1024 * 1024 / (2 * 1_500 * CALLERS))
        }));
        let flood = tokio::spawn(flood);
        let mut read = 0;
        while !flood.is_finished() || read == 0 {
            if let Ok((kind, _)) = tokio::time::timeout(DEADLINE / 30, reader.next()).await {
                assert!(matches!(kind, Kind::Acquired | Kind::Released), "{engine}: {kind:?}");
                read += 1;
            }
        }
        flood.await.unwrap();
        let status = slow.end().await;
        let details = failure(&status, Code::ResourceExhausted, "OVERLOADED");
        assert!(details.retry_info().unwrap().retry_delay.is_some(), "{engine}: {status:?}");
        assert!(status.message().contains("wait to be read"), "{engine}: {status:?}");
        // It begins anew, with a snapshot.
        let lock = take(&locks, "plan/42", "alice").await;
        let (_watch, snapshot) = Watch::begin(&locks, everything()).await;
        assert_eq!(snapshot.len(), 1, "{engine}");
        assert_eq!(snapshot[0].fencing_token, lock.fencing_token, "{engine}");
        let get = wire::GetLockRequest { resource: resource("plan/42") };
        locks.clone().get_lock(get).await.unwrap();
    })
    .await;
}
