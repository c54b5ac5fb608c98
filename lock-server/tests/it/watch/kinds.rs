//! Each kind of event, with its lock.

use std::time::Duration;

use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, LockEventKind as Kind, LockState};
use service_kit::testing::postgres;

use super::{
    super::support::{
        Locks, Tables, acquire, client, force, keep_alive, lease, on_each_store, release, renew,
        resource, span, take, until_stale,
    },
    kit::{Said, Watch, everything, everything_with_renewals, one, said},
};

/// Takes a lock for a tenth of a second.
async fn take_shortly(locks: &Locks, name: &str, owner: &str) -> wire::Lock {
    let ttl = span(0, 100_000_000);
    let request = wire::AcquireRequest { ttl, ..acquire(name, owner) };
    locks.clone().acquire(request).await.unwrap().into_inner().lock.unwrap()
}

/// Makes every lease run out a minute ago: before the watch began, or it might be
/// taken for one that had run out as the snapshot was read.
async fn expire(tables: &Tables) {
    let sqlite = "UPDATE locks SET expires_at = (unixepoch() - 60) * 1000000
                  WHERE expires_at IS NOT NULL";
    let postgres = "UPDATE locks SET expires_at = clock_timestamp() - interval '1 min',
                    sweep_at = '-infinity' WHERE expires_at IS NOT NULL";
    assert_eq!(tables.run(sqlite, postgres).await, 1);
}

const SHORT: [&str; 2] = ["--min-ttl", "100ms"];

#[tokio::test]
async fn a_grant_and_a_release_are_told_with_the_lock() {
    on_each_store(&[], async |engine, mut locks| {
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        let request = wire::AcquireRequest {
            metadata: [("ticket".to_owned(), "T-1".to_owned())].into(),
            ..acquire("plan/42", "alice")
        };
        let lock = locks.acquire(request).await.unwrap().into_inner().lock.unwrap();
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::Acquired, &lock), "{engine}");
        assert_eq!((told.acquire_time, told.renew_time), (lock.acquire_time, lock.renew_time));
        assert_eq!((told.expire_time, told.ttl), (lock.expire_time, lock.ttl), "{engine}");
        assert_eq!((told.state(), &told.metadata), (LockState::Held, &lock.metadata));
        assert!(told.remaining.unwrap().seconds > 290, "{engine}: {told:?}");

        locks.release(release("plan/42", "alice")).await.unwrap();
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::Released, &lock), "{engine}");
        assert_eq!((told.expire_time, told.ttl), (lock.expire_time, lock.ttl), "as it was");
        assert_eq!((told.state(), &told.metadata), (LockState::Held, &lock.metadata));
        assert!(told.remaining.unwrap().seconds > 290, "{engine}: {told:?}");
    })
    .await;
}

#[tokio::test]
async fn a_watch_begins_with_what_is_live() {
    on_each_store(&SHORT, async |engine, mut locks| {
        let stale = take_shortly(&locks, "plan/stale", "alice").await;
        take(&locks, "plan/freed", "alice").await;
        locks.release(release("plan/freed", "alice")).await.unwrap();
        let plan = take(&locks, "plan/42", "alice").await;
        let project = take(&locks, "project/42", "bob").await;
        until_stale(&locks, "plan/stale").await;
        let (mut watch, snapshot) = Watch::begin(&locks, everything()).await;
        let snapshot: Vec<Said> = snapshot.iter().map(|lock| said(Kind::Snapshot, lock)).collect();
        let expected = [said(Kind::Snapshot, &plan), said(Kind::Snapshot, &project)];
        assert_eq!(snapshot, expected, "{engine}");
        // What ran out before is not told as if it ran out now.
        let taken = take(&locks, "plan/stale", "carol").await;
        assert!(taken.fencing_token > stale.fencing_token);
        assert_eq!(watch.said().await, said(Kind::TakenOver, &taken), "{engine}");
    })
    .await;
}

/// As many pages as it takes.
#[tokio::test]
async fn a_long_snapshot_is_whole() {
    const MANY: usize = 1_700;
    for tables in Tables::on_each_store().await {
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let locks = client(&server.url());
        let sqlite = format!(
            "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                 renewed_at, expires_at, ttl, not_free_before)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
             SELECT 'plan', 'r' || i, 'alice', i, 1, 1, unixepoch() * 1000000 + 60000000, 60000000, 1
             FROM n"
        );
        let postgres = format!(
            "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                 renewed_at, expires_at, ttl)
             SELECT 'plan', 'r' || i, 'alice', i, now(), now(), now() + interval '1 min', '1 min'
             FROM generate_series(1, {MANY}) i"
        );
        tables.run(&sqlite, &postgres).await;
        let (_watch, snapshot) = Watch::begin(&locks, everything()).await;
        let mut tokens: Vec<u64> = snapshot.iter().map(|lock| lock.fencing_token).collect();
        assert!(snapshot.is_sorted_by(|one, next| {
            one.resource.as_ref().unwrap().id < next.resource.as_ref().unwrap().id
        }));
        tokens.sort_unstable();
        assert_eq!(tokens, (1..=MANY as u64).collect::<Vec<_>>(), "{}", tables.engine());
    }
}

#[tokio::test]
async fn renewals_and_reentries_are_told_on_request() {
    on_each_store(&[], async |engine, mut locks| {
        let mut quiet = Watch::of_nothing(&locks, everything()).await;
        let mut watch = Watch::of_nothing(&locks, everything_with_renewals()).await;
        let lock = take(&locks, "plan/42", "alice").await;
        let renewed = locks.renew(renew(&lock)).await.unwrap().into_inner().lock.unwrap();
        let sooner = wire::RenewRequest { ttl: span(60, 0), ..renew(&lock) };
        let sooner = locks.renew(sooner).await.unwrap().into_inner().lock.unwrap();
        let again = locks.acquire(acquire("plan/42", "alice")).await.unwrap().into_inner();
        assert!(again.reentrant, "{engine}");
        let longer = again.lock.unwrap();
        // A re-entry that moves nothing is not told.
        let shorter = wire::AcquireRequest { ttl: span(5, 0), ..acquire("plan/42", "alice") };
        assert!(locks.acquire(shorter).await.unwrap().into_inner().reentrant, "{engine}");
        let request = wire::KeepAliveRequest { leases: vec![lease(&lock)], ttl: None };
        keep_alive(&mut locks, request).await.unwrap();
        locks.release(release("plan/42", "alice")).await.unwrap();

        assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{engine}");
        for expected in [&renewed, &sooner, &longer] {
            let (kind, told) = watch.next().await;
            assert_eq!(said(kind, &told), said(Kind::Renewed, &lock), "{engine}");
            assert_eq!((told.expire_time, told.ttl), (expected.expire_time, expected.ttl));
            assert_eq!(told.renew_time, expected.renew_time, "{engine}");
        }
        assert_eq!(watch.said().await, said(Kind::Renewed, &lock), "{engine}");
        assert_eq!(watch.said().await, said(Kind::Released, &lock), "{engine}");
        assert_eq!(quiet.said().await, said(Kind::Acquired, &lock), "{engine}");
        assert_eq!(quiet.said().await, said(Kind::Released, &lock), "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_runs_out_is_told_once() {
    on_each_store(&SHORT, async |engine, mut locks| {
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        let first = take_shortly(&locks, "plan/1", "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &first), "{engine}");
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::Expired, &first), "{engine}");
        assert_eq!((told.state(), told.expire_time), (LockState::Stale, first.expire_time));
        assert_eq!(told.remaining, span(0, 0), "{engine}");
        // Whatever ends it then says nothing of that again.
        let second = take_shortly(&locks, "plan/1", "bob").await;
        assert_eq!(watch.said().await, said(Kind::TakenOver, &second), "{engine}");
        assert_eq!(watch.said().await, said(Kind::Expired, &second), "{engine}");
        locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::Purged, &second), "{engine}");
        assert_eq!((told.state(), told.expire_time), (LockState::Stale, second.expire_time));
        let third = take_shortly(&locks, "plan/1", "carol").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &third), "{engine}");
        assert_eq!(watch.said().await, said(Kind::Expired, &third), "{engine}");
        // One's own stale lock is given back.
        assert!(!locks.release(release("plan/1", "carol")).await.unwrap().into_inner().released);
        assert_eq!(watch.said().await, said(Kind::Released, &third), "{engine}");
    })
    .await;
}

/// Renewed to be shorter: it runs out when it does.
#[tokio::test]
async fn a_renewed_lease_runs_out_at_its_new_expiry() {
    on_each_store(&SHORT, async |engine, mut locks| {
        let lock = take(&locks, "plan/42", "alice").await;
        let (mut watch, _) = Watch::begin(&locks, one("plan/42")).await;
        let sooner = wire::RenewRequest { ttl: span(0, 100_000_000), ..renew(&lock) };
        let sooner = locks.renew(sooner).await.unwrap().into_inner().lock.unwrap();
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::Expired, &lock), "{engine}");
        assert_eq!(told.expire_time, sooner.expire_time, "{engine}");
    })
    .await;
}

/// Renewed to be longer: it does not run out when it would have, although Postgres
/// has it down as one to be looked at.
#[tokio::test]
async fn what_is_looked_at_and_live_has_not_run_out() {
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let flags = ["--database-url", &tables.url(), SHORT[0], SHORT[1]];
        let server = TestServer::start(&flags).await;
        let mut locks = client(&server.url());
        let lock = take(&locks, "plan/live", "alice").await;
        let look = "UPDATE locks SET sweep_at = '-infinity'";
        tables.run("UPDATE locks SET ttl = ttl", look).await;
        let (mut watch, snapshot) = Watch::begin(&locks, everything()).await;
        assert_eq!(snapshot.len(), 1, "{engine}");
        // What has run out is found by then.
        let short = take_shortly(&locks, "plan/short", "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &short), "{engine}");
        assert_eq!(watch.said().await, said(Kind::Expired, &short), "{engine}");
        locks.release(release("plan/live", "alice")).await.unwrap();
        assert_eq!(watch.said().await, said(Kind::Released, &lock), "{engine}");
    }
}

/// What ran out and has not been told is told before what ends it.
#[tokio::test]
async fn an_expiry_comes_before_what_ends_the_hold() {
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let mut locks = client(&server.url());
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        for n in 0..10 {
            let lock = take(&locks, "plan/42", "alice").await;
            assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{engine}");
            expire(&tables).await;
            let ended = match n % 5 {
                0 => {
                    let taken = take(&locks, "plan/42", "bob").await;
                    locks.release(release("plan/42", "bob")).await.unwrap();
                    vec![said(Kind::TakenOver, &taken), said(Kind::Released, &taken)]
                }
                1 => {
                    locks.release(release("plan/42", "alice")).await.unwrap();
                    vec![said(Kind::Released, &lock)]
                }
                2 => {
                    locks.force_release(force(&lock, "stuck")).await.unwrap();
                    vec![said(Kind::ForceReleased, &lock)]
                }
                3 => {
                    locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
                    vec![said(Kind::Purged, &lock)]
                }
                _ => {
                    let owner_id = "alice".to_owned();
                    locks.release_all(wire::ReleaseAllRequest { owner_id }).await.unwrap();
                    vec![said(Kind::Released, &lock)]
                }
            };
            assert_eq!(watch.said().await, said(Kind::Expired, &lock), "{engine}");
            for ended in ended {
                assert_eq!(watch.said().await, ended, "{engine}");
            }
        }
    }
}

#[tokio::test]
async fn a_broken_hold_and_everything_of_an_owner_are_told() {
    on_each_store(&[], async |engine, mut locks| {
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        let lock = take(&locks, "plan/42", "alice").await;
        locks.force_release(force(&lock, "stuck")).await.unwrap();
        let wrong = wire::ForceReleaseRequest { fencing_token: 1, ..force(&lock, "late") };
        locks.force_release(wrong).await.unwrap_err();
        let mut held = Vec::new();
        for name in ["plan/1", "plan/2", "project/1"] {
            held.push(take(&locks, name, "bob").await);
        }
        let owner_id = "bob".to_owned();
        locks.release_all(wire::ReleaseAllRequest { owner_id }).await.unwrap();
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{engine}");
        let (kind, told) = watch.next().await;
        assert_eq!(said(kind, &told), said(Kind::ForceReleased, &lock), "{engine}");
        assert_eq!((told.state(), told.expire_time), (LockState::Held, lock.expire_time));
        for lock in &held {
            assert_eq!(watch.said().await, said(Kind::Acquired, lock), "{engine}");
        }
        let mut released = Vec::new();
        for _ in &held {
            released.push(watch.said().await);
        }
        released.sort_by(|one, next| one.1.cmp(&next.1));
        let expected: Vec<_> = held.iter().map(|lock| said(Kind::Released, lock)).collect();
        assert_eq!(released, expected, "{engine}");
    })
    .await;
}

/// A lock that is handed to who waits: granted as it is released, taken over as it
/// has run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_handed_on_is_told() {
    on_each_store(&SHORT, async |engine, mut locks| {
        let mut watch = Watch::of_nothing(&locks, everything()).await;
        let lock = take(&locks, "plan/42", "alice").await;
        assert_eq!(watch.said().await, said(Kind::Acquired, &lock), "{engine}");
        let (mut bob, wait) = (locks.clone(), span(20, 0));
        let ttl = span(0, 200_000_000);
        let waits = wire::AcquireRequest { wait, ttl, ..acquire("plan/42", "bob") };
        let waiting = tokio::spawn(async move { bob.acquire(waits).await });
        until_queued(&locks, "plan/42").await;
        locks.release(release("plan/42", "alice")).await.unwrap();
        let granted = waiting.await.unwrap().unwrap().into_inner().lock.unwrap();
        assert_eq!(watch.said().await, said(Kind::Released, &lock), "{engine}");
        assert_eq!(watch.said().await, said(Kind::Acquired, &granted), "{engine}");
        // It runs out under who waits next.
        let waits = wire::AcquireRequest { wait, ..acquire("plan/42", "carol") };
        let taken = locks.acquire(waits).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(watch.said().await, said(Kind::Expired, &granted), "{engine}");
        assert_eq!(watch.said().await, said(Kind::TakenOver, &taken), "{engine}");
    })
    .await;
}

/// Waits until somebody waits for a resource.
async fn until_queued(locks: &Locks, name: &str) {
    service_kit::testing::eventually("somebody waits", Duration::from_secs(20), async || {
        let get = wire::GetLockRequest { resource: resource(name) };
        let lock = locks.clone().get_lock(get).await.unwrap().into_inner().lock.unwrap();
        (lock.queue_length > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_what_matches_is_told() {
    on_each_store(&[], async |engine, mut locks| {
        let of_type = |kind: &str, prefix: Option<&str>| wire::WatchRequest {
            resource_type: Some(kind.to_owned()),
            id_prefix: prefix.map(str::to_owned),
            ..everything()
        };
        let names = ["plan/a%b", "plan/a%c", "plan/ab", "plan/b", "project/a%b"];
        let cases = [
            (everything(), &names[..]),
            (one("plan/ab"), &["plan/ab"]),
            (one("plan/a"), &[]),
            (of_type("plan", None), &names[..4]),
            (of_type("plan", Some("")), &names[..4]),
            (of_type("plan", Some("a%")), &names[..2]),
            (of_type("project", Some("a")), &["project/a%b"]),
            (of_type("other", None), &[]),
        ];
        let mut watches = Vec::new();
        for (request, matching) in &cases {
            // The last that all are told of, or none: how a watch is known to be done.
            watches.push((Watch::of_nothing(&locks, request.clone()).await, matching));
        }
        for name in names {
            take(&locks, name, "alice").await;
        }
        for (request, matching) in &cases {
            let (_, snapshot) = Watch::begin(&locks, request.clone()).await;
            let found: Vec<_> =
                snapshot.iter().map(|lock| lock.resource.as_ref().unwrap().to_string()).collect();
            assert_eq!(found, *matching, "{engine}: {request:?}");
        }
        for name in names {
            locks.release(release(name, "alice")).await.unwrap();
        }
        for (watch, matching) in &mut watches {
            for kind in [Kind::Acquired, Kind::Released] {
                for name in **matching {
                    let told = watch.said().await;
                    assert_eq!((told.0, told.1.as_str()), (kind, *name), "{engine}");
                }
            }
        }
    })
    .await;
}

/// Any server tells what happens at any other.
#[tokio::test]
async fn what_happens_at_another_server_is_told() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let (first, second) = (TestServer::start(&flags).await, TestServer::start(&flags).await);
    let (here, mut there) = (client(&first.url()), client(&second.url()));
    let mut watch = Watch::of_nothing(&here, one("plan/42")).await;
    let mut beside = Watch::of_nothing(&there, everything_with_renewals()).await;
    let lock = take(&there, "plan/42", "alice").await;
    there.renew(renew(&lock)).await.unwrap();
    here.clone().release(release("plan/42", "alice")).await.unwrap();
    assert_eq!(watch.said().await, said(Kind::Acquired, &lock));
    assert_eq!(watch.said().await, said(Kind::Released, &lock));
    for kind in [Kind::Acquired, Kind::Renewed, Kind::Released] {
        assert_eq!(beside.said().await, said(kind, &lock));
    }
}
