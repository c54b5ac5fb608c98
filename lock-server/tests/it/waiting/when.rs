//! When a waiter is told, and from when its lease counts.
//!
//! Bounds are for a busy machine. Medians tell of what a single time cannot: that
//! somebody looks twice a second is soon enough for each, and too late for all.

use std::time::{Duration, Instant};

use prost_types::Timestamp;
use proto::lock::v1 as wire;
use service_kit::testing::{eventually, postgres};

use super::scene::{Scene, Waiting, get, line, until_waiting, wait_for, waiting};
use crate::support::{
    DEADLINE, Locks, Tables, acquire, failure, lease, on_each_store, release, renew, span, take,
};

/// No hand-over takes as long.
const LATEST: Duration = Duration::from_secs(2);
/// Nor do half of them: twice a second somebody looks for what got lost.
const MEDIAN: Duration = Duration::from_millis(200);

const ROUNDS: usize = 15;

#[track_caller]
fn assert_prompt(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(median < MEDIAN && last < LATEST, "{what}: {times:?}");
}

fn micros(time: Option<Timestamp>) -> i64 {
    let Timestamp { seconds, nanos } = time.unwrap();
    seconds * 1_000_000 + i64::from(nanos) / 1_000
}

/// How long after the end of one lease the next began, by the database's clock.
#[track_caller]
fn between(before: &wire::Lock, next: &wire::Lock) -> Duration {
    let late = micros(next.acquire_time) - micros(before.expire_time);
    Duration::from_micros(u64::try_from(late).expect("not before the end of the lease"))
}

fn for_millis(millis: i32, request: wire::AcquireRequest) -> wire::AcquireRequest {
    let ttl = span((millis / 1_000).into(), millis % 1_000 * 1_000_000);
    wire::AcquireRequest { ttl, ..request }
}

async fn hold_for(locks: &Locks, millis: i32, name: &str) -> wire::Lock {
    let request = for_millis(millis, acquire(name, "holder"));
    locks.clone().acquire(request).await.unwrap().into_inner().lock.unwrap()
}

#[tokio::test]
async fn a_release_is_a_grant_at_once() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let held = take(locks, "plan/42", "holder").await;
            let [next] = line(locks, "plan/42", ["next"]).await;
            let began = Instant::now();
            locks.clone().release(release("plan/42", "holder")).await.unwrap();
            assert!(next.granted().await.fencing_token > held.fencing_token);
            times.push(began.elapsed());
            locks.clone().release(release("plan/42", "next")).await.unwrap();
        }
        assert_prompt(scene.engine(), times);
    })
    .await;
}

/// By a notification.
#[tokio::test]
async fn a_release_at_one_server_is_a_grant_at_another_at_once() {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    let one = Scene::of(Tables::Postgres(database), &[]).await;
    let other = lock_server::testing::TestServer::start(&["--database-url", &url]).await;
    let elsewhere = crate::support::client(&other.url());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        take(&one.locks, "plan/42", "holder").await;
        let [next] = line(&elsewhere, "plan/42", ["next"]).await;
        let began = Instant::now();
        one.locks.clone().release(release("plan/42", "holder")).await.unwrap();
        next.granted().await;
        times.push(began.elapsed());
        one.locks.clone().release(release("plan/42", "next")).await.unwrap();
    }
    assert_prompt("two servers", times);
    one.end().await;
}

#[tokio::test]
async fn the_end_of_a_lease_is_a_grant_at_once() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut calls: Vec<(wire::Lock, Waiting)> = Vec::new();
        for round in 0..ROUNDS {
            let name = format!("plan/{round}");
            // Some run out before the next look, some long after it.
            let held = hold_for(locks, 300 + 130 * i32::try_from(round).unwrap(), &name).await;
            calls.push((held, waiting(locks, wait_for(&name, "next"))));
        }
        let mut times = Vec::new();
        for (held, next) in calls {
            let lock = next.granted().await;
            assert!(lock.remaining.unwrap().seconds > 290, "{}: {lock:?}", scene.engine());
            times.push(between(&held, &lock));
        }
        assert_prompt(scene.engine(), times);
    })
    .await;
}

/// They end one after the other, and nobody else does anything.
#[tokio::test]
async fn a_chain_of_short_leases_goes_on_by_itself() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut last = hold_for(locks, 700, "plan/42").await;
        let mut calls = Vec::new();
        for number in 0..6 {
            let request = for_millis(700, wait_for("plan/42", &format!("owner-{number}")));
            calls.push(waiting(locks, request));
            eventually("it stands in line", DEADLINE, async || {
                // Those before may have had it by now.
                let lock = get(locks, "plan/42").await.unwrap();
                let holds = lock.owner_id == format!("owner-{number}");
                let answered = calls.last().unwrap().is_answered();
                (answered || holds || lock.queue_length > 0).then_some(())
            })
            .await;
        }
        let mut times = Vec::new();
        let mut granted = Vec::new();
        for call in calls {
            granted.push(call.granted().await);
        }
        granted.sort_by_key(|lock| lock.fencing_token);
        for lock in granted {
            assert_eq!(micros(lock.expire_time) - micros(lock.acquire_time), 700_000);
            times.push(between(&last, &lock));
            last = lock;
        }
        assert_prompt(scene.engine(), times);
    })
    .await;
}

/// The time that it waited is not part of it.
#[tokio::test]
async fn a_lease_counts_from_its_grant() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let held = hold_for(locks, 900, "plan/42").await;
        let next = waiting(locks, for_millis(800, wait_for("plan/42", "next")));
        let lock = next.granted().await;
        assert!(micros(lock.acquire_time) >= micros(held.expire_time), "{}", scene.engine());
        assert_eq!(micros(lock.expire_time) - micros(lock.acquire_time), 800_000);
        assert_eq!(lock.renew_time, lock.acquire_time);
        assert_eq!(lock.state(), wire::LockState::Held, "{}", scene.engine());
        assert!(lock.remaining.unwrap().nanos > 0, "{}: {lock:?}", scene.engine());
    })
    .await;
}

/// Of a holder that renews all the time the lease never ends; of one that has
/// stopped it does, once.
#[tokio::test]
async fn who_renews_keeps_others_waiting_until_it_does_not() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut last = hold_for(locks, 800, "plan/42").await;
        let [first, second] = line(locks, "plan/42", ["first", "second"]).await;
        let until = Instant::now() + Duration::from_secs(3);
        let mut kept_alive = crate::support::OpenStream::open(locks).await;
        while Instant::now() < until {
            last = locks.clone().renew(renew(&last)).await.unwrap().into_inner().lock.unwrap();
            kept_alive.send(vec![lease(&last)]).await;
            kept_alive.next().await.unwrap().unwrap();
            assert!(!first.is_answered(), "{}", scene.engine());
        }
        let last = get(locks, "plan/42").await.unwrap();
        assert_eq!((last.owner_id.as_str(), last.queue_length), ("holder", 2));
        let lock = first.granted().await;
        assert!(between(&last, &lock) < LATEST, "{}", scene.engine());
        assert!(!second.is_answered(), "{}", scene.engine());
        until_waiting(locks, "plan/42", 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_wait_is_as_long_as_was_asked_for() {
    on_each_store(&[], async |engine, locks| {
        take(&locks, "plan/42", "holder").await;
        for millis in [1, 50, 700] {
            let request = wire::AcquireRequest {
                wait: span(0, millis * 1_000_000),
                ..acquire("plan/42", "me")
            };
            let (answer, took) = waiting(&locks, request).ended().await;
            let status = answer.unwrap_err();
            failure(&status, tonic::Code::FailedPrecondition, "LOCK_CONFLICT");
            let asked = Duration::from_millis(u64::try_from(millis).unwrap());
            assert!(took >= asked && took < asked + LATEST, "{engine}: {took:?} for {asked:?}");
        }
    })
    .await;
}

/// A wait that ends as the lock is released ends with the lock or without it, and
/// the lock knows which.
#[tokio::test]
async fn a_wait_that_ends_as_it_is_granted_is_one_or_the_other() {
    Scene::on_each_store(&[], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        let mut granted = 0;
        for round in 0..40 {
            let name = format!("plan/{round}");
            take(locks, &name, "holder").await;
            let wait = span(0, 100_000_000);
            let call = waiting(locks, wire::AcquireRequest { wait, ..acquire(&name, "me") });
            tokio::time::sleep(Duration::from_micros(96_000 + round * 200)).await;
            locks.clone().release(release(&name, "holder")).await.unwrap();
            match call.ended().await.0 {
                Ok(answer) => {
                    let lock = answer.lock.unwrap();
                    let now = get(locks, &name).await.unwrap();
                    assert_eq!(now.fencing_token, lock.fencing_token, "{engine}");
                    granted += 1;
                }
                Err(status) => {
                    failure(&status, tonic::Code::FailedPrecondition, "LOCK_CONFLICT");
                    let what = format!("{engine}: {name} is free");
                    eventually(&what, LATEST, async || get(locks, &name).await.err()).await;
                }
            }
        }
        assert!(granted > 0, "{engine}: some are granted");
    })
    .await;
}
