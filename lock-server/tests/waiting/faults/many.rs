//! Many waiters for one lock.

use std::time::{Duration, Instant};

use service_kit::testing::postgres;

use crate::support::{Queue, Serving, Waiters, queue_length, release, release_at_any, take};

fn owners(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of}-{number:04}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_wait_for_one_lock_and_then_do_not() {
    const STREAMS: usize = 10;
    const ON_EACH: usize = 1_000;
    let database = postgres::database().await;
    let server = Serving::start(&["--database-url", database.url()]).await;
    let locks = server.locks();
    let held = take(&locks, "holder").await;
    let mut waiters = Waiters::new();
    let queue = Queue::of(database.url());
    let began = Instant::now();
    for stream in 0..STREAMS {
        // Each stream on a connection of its own.
        waiters.ask_on_a_stream(&server.locks(), &owners(&stream.to_string(), ON_EACH));
        queue.until((stream + 1) * ON_EACH).await;
    }
    println!("{} wait after {:?}", STREAMS * ON_EACH, began.elapsed());
    assert_eq!(usize::try_from(queue_length(&locks).await), Ok(STREAMS * ON_EACH));
    assert!(waiters.is_quiet(), "{:?}", waiters.answer().await);
    let left = Instant::now();
    drop(waiters);
    queue.assert_empty_within(Duration::from_secs(60)).await;
    println!("none is left {:?} after they went", left.elapsed());
    assert_eq!(queue_length(&locks).await, 0);
    release(&locks, &held).await;
    let held = take(&locks, "another").await;
    release(&locks, &held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_goes_through_the_hands_of_all_who_wait_in_order() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let one = Serving::start(&flags).await;
    let other = Serving::start(&flags).await;
    let servers = [one.locks(), other.locks()];
    let held = take(&servers[0], "holder").await;
    let mut waiters = Waiters::new();
    let mut calls = Vec::new();
    for (number, owner) in owners("call", 100).iter().enumerate() {
        calls.push((owner.clone(), waiters.ask(&servers[number % 2], owner)));
    }
    for (number, locks) in [one.locks(), other.locks()].iter().enumerate() {
        waiters.ask_on_a_stream(locks, &owners(&number.to_string(), 100));
    }
    let queue = Queue::of(database.url());
    queue.until(300).await;
    // Every fourth call is cancelled.
    let mut cancelled = Vec::new();
    for (owner, call) in calls.into_iter().step_by(4) {
        call.abort();
        cancelled.push(owner);
    }
    queue.until(300 - cancelled.len()).await;
    let mut in_order = queue.owners().await;
    assert!(!in_order.iter().any(|owner| cancelled.contains(owner)));
    // Commands of one stream are carried out in the order sent.
    let first: Vec<_> = in_order.iter().filter(|owner| owner.starts_with("0-")).collect();
    assert!(first.is_sorted() && first.len() == 100, "{first:?}");
    let began = Instant::now();
    release_at_any(&servers, &held).await;
    let granted = waiters.hand_through(&servers, in_order.len()).await;
    println!("{} hand-overs in {:?}", granted.len(), began.elapsed());
    assert_eq!(granted, std::mem::take(&mut in_order));
    assert!(waiters.is_quiet());
    queue.assert_empty_within(Duration::from_secs(5)).await;
}
