//! Postgres is killed and started again under those who wait.

use std::time::Duration;

use service_kit::testing::PostgresServer;

use crate::support::{Queue, Serving, Waiters, release_at_any, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_keeps_the_line() {
    let postgres = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let database = postgres.database().await;
    let flags = ["--database-url", database.url()];
    let one = Serving::start(&flags).await;
    let other = Serving::start(&flags).await;
    let servers = [one.locks(), other.locks()];
    let held = take(&servers[0], "holder").await;
    let queue = Queue::of(database.url());
    let mut waiters = Waiters::new();
    for round in 0..10 {
        for number in 0..10 {
            waiters.ask(&servers[number % 2], &format!("{round}-call-{number}"));
        }
        let owners: Vec<_> = (0..10).map(|number| format!("{round}-stream-{number}")).collect();
        waiters.ask_on_a_stream(&servers[round % 2], &owners);
        queue.until((round + 1) * 20).await;
    }
    let in_order = queue.owners().await;
    assert_eq!(in_order.len(), 200);
    tokio::task::block_in_place(|| postgres.restart());
    release_at_any(&servers, &held).await;
    // Whoever is told that the database is away asks again.
    let granted = waiters.hand_through(&servers, 200).await;
    assert_eq!(granted, in_order);
    assert!(waiters.is_quiet());
    queue.assert_empty_within(Duration::from_secs(5)).await;
}
