//! Many owners who wait, go away, give back and are broken at random: never two
//! hold it, tokens only grow, and nothing is left of anybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{eventually, postgres};
use tonic::{Code, Status};

use super::scene::{LONG, Scene, get, line, waiting};
use crate::support::{Locks, Tables, acquire, client, events, force, release, span, take};

const OWNERS: usize = 12;

/// Far below the leases, which nobody lets run out.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// What all of them are about.
#[derive(Debug, Default)]
struct Lock {
    holders: AtomicUsize,
    token: AtomicU64,
    held: AtomicUsize,
}

impl Lock {
    /// It is held, from when the owner knows until it gives it back.
    async fn hold(&self, what: &str, lock: &wire::Lock, random: &mut fastrand::Rng) {
        assert_eq!(self.holders.fetch_add(1, Ordering::SeqCst), 0, "{what}: two hold it");
        let before = self.token.fetch_max(lock.fencing_token, Ordering::SeqCst);
        assert!(lock.fencing_token >= before, "{what}: {} after {before}", lock.fencing_token);
        self.held.fetch_add(1, Ordering::Relaxed);
        if random.bool() {
            tokio::time::sleep(Duration::from_micros(random.u64(..2_000))).await;
        }
        assert_eq!(self.holders.fetch_sub(1, Ordering::SeqCst), 1, "{what}: two hold it");
    }
}

fn is_refusal(status: &Status) -> bool {
    let code = status.code();
    code == Code::FailedPrecondition || code == Code::Aborted
}

/// One owner, at one server or another: asks, waits for a while or does not, goes
/// away or stays, and gives back in one of several ways.
async fn owner(what: String, name: String, servers: Vec<Locks>, lock: Arc<Lock>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let mut locks = servers[random.usize(..servers.len())].clone();
        let wait = match random.u8(..4) {
            0 => None,
            1 => span(0, random.i32(1..30_000_000)),
            _ => span(LONG, 0),
        };
        let call = waiting(&locks, wire::AcquireRequest { wait, ..acquire("plan/42", &name) });
        if wait.is_some() && random.u8(..3) == 0 {
            tokio::time::sleep(Duration::from_micros(random.u64(..30_000))).await;
            if !call.is_answered() {
                // It may have been granted at this moment, and then is passed on.
                drop(call);
                continue;
            }
        }
        match call.ended().await.0 {
            Ok(answer) => {
                let granted = answer.lock.unwrap();
                lock.hold(&what, &granted, &mut random).await;
                if random.u8(..8) == 0 {
                    let all = wire::ReleaseAllRequest { owner_id: name.clone() };
                    locks.release_all(all).await.unwrap();
                } else {
                    let give_back = wire::ReleaseRequest {
                        fencing_token: Some(granted.fencing_token),
                        ..release("plan/42", &name)
                    };
                    locks.release(give_back).await.unwrap();
                }
            }
            Err(status) => assert!(is_refusal(&status), "{what}: {status:?}"),
        }
    }
    // What its last call was granted as it went, with the answer on its way, is
    // its own: the others are not to wait for that.
    let mut locks = servers[0].clone();
    let all = wire::ReleaseAllRequest { owner_id: name };
    locks.release_all(all).await.unwrap();
}

async fn storm(what: &str, servers: &[Locks]) {
    let seed = fastrand::u64(..);
    let what = format!("{what}, seed {seed}");
    let lock = Arc::new(Lock::default());
    let owners = (0..OWNERS).map(|number| {
        let (name, servers) = (format!("owner-{number}"), servers.to_vec());
        let seed = seed.wrapping_add(number as u64);
        tokio::spawn(owner(what.clone(), name, servers, Arc::clone(&lock), seed))
    });
    for ended in join_all(owners).await {
        ended.unwrap();
    }
    assert!(lock.held.load(Ordering::Relaxed) > OWNERS, "{what}: some are granted");
    // What the last call of an owner was granted, and its answer was on the way
    // as it went, is its own.
    let free = format!("{what}: nobody keeps it");
    eventually(&free, FREE_WITHIN, async || {
        for number in 0..OWNERS {
            let all = wire::ReleaseAllRequest { owner_id: format!("owner-{number}") };
            servers[0].clone().release_all(all).await.unwrap();
        }
        get(&servers[0], "plan/42").await.err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_and_comes_it_is_held_by_one_at_a_time() {
    Scene::on_each_store(&[], async |scene| {
        storm(scene.engine(), std::slice::from_ref(&scene.locks)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_three_servers_too() {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    let scene = Scene::of(Tables::Postgres(database), &[]).await;
    let flags = ["--database-url", &*url];
    let others = [TestServer::start(&flags).await, TestServer::start(&flags).await];
    let servers = [scene.locks.clone(), client(&others[0].url()), client(&others[1].url())];
    storm("three servers", &servers).await;
    for other in others {
        other.stop().await;
    }
    scene.end().await;
}

/// An operator breaks what it sees, again and again, while others wait: each
/// break is one grant, and each waiter has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn each_hold_that_is_broken_is_one_grant() {
    const WAITERS: usize = 30;
    Scene::on_each_store(&[], async |scene| {
        let (engine, mut operator) = (scene.engine(), scene.locks.clone());
        let first = take(&operator, "plan/42", "holder").await;
        let mut calls = Vec::new();
        for number in 0..WAITERS {
            let name = format!("owner-{number}");
            let [call] = line(&scene.locks, "plan/42", [name.as_str()]).await;
            calls.push(call);
        }
        let mut seen = first;
        let mut granted = Vec::new();
        for call in calls {
            let others = (0..3).map(|_| {
                let (mut locks, request) = (scene.locks.clone(), force(&seen, "stuck"));
                async move { locks.force_release(request).await }
            });
            let broke = join_all(others).await.into_iter().filter(Result::is_ok).count();
            assert_eq!(broke, 1, "{engine}");
            let lock = call.granted().await;
            assert!(lock.fencing_token > seen.fencing_token, "{engine}");
            granted.push(lock.fencing_token);
            seen = lock;
        }
        assert_eq!(granted.len(), WAITERS, "{engine}");
        operator.force_release(force(&seen, "stuck")).await.unwrap();
        assert!(get(&operator, "plan/42").await.is_err(), "{engine}");
        let events = events(&operator).await;
        let forced = wire::AuditEventKind::ForceReleased;
        let broken = events.iter().filter(|event| event.kind() == forced).count();
        assert_eq!(broken, WAITERS + 1, "{engine}");
    })
    .await;
}
