//! A server that is asked to stop sends its waiters elsewhere, where they have
//! the places that they had.

use std::time::{Duration, Instant};

use service_kit::testing::{Signal, eventually, postgres};
use tonic::Code;

use crate::support::{DEADLINE, Place, Queue, Serving, Waiters, failure, release, take};

/// "At once", on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_at_a_server_that_stops_keep_their_places() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let mut stopping = Serving::start(&flags).await;
    let staying = Serving::start(&flags).await;
    let locks = stopping.locks();
    let held = take(&staying.locks(), "holder").await;
    let queue = Queue::of(database.url());
    let (mut there, mut here) = (Waiters::new(), Waiters::new());
    for round in 0..10 {
        there.ask(&locks, &format!("{round}-call"));
        here.ask(&staying.locks(), &format!("{round}-stays"));
        let on_a_stream = [format!("{round}-stream"), format!("{round}-stream-too")];
        there.ask_on_a_stream(&locks, &on_a_stream);
        queue.until((round + 1) * 4).await;
    }
    let before = queue.places().await;

    let stopped = Instant::now();
    stopping.process.signal(Signal::SIGTERM);
    let mut again = Vec::new();
    for _ in 0..30 {
        let (owner, answer) = there.answer().await;
        failure(&answer.unwrap_err(), Code::Unavailable, "SHUTTING_DOWN");
        again.push(owner);
    }
    assert!(stopped.elapsed() < TOLD_WITHIN, "{:?}", stopped.elapsed());
    again.sort();
    for owner in again.iter().rev() {
        here.ask(&staying.locks(), owner);
    }
    stopping.assert_ends_well(DEADLINE).await;
    let home = before.iter().find(|place| place.owner_id.ends_with("stays")).unwrap();
    let home = home.servers[0].clone();
    let after = eventually("all wait at the other server", DEADLINE, async || {
        let places = queue.places().await;
        places.iter().all(|place| place.servers.contains(&home)).then_some(places)
    })
    .await;
    let order = |places: &[Place]| -> Vec<(i64, String)> {
        places.iter().map(|place| (place.place, place.owner_id.clone())).collect()
    };
    assert_eq!(order(&after), order(&before));

    let servers = [staying.locks()];
    release(&servers[0], &held).await;
    let granted = here.hand_through(&servers, 40).await;
    let expected: Vec<_> = before.into_iter().map(|place| place.owner_id).collect();
    assert_eq!(granted, expected);
    queue.assert_empty_within(Duration::from_secs(5)).await;
}
