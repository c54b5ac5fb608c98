//! Batches on Postgres: those of several servers, those beside a locked row,
//! and those whose commit nobody knows of.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use service_kit::testing::{PostgresServer, eventually, postgres};
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use super::{
    row_locked::{Forgotten, until_waiting},
    support::{
        DEADLINE, Locks, OpenSession, acquire, client, failure, lock_of, refusal, release, renew,
        take,
    },
};

/// How many resources the servers fight for, and how many of them at a time.
const RESOURCES: usize = 300;
const AT_A_TIME: usize = 60;
/// How often each stream goes through all of them.
const ROUNDS: usize = 8;
/// How many streams each server has.
const STREAMS: usize = 3;

/// What a stream asks for, some resources at a time.
type Asks = fn(&[String], &str) -> Vec<Asked>;

/// Takes them all, then gives them all back.
fn takes_and_gives_back(names: &[String], owner: &str) -> Vec<Asked> {
    let takes = names.iter().map(|name| Asked::Acquire(acquire(name, owner)));
    takes.chain(names.iter().map(|name| Asked::Release(release(name, owner)))).collect()
}

/// Takes some and gives others back, as it comes.
fn takes_or_gives_back(names: &[String], owner: &str) -> Vec<Asked> {
    let one = |name: &String| match fastrand::bool() {
        true => Asked::Acquire(acquire(name, owner)),
        false => Asked::Release(release(name, owner)),
    };
    names.iter().chain(names).map(one).collect()
}

/// Goes through every resource, some at a time, in one order or the other: how
/// long the slowest step took.
async fn sweep(locks: Locks, owner: String, backwards: bool, asks: Asks) -> Duration {
    let mut session = OpenSession::open(&locks).await;
    let (mut granted, mut slowest) = (0, Duration::ZERO);
    for first in (0..ROUNDS).flat_map(|_| (0..RESOURCES).step_by(AT_A_TIME)) {
        let mut names: Vec<_> =
            (first..first + AT_A_TIME).map(|at| format!("plan/{at:03}")).collect();
        if backwards {
            names.reverse();
        }
        let started = Instant::now();
        let commands = asks(&names, &owner);
        let count = commands.len();
        for command in commands {
            session.send(command).await;
        }
        for outcome in session.answers(count).await.into_values() {
            match outcome {
                Answered::Acquire(_) => granted += 1,
                Answered::Release(_) => {}
                refused => {
                    // Conflict for an acquire, not held for a release.
                    let code = refusal(&refused).code();
                    assert!(
                        matches!(code, Code::FailedPrecondition | Code::Aborted),
                        "{refused:?}"
                    );
                }
            }
        }
        slowest = slowest.max(started.elapsed());
    }
    assert!(granted > 0, "a stream was granted nothing");
    slowest
}

/// Every stream of these servers at once, those of the second one backwards: how
/// long it took, and the slowest of its steps.
async fn fight(
    servers: &[TestServer],
    owner: fn(usize, usize) -> String,
    asks: Asks,
) -> (Duration, Duration) {
    let started = Instant::now();
    let sweeps = servers.iter().enumerate().flat_map(|(server, running)| {
        let url = running.url();
        (0..STREAMS).map(move |stream| {
            tokio::spawn(sweep(client(&url), owner(server, stream), server == 1, asks))
        })
    });
    let ended = join_all(sweeps.collect::<Vec<_>>()).await;
    let slowest = ended.into_iter().map(Result::unwrap).max().unwrap();
    (started.elapsed(), slowest)
}

/// Rows that are locked in different orders make a circle; the database finds
/// it, here sooner than anything else gives up, and counts it.
async fn two_servers_get_on(owner: fn(usize, usize) -> String, asks: Asks) {
    let settings = [("deadlock_timeout", "10ms"), ("fsync", "off")];
    let start = move || PostgresServer::start_with(&settings);
    let postgres = tokio::task::spawn_blocking(start).await.unwrap();
    let database = postgres.database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "20s"];
    let alone = [TestServer::start(&flags).await];
    fight(&alone, owner, asks).await;
    let (peaceful, _) = fight(&alone, owner, asks).await;
    let [one] = alone;
    let both = [one, TestServer::start(&flags).await];
    let (contended, slowest) = fight(&both, owner, asks).await;
    // Twice the work; and a batch that waits for a row waits for a batch.
    assert!(contended < peaceful * 10 + Duration::from_secs(2), "{contended:?}, not {peaceful:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?} for {AT_A_TIME} resources");
    for server in both {
        server.stop().await;
    }
    // A session has counted when it has ended.
    let mut observer = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    eventually("the sessions end", DEADLINE, async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name = 'lock-server'";
        let count: i64 = sqlx::query_scalar(sessions).fetch_one(&mut observer).await.unwrap();
        (count == 0).then_some(())
    })
    .await;
    let deadlocks = "SELECT sum(deadlocks)::bigint FROM pg_stat_database";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut observer).await.unwrap();
    assert_eq!(deadlocks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_two_servers_neither_deadlock_nor_hold_each_other_up() {
    let owner = |server, stream| format!("owner-{server}-{stream}");
    two_servers_get_on(owner, takes_and_gives_back).await;
    two_servers_get_on(owner, takes_or_gives_back).await;
}

/// Nobody is in anybody's way by the rules, so that every command locks its row.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_one_owner_through_two_servers_get_on_too() {
    let owner = |_server, _stream| "everybody".to_owned();
    two_servers_get_on(owner, takes_and_gives_back).await;
    two_servers_get_on(owner, takes_or_gives_back).await;
}

/// Sixty-four commands in a row, one of them about a row that somebody has
/// locked: the others are answered while it still is.
#[tokio::test(flavor = "multi_thread")]
async fn one_locked_row_holds_up_no_neighbour() {
    const NEIGHBOURS: usize = 63;
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "25s"];
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    let mut held = Vec::new();
    for at in 0..=NEIGHBOURS {
        held.push(take(&locks, &format!("plan/{at:02}"), "me").await);
    }
    let mut session = OpenSession::open(&locks).await;
    let kinds: [fn(&wire::Lock) -> Asked; 3] = [
        |lock| Asked::Acquire(acquire(&lock.resource.as_ref().unwrap().to_string(), "me")),
        |lock| Asked::Renew(renew(lock)),
        |lock| Asked::Release(release(&lock.resource.as_ref().unwrap().to_string(), "me")),
    ];
    for kind in kinds {
        // At the front, in the middle and at the end of the row.
        for stuck in [0, 31, 63] {
            // What is free needs no lock to be given back.
            for at in 0..=NEIGHBOURS {
                take(&locks, &format!("plan/{at:02}"), "me").await;
            }
            let forgotten = Forgotten::with(database.url(), &format!("{stuck:02}")).await;
            let mut ids = Vec::new();
            for lock in &held {
                ids.push(session.send(kind(lock)).await);
            }
            let first = session.answers(NEIGHBOURS).await;
            for outcome in first.values() {
                assert!(!matches!(outcome, Answered::Error(_)), "{outcome:?}");
            }
            assert!(!first.contains_key(&ids[stuck]), "it was answered while its row was locked");
            until_waiting(database.url(), 1).await;
            forgotten.remembered().await;
            let (id, outcome) = session.answer().await;
            assert_eq!(id, ids[stuck]);
            assert!(!matches!(outcome, Answered::Error(_)), "{outcome:?}");
        }
    }
}

/// And where the row stays locked, it alone is told so.
#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_stays_locked_fails_no_neighbour() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "500ms"];
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    take(&locks, "plan/07", "me").await;
    let _forgotten = Forgotten::with(database.url(), "07").await;
    let mut session = OpenSession::open(&locks).await;
    for _ in 0..3 {
        let mut ids = Vec::new();
        for at in 0..64 {
            ids.push(session.send(Asked::Acquire(acquire(&format!("plan/{at:02}"), "me"))).await);
        }
        for (id, outcome) in session.answers(64).await {
            if id == ids[7] {
                failure(&refusal(&outcome), Code::Unavailable, "STORE_UNAVAILABLE");
            } else {
                assert_eq!(lock_of(&outcome).owner_id, "me");
            }
        }
    }
}
