//! Watches that begin in the middle of traffic over two servers: whatever they are
//! told adds up.

use std::collections::HashMap;

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, LockEventKind as Kind, LockState};
use service_kit::testing::{eventually, postgres};
use tokio::task::JoinHandle;

use super::{
    super::support::{
        DEADLINE, Locks, acquire, client, force, release, renew, resource, span, take,
    },
    kit::{Watch, everything, everything_with_renewals},
};

const RESOURCES: usize = 4;
const CALLERS: usize = 8;
const ROUNDS: usize = 150;
const END: &str = "plan/end";
const FLAGS: [&str; 2] = ["--min-ttl", "100ms"];

/// What was told of each resource, in order: the kind and the token.
type Log = HashMap<String, Vec<(Kind, u64)>>;

/// What one watch was told.
struct Read {
    /// The live locks at its beginning: the token of each.
    snapshot: HashMap<String, u64>,
    log: Log,
    renewals: bool,
}

fn name(lock: &wire::Lock) -> String {
    lock.resource.as_ref().unwrap().to_string()
}

/// Reads until the last grant of the test.
async fn read(locks: Locks, renewals: bool) -> Read {
    let request = if renewals { everything_with_renewals() } else { everything() };
    let (mut watch, snapshot) = Watch::begin(&locks, request).await;
    let mut log = Log::new();
    loop {
        let (kind, lock) = watch.next().await;
        let is_end = name(&lock) == END;
        log.entry(name(&lock)).or_default().push((kind, lock.fencing_token));
        if is_end {
            let snapshot = snapshot.iter().map(|lock| (name(lock), lock.fencing_token)).collect();
            return Read { snapshot, log, renewals };
        }
    }
}

/// Does this and that with the locks: the tokens that were granted.
async fn hammer(mut locks: Locks, caller: usize, seed: u64) -> Vec<(String, u64)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let owner = format!("owner-{caller}");
    let mut granted = Vec::new();
    for _ in 0..ROUNDS {
        let name = format!("plan/{}", random.usize(..RESOURCES));
        let lapses = random.u8(..100) < 8;
        let ttl = if lapses { span(0, 100_000_000) } else { None };
        let wait = if random.u8(..100) < 30 { span(0, 300_000_000) } else { None };
        let request = wire::AcquireRequest { ttl, wait, ..acquire(&name, &owner) };
        let Ok(answer) = locks.acquire(request).await else { continue };
        let answer = answer.into_inner();
        let lock = answer.lock.unwrap();
        if !answer.reentrant {
            granted.push((name.clone(), lock.fencing_token));
        }
        if lapses {
            continue;
        }
        if random.u8(..100) < 20 {
            // It may be lost by now, by force.
            drop(locks.renew(renew(&lock)).await);
        }
        if random.u8(..100) < 10 {
            drop(locks.force_release(force(&lock, "a test")).await);
        } else {
            drop(locks.release(release(&name, &owner)).await);
        }
        if random.u8(..100) < 3 {
            locks.purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
        }
    }
    granted
}

/// How a resource stands, as far as was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Free,
    Held,
    Stale,
}

/// Panics unless each follows from the one before: how it stands before each, and
/// at the end.
fn standings(resource: &str, log: &[(Kind, u64)]) -> Vec<Standing> {
    let (mut standing, mut token) = (Standing::Free, 0);
    let mut standings = vec![standing];
    for (at, &(kind, next)) in log.iter().enumerate() {
        let is_grant = matches!(kind, Kind::Acquired | Kind::TakenOver);
        let follows = if is_grant { next > token } else { next == token };
        assert!(follows, "{resource}: {:?}", &log[at.saturating_sub(5)..=at]);
        token = next;
        standing = match (standing, kind) {
            (Standing::Free, Kind::Acquired) | (Standing::Stale, Kind::TakenOver) => Standing::Held,
            (Standing::Held, Kind::Renewed) => Standing::Held,
            (Standing::Held, Kind::Expired) => Standing::Stale,
            (Standing::Held | Standing::Stale, Kind::Released | Kind::ForceReleased)
            | (Standing::Stale, Kind::Purged) => Standing::Free,
            _ => panic!("{resource}, {standing:?}: {:?}", &log[at.saturating_sub(5)..=at]),
        };
        standings.push(standing);
    }
    standings
}

/// Panics unless a watch was told the end of what there was to be told, and its
/// snapshot is how it stood before.
fn assert_adds_up(resource: &str, read: &Read, whole: &[(Kind, u64)]) {
    let whole: Vec<(Kind, u64)> =
        whole.iter().copied().filter(|(kind, _)| read.renewals || *kind != Kind::Renewed).collect();
    let told = read.log.get(resource).map_or(&[][..], Vec::as_slice);
    assert!(whole.ends_with(told), "{resource}: {told:?} is not the end of {whole:?}");
    let before = whole.len() - told.len();
    let standing = standings(resource, &whole)[before];
    let token = whole[..before].last().map(|(_, token)| *token);
    let live = token.filter(|_| standing == Standing::Held);
    let snapshot = read.snapshot.get(resource).copied();
    assert_eq!(snapshot, live, "{resource}: as it stood before {:?}", told.first());
}

/// Waits until no lease runs, and frees what is stale.
async fn settle(locks: &Locks) {
    eventually("no lease runs", DEADLINE, async || {
        let list = wire::ListLocksRequest::default();
        let live = locks.clone().list_locks(list).await.unwrap().into_inner().locks;
        for lock in &live {
            drop(locks.clone().force_release(force(lock, "the end")).await);
        }
        live.is_empty().then_some(())
    })
    .await;
    locks.clone().purge_stale(wire::PurgeStaleRequest::default()).await.unwrap();
}

/// Hammers at the locks of these servers while watches begin.
async fn adds_up(servers: &[TestServer]) {
    let seed = std::env::var("WATCH_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("WATCH_SEED={seed}");
    let locks: Vec<Locks> = servers.iter().map(|server| client(&server.url())).collect();
    let of = |n: usize| locks[n % locks.len()].clone();
    let (mut whole, snapshot) = Watch::begin(&of(0), everything_with_renewals()).await;
    assert_eq!(snapshot, []);
    let whole = tokio::spawn(async move {
        let mut log = Log::new();
        loop {
            let (kind, lock) = whole.next().await;
            log.entry(name(&lock)).or_default().push((kind, lock.fencing_token));
            if name(&lock) == END {
                return log;
            }
        }
    });
    let hammers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(hammer(of(caller), caller, seed.wrapping_add(caller as u64))))
        .collect();
    // One after the other, each when the one before has begun.
    let mut watches: Vec<JoinHandle<Read>> = Vec::new();
    while !hammers.iter().all(JoinHandle::is_finished) && watches.len() < 200 {
        let (locks, renewals) = (of(watches.len()), !watches.len().is_multiple_of(3));
        watches.push(tokio::spawn(read(locks, renewals)));
        take(&of(0), &format!("other/{}", watches.len()), "beside").await;
    }
    let mut granted = HashMap::<String, Vec<u64>>::new();
    for tokens in join_all(hammers).await {
        for (name, token) in tokens.unwrap() {
            granted.entry(name).or_default().push(token);
        }
    }
    settle(&of(0)).await;
    take(&of(0), END, "the end").await;
    let whole = whole.await.unwrap();
    let mut kinds = HashMap::<Kind, usize>::new();
    for (resource, log) in whole.iter().filter(|(name, _)| *name != END) {
        assert_eq!(standings(resource, log).last(), Some(&Standing::Free), "{resource}: {log:?}");
        let is_grant = |kind: &Kind| matches!(kind, Kind::Acquired | Kind::TakenOver);
        let told = log.iter().filter(|(kind, _)| is_grant(kind)).map(|(_, token)| *token);
        let told: Vec<u64> = told.collect();
        for token in granted.get(resource).into_iter().flatten() {
            assert!(told.contains(token), "{resource}: the grant of {token} was not told");
        }
        log.iter().for_each(|(kind, _)| *kinds.entry(*kind).or_default() += 1);
    }
    eprintln!("{} watches, {kinds:?}", watches.len());
    for kind in [Kind::Acquired, Kind::Renewed, Kind::Released, Kind::Expired, Kind::TakenOver] {
        assert!(kinds[&kind] > 0, "{kind:?} did not happen: {kinds:?}");
    }
    for watch in join_all(watches).await {
        let watch = watch.unwrap();
        for (resource, log) in whole.iter().filter(|(name, _)| *name != END) {
            assert_adds_up(resource, &watch, log);
        }
    }
    let get = wire::GetLockRequest { resource: resource(END) };
    let last = of(1).get_lock(get).await.unwrap().into_inner().lock.unwrap();
    assert_eq!(last.state(), LockState::Held);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_watches_are_told_adds_up_on_sqlite() {
    adds_up(&[TestServer::start(&FLAGS).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_watches_are_told_adds_up_on_two_servers() {
    let database = postgres::database().await;
    let flags = [&FLAGS[..], &["--database-url", database.url()]].concat();
    adds_up(&[TestServer::start(&flags).await, TestServer::start(&flags).await]).await;
}
