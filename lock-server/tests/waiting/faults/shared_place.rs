//! An owner waits at two servers, in one place, and gives one of its calls up
//! just as it is granted.

use std::time::Duration;

use service_kit::testing::postgres;

use crate::support::{Queue, Serving, Waiters, release, take, until_waiting};

/// So many times, for it is a matter of a moment.
const ROUNDS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_two_calls_is_not_there_to_take_the_other_takes() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let one = Serving::start(&flags).await;
    let other = Serving::start(&flags).await;
    let (stays, goes) = (one.locks(), other.locks());
    let queue = Queue::of(database.url());
    for round in 0..ROUNDS {
        let held = take(&goes, "holder").await;
        let mut waiters = Waiters::new();
        let call = waiters.ask(&goes, "owner");
        until_waiting(&stays, 1).await;
        let mut staying = Waiters::new();
        staying.ask(&stays, "owner");
        queue.until_at_servers("owner", 2).await;
        staying.ask(&stays, "next");
        until_waiting(&stays, 2).await;
        // Before, while or after the other server hands the lock on.
        let given_up = async {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(..4_000))).await;
            call.abort();
        };
        tokio::join!(release(&goes, &held), given_up);
        for expected in ["owner", "next"] {
            let (owner, lock) = staying.answer().await;
            assert_eq!(owner, expected, "round {round}: {lock:?}");
            release(&stays, &lock.unwrap()).await;
        }
        queue.assert_empty_within(Duration::from_secs(5)).await;
    }
}
