//! Two servers behind PgBouncer in transaction mode: notifications do not come
//! through it.

use std::time::{Duration, Instant};

use service_kit::testing::{PgBouncer, postgres};

use crate::support::{Locks, Queue, Serving, Waiters, release, take, until_waiting};

/// What is promised without a notification is a second. The rest is for a busy
/// machine.
pub(super) const HANDED_OVER_WITHIN: Duration = Duration::from_millis(1_500);

const ROUNDS: usize = 10;

/// One server's holder gives the lock back for which another server's waiter
/// waits: how long that took.
pub(super) async fn hand_over(
    servers: &[Locks; 2],
    round: usize,
    just_before: impl AsyncFnOnce(),
) -> Duration {
    let (from, to) = (&servers[round % 2], &servers[(round + 1) % 2]);
    let held = take(from, "holder").await;
    let mut waiters = Waiters::new();
    waiters.ask(to, "waiter");
    until_waiting(from, 1).await;
    just_before().await;
    let released = Instant::now();
    release(from, &held).await;
    let (_, granted) = waiters.answer().await;
    let took = released.elapsed();
    let granted = granted.unwrap();
    assert!(granted.fencing_token > held.fencing_token);
    release(to, &granted).await;
    took
}

/// How long the hand-overs take, from the shortest on.
async fn hand_overs(flags: &[&str], url: &str) -> Vec<Duration> {
    let one = Serving::start(flags).await;
    let other = Serving::start(flags).await;
    let servers = [one.locks(), other.locks()];
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        took.push(hand_over(&servers, round, async || {}).await);
    }
    took.sort();
    println!("{flags:?}: {took:?}");
    Queue::of(url).assert_empty_within(Duration::from_secs(5)).await;
    took
}

#[tokio::test]
async fn behind_a_transaction_pooling_proxy_servers_ask_once_a_second() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    let took = hand_overs(&["--database-url", pgbouncer.url()], database.url()).await;
    assert!(took[ROUNDS - 1] < HANDED_OVER_WITHIN, "{took:?}");
}

#[tokio::test]
async fn behind_a_transaction_pooling_proxy_servers_can_listen_past_it() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::before(&database, "").await;
    let flags = ["--database-url", pgbouncer.url(), "--database-listen-url", database.url()];
    let took = hand_overs(&flags, database.url()).await;
    assert!(took[ROUNDS - 1] < HANDED_OVER_WITHIN, "{took:?}");
    assert!(took[ROUNDS / 2] < Duration::from_millis(250), "nobody listens: {took:?}");
}
