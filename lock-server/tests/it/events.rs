//! The audit trail: what the sweeper writes into it and takes out of it, and
//! lists of more events than fit a page.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1::{
    self as wire, AuditEventKind, session_request::Command as Asked,
    session_response::Outcome as Answered,
};
use service_kit::testing::eventually;
use tonic::Code;

use super::support::{
    DEADLINE, Locks, OpenSession, Tables, acquire, assert_serves, client, events, failure, force,
    keep_alive, lease, on_each_store, refusal, release, renew, resource, span, take, until_stale,
    wrong, wrong_fields,
};

/// Writes this many events, an hour old each and all of one moment.
async fn write_old(tables: &Tables, count: usize) {
    write(tables, count, "'FORCE_RELEASED', 'plan', 'old-' || n").await;
}

/// Writes events of these kinds and resources.
async fn write(tables: &Tables, count: usize, what: &str) {
    let insert = |rows: &str, moment: &str| {
        format!(
            "INSERT INTO lock_events (event_time, kind, resource_type, resource_id, owner_id,
                                      fencing_token, actor, reason)
             SELECT {moment}, {what}, 'alice', n, 'somebody', 'why'
             FROM {rows}"
        )
    };
    let sqlite = format!(
        "WITH RECURSIVE numbers (n) AS (
             SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}
         ) {}",
        insert("numbers", "(unixepoch() - 3600) * 1000000")
    );
    let postgres =
        insert(&format!("generate_series(1, {count}) n"), "now() - interval '3600 seconds'");
    assert_eq!(tables.run(&sqlite, &postgres).await, count as u64);
}

/// Makes every lease run out a minute ago.
async fn expire_all(tables: &Tables) -> u64 {
    tables
        .run(
            "UPDATE locks SET expires_at = unixepoch() * 1000000 - 60000000",
            "UPDATE locks SET expires_at = clock_timestamp() - interval '60 s',
             sweep_at = '-infinity'",
        )
        .await
}

/// Makes every event older.
async fn age_all(tables: &Tables, seconds: u32) {
    tables
        .run(
            &format!("UPDATE lock_events SET event_time = event_time - {seconds} * 1000000"),
            &format!("UPDATE lock_events SET event_time = event_time - interval '{seconds} s'"),
        )
        .await;
}

async fn list(locks: &Locks, request: wire::ListEventsRequest) -> wire::ListEventsResponse {
    locks.clone().list_events(request).await.unwrap().into_inner()
}

fn of_size(page_size: i32) -> wire::ListEventsRequest {
    wire::ListEventsRequest { page_size, ..Default::default() }
}

fn name(resource: &Option<wire::Resource>) -> String {
    resource.as_ref().unwrap().to_string()
}

fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos })
}

// === the sweeper ===

#[tokio::test]
async fn what_the_sweeper_frees_is_written_down_under_its_name() {
    let flags = ["--min-ttl", "100ms", "--stale-retention", "0s", "--sweep-interval", "50ms"];
    on_each_store(&flags, async |engine, mut locks| {
        let live = take(&locks, "plan/live", "alice").await;
        for id in ["a", "b", "c"] {
            let ttl = span(0, 100_000_000);
            let short =
                wire::AcquireRequest { ttl, ..acquire(&format!("plan/short-{id}"), "alice") };
            locks.acquire(short).await.unwrap();
        }
        let swept = eventually("all are swept", DEADLINE, async || {
            let events = events(&locks).await;
            (events.iter().map(|event| event.count).sum::<u64>() >= 3).then_some(events)
        })
        .await;
        assert_eq!(swept.iter().map(|event| event.count).sum::<u64>(), 3, "{engine}: {swept:?}");
        for event in swept {
            assert_eq!(event.kind(), AuditEventKind::Purged, "{engine}: {event:?}");
            assert_eq!(event.actor, "sweeper", "{engine}");
            assert_eq!(event.reason, "stale for 0 ms or longer, of any type", "{engine}");
            assert_eq!((event.resource, event.owner_id.as_str()), (None, ""), "{engine}");
        }
        locks.renew(renew(&live)).await.expect("the live one is left alone");
    })
    .await;
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_deleted_and_the_rest_stays() {
    // More than two steps of the sweeper.
    const OLD: usize = 2_500;
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let url = tables.url();
        let server = TestServer::start(&["--database-url", &url]).await;
        let mut locks = client(&server.url());
        let (old, young) =
            (take(&locks, "plan/old", "alice").await, take(&locks, "plan/young", "alice").await);
        locks.force_release(force(&old, "long ago")).await.unwrap();
        age_all(&tables, 1_800).await;
        write_old(&tables, OLD).await;
        age_all(&tables, 1_800).await;
        locks.force_release(force(&young, "just now")).await.unwrap();
        server.stop().await;

        // By now "long ago" is an hour old, and what was written an hour and a half.
        let flags = ["--event-retention", "75m", "--sweep-interval", "50ms"];
        let server = TestServer::start(&[&["--database-url", &url][..], &flags[..]].concat()).await;
        let mut locks = client(&server.url());
        let left = eventually("what is old is deleted", DEADLINE, async || {
            let events = events(&locks).await;
            events.iter().all(|event| event.actor != "somebody").then_some(events)
        })
        .await;
        let reasons: Vec<_> = left.iter().map(|event| event.reason.as_str()).collect();
        assert_eq!(reasons, ["just now", "long ago"], "{engine}");

        // Whose event is forgotten is told of the loss, and no more why.
        age_all(&tables, 1_800).await;
        eventually("the next one is deleted", DEADLINE, async || {
            (events(&locks).await.len() == 1).then_some(())
        })
        .await;
        for (lock, reason) in [(old, None), (young, Some("just now"))] {
            let status = locks.renew(renew(&lock)).await.unwrap_err();
            let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
            let metadata = &details.error_info().unwrap().metadata;
            assert_eq!(metadata.get("release_reason").map(String::as_str), reason, "{engine}");
        }
    }
}

/// A run goes in steps of a thousand locks.
#[tokio::test]
async fn a_purge_of_many_is_one_event_with_all_of_them() {
    const MANY: usize = 2_100;
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let url = tables.url();
        let server = TestServer::start(&["--database-url", &url]).await;
        let mut locks = client(&server.url());
        join_all((0..MANY).map(|n| take(&locks, &format!("plan/{n}"), "alice"))).await;
        take(&locks, "project/1", "alice").await;
        assert_eq!(expire_all(&tables).await, MANY as u64 + 1, "{engine}");
        let purge = wire::PurgeStaleRequest {
            resource_type: Some("plan".into()),
            older_than: span(1, 500_000_000),
        };
        let purged = locks.purge_stale(purge).await.unwrap().into_inner().purged_count;
        assert_eq!(purged, MANY as u64, "{engine}");
        let events = events(&locks).await;
        let [event] = &events[..] else { panic!("{engine}: {events:?}") };
        assert_eq!((event.kind(), event.count), (AuditEventKind::Purged, MANY as u64), "{engine}");
        assert_eq!(event.actor, "127.0.0.1", "{engine}");
        assert_eq!(event.reason, "stale for 1500 ms or longer, of plan", "{engine}");
    }
}

// === takeovers ===

/// Asks for this many plans on a command stream: the locks that were granted.
async fn take_all(locks: Locks, owner: String, many: usize) -> Vec<wire::Lock> {
    let mut session = OpenSession::open(&locks).await;
    for n in 0..many {
        session.send(Asked::Acquire(acquire(&format!("plan/{n}"), &owner))).await;
    }
    let answers = session.answers(many).await.into_values();
    let granted = |outcome: Answered| match outcome {
        Answered::Acquire(wire::AcquireResponse { lock, reentrant: false }) => lock,
        Answered::Error(_) => {
            failure(&refusal(&outcome), Code::FailedPrecondition, "LOCK_CONFLICT");
            None
        }
        other => panic!("{other:?}"),
    };
    answers.filter_map(granted).collect()
}

/// In batches, at once, from two servers where two can share a database.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_stale_locks_is_taken_over_once_and_written_down_once() {
    const MANY: usize = 300;
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let url = tables.url();
        let one = TestServer::start(&["--database-url", &url]).await;
        let other = match tables {
            Tables::Sqlite(_) => None,
            Tables::Postgres(_) => Some(TestServer::start(&["--database-url", &url]).await),
        };
        let locks = client(&one.url());
        let other = client(&other.as_ref().unwrap_or(&one).url());
        let plans = (0..MANY).map(|n| take(&locks, &format!("plan/{n}"), "alice"));
        let stale: HashMap<_, _> =
            join_all(plans).await.into_iter().map(|lock| (name(&lock.resource), lock)).collect();
        expire_all(&tables).await;
        let (ours, theirs) = tokio::join!(
            take_all(locks.clone(), "bob".into(), MANY),
            take_all(other, "carol".into(), MANY)
        );
        assert_eq!(ours.len() + theirs.len(), MANY, "{engine}: each is granted once");
        let granted: HashMap<_, _> =
            ours.into_iter().chain(theirs).map(|lock| (name(&lock.resource), lock)).collect();
        assert_eq!(granted.len(), MANY, "{engine}");

        let events = list(&locks, of_size(1_000)).await.events;
        assert_eq!(events.len(), MANY, "{engine}");
        for event in events {
            let name = name(&event.resource);
            let (was, is) = (&stale[&name], &granted[&name]);
            assert_eq!(event.kind(), AuditEventKind::TakenOver, "{engine}: {event:?}");
            assert_eq!((&event.owner_id, event.fencing_token), (&was.owner_id, was.fencing_token));
            assert_eq!((&event.actor, event.event_time), (&is.owner_id, is.acquire_time));
            assert!(is.fencing_token > was.fencing_token, "{engine}: {is:?} after {was:?}");
        }
    }
}

// === the lost lease ===

/// How long a renewal takes that is told that the lease is lost: the shortest of
/// some.
async fn loss(locks: &Locks, lock: &wire::Lock) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        let status = locks.clone().renew(renew(lock)).await.unwrap_err();
        shortest = shortest.min(started.elapsed());
        failure(&status, Code::Aborted, "LOCK_NOT_HELD");
    }
    shortest
}

/// Whether a hold was broken is looked up while a batch waits for it: it must
/// not depend on how often its resource was taken over before.
#[tokio::test]
async fn a_loss_costs_the_same_however_long_the_trail_of_its_resource_is() {
    const MANY: usize = 200_000;
    for tables in Tables::on_each_store().await {
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let mut locks = client(&server.url());
        let mut lost = Vec::new();
        for name in ["plan/calm", "plan/hot"] {
            let lock = take(&locks, name, "bob").await;
            locks.release(release(name, "bob")).await.unwrap();
            lost.push(lock);
        }
        write(&tables, MANY, "'TAKEN_OVER', 'plan', 'hot'").await;
        let (calm, hot) = (loss(&locks, &lost[0]).await, loss(&locks, &lost[1]).await);
        assert!(hot < calm * 4, "{}: {hot:?} beside {calm:?}", tables.engine());
    }
}

/// Who asks for many leases that are none, of a resource with a long trail,
/// costs nobody else theirs.
#[tokio::test]
async fn many_losses_of_a_resource_with_a_long_trail_are_told_in_time() {
    const MANY: usize = 200_000;
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let mut locks = client(&server.url());
        let held = take(&locks, "plan/held", "alice").await;
        write(&tables, MANY, "'TAKEN_OVER', 'plan', 'hot'").await;
        let none = |n: u64| wire::KeepAliveLease {
            resource: resource("plan/hot"),
            owner_id: "nobody".into(),
            fencing_token: n,
        };
        let leases = (1..=500).map(none).chain([lease(&held)]).collect();
        let answer = keep_alive(&mut locks, wire::KeepAliveRequest { leases, ttl: None }).await;
        let results = answer.unwrap_or_else(|status| panic!("{engine}: {status:?}")).results;
        let renewed = results.last().unwrap().outcome.as_ref().unwrap();
        let is_renewed = matches!(renewed, wire::keep_alive_result::Outcome::Lock(_));
        assert!(is_renewed, "{engine}: {renewed:?}");
    }
}

// === pages ===

#[tokio::test]
async fn pages_have_a_hundred_events_by_default_and_a_thousand_at_most() {
    for tables in Tables::on_each_store().await {
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let locks = client(&server.url());
        write_old(&tables, 1_001).await;
        for (asked, given) in [(0, 100), (7, 7), (1_000, 1_000), (1_001, 1_000), (i32::MAX, 1_000)]
        {
            let page = list(&locks, of_size(asked)).await;
            assert_eq!(page.events.len(), given, "{}: {asked}", tables.engine());
            assert!(!page.next_page_token.is_empty(), "{}: {asked}", tables.engine());
        }
    }
}

#[tokio::test]
async fn pages_of_events_of_one_moment_follow_each_other_without_gap_or_repetition() {
    const MANY: usize = 250;
    for tables in Tables::on_each_store().await {
        let engine = tables.engine();
        let server = TestServer::start(&["--database-url", &tables.url()]).await;
        let mut locks = client(&server.url());
        write_old(&tables, MANY).await;
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(&locks, wire::ListEventsRequest { page_token: token, ..of_size(60) });
            let page = page.await;
            ids.extend(page.events.iter().map(|event| event.event_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            // What happens meanwhile is newer than all that is still to come.
            let lock = take(&locks, "plan/42", "alice").await;
            locks.force_release(force(&lock, "meanwhile")).await.unwrap();
        }
        assert_eq!(ids.len(), MANY, "{engine}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), MANY, "{engine}");
        assert!(ids.is_sorted_by(|one, next| one > next), "{engine}: the newest first");
    }
}

#[tokio::test]
async fn a_forged_page_token_is_refused() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        for id in ["a", "b", "c"] {
            let lock = take(&locks, &format!("plan/{id}"), "alice").await;
            locks.force_release(force(&lock, "stuck")).await.unwrap();
            let ttl = span(0, 100_000_000);
            let short = wire::AcquireRequest { ttl, ..acquire(&format!("a/{id}"), "alice") };
            locks.acquire(short).await.unwrap();
            until_stale(&locks, &format!("a/{id}")).await;
        }
        let next = list(&locks, of_size(1)).await.next_page_token;
        let stale = wire::ListStaleRequest { page_size: 1, ..Default::default() };
        let foreign = locks.list_stale(stale).await.unwrap().into_inner().next_page_token;
        let (mut longer, mut shorter) = (next.clone(), next.clone());
        longer.push('A');
        shorter.pop();
        let swapped: String = next.chars().rev().collect();
        let huge = "A".repeat(100_000);
        let forged = ["x", "!!", "' OR 1=1 --", "🔒", "\0", &longer, &shorter, &swapped, &huge];
        for token in forged.into_iter().chain([foreign.as_str()]) {
            let request = wire::ListEventsRequest { page_token: token.to_owned(), ..of_size(1) };
            let status = locks.list_events(request).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_token"], "{engine}: {token:.99}");
        }
        let stale = wire::ListStaleRequest { page_token: next.clone(), ..Default::default() };
        let status = locks.list_stale(stale).await.unwrap_err();
        assert_eq!(wrong(&status), ["page_token"], "{engine}: from this list");
        let page = list(&locks, wire::ListEventsRequest { page_token: next, ..of_size(5) }).await;
        assert_eq!(page.events.len(), 2, "{engine}");
    })
    .await;
}

// === moments ===

#[tokio::test]
async fn moments_that_are_none_are_named_with_what_is_wrong() {
    let server = TestServer::start(&[]).await;
    let mut locks = client(&server.url());
    for (moment, word) in [
        (at(0, -1), "nanos"),
        (at(0, 1_000_000_000), "nanos"),
        (at(0, i32::MIN), "nanos"),
        (at(-62_135_596_801, 0), "years"),
        (at(253_402_300_800, 0), "years"),
        (at(i64::MAX, 0), "years"),
        (at(i64::MIN, 0), "years"),
    ] {
        let request =
            wire::ListEventsRequest { start_time: moment, end_time: moment, ..Default::default() };
        let status = locks.list_events(request).await.unwrap_err();
        assert_eq!(wrong(&status), ["end_time", "start_time"], "{moment:?}");
        let fields = wrong_fields(&status);
        assert!(fields.iter().all(|(_, said)| said.contains(word)), "{moment:?}: {fields:?}");
        assert_serves(&mut locks).await;
    }
    for (start, end) in [(at(7, 0), at(7, 0)), (at(7, 0), at(6, 999_999_999)), (at(7, 0), at(0, 0))]
    {
        let request =
            wire::ListEventsRequest { start_time: start, end_time: end, ..Default::default() };
        let status = locks.list_events(request).await.unwrap_err();
        assert_eq!(wrong(&status), ["end_time"], "{start:?}, {end:?}");
        let said = &wrong_fields(&status)[0].1;
        assert!(said.contains("start_time"), "{said}");
    }
}

#[tokio::test]
async fn a_span_of_time_may_be_as_long_as_moments_can_be_apart() {
    on_each_store(&[], async |engine, mut locks| {
        let lock = take(&locks, "plan/42", "alice").await;
        locks.force_release(force(&lock, "stuck")).await.unwrap();
        let (first, last) = (at(-62_135_596_800, 0), at(253_402_300_799, 999_999_999));
        let before = at(lock.acquire_time.unwrap().seconds - 60, 0);
        let after = at(lock.acquire_time.unwrap().seconds + 600, 0);
        for (start, end, found) in [
            (first, last, 1),
            (first, None, 1),
            (None, last, 1),
            (before, after, 1),
            (first, before, 0),
            (after, last, 0),
        ] {
            for asked in [None, resource("plan/42")] {
                let request = wire::ListEventsRequest {
                    resource: asked,
                    start_time: start,
                    end_time: end,
                    ..Default::default()
                };
                let count = list(&locks, request).await.events.len();
                assert_eq!(count, found, "{engine}: {start:?}, {end:?}");
            }
        }
        let other = wire::ListEventsRequest { resource: resource("plan/43"), ..Default::default() };
        assert_eq!(list(&locks, other).await.events, [], "{engine}");
    })
    .await;
}
