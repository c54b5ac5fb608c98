//! A server that cannot listen hears of its grants all the same.

use std::time::Duration;

use service_kit::testing::{TcpProxy, eventually, postgres};

use super::pooler::{HANDED_OVER_WITHIN, hand_over};
use crate::support::{DEADLINE, Queue, Serving};

const ROUNDS: usize = 6;

#[tokio::test]
async fn a_lock_goes_to_another_server_while_the_listeners_are_cut() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let one = Serving::start(&flags).await;
    let other = Serving::start(&flags).await;
    let servers = [one.locks(), other.locks()];
    let queue = Queue::of(database.url());
    for round in 0..ROUNDS {
        let took = hand_over(&servers, round, async || {
            eventually("somebody listens", DEADLINE, async || {
                (queue.cut_listeners().await > 0).then_some(())
            })
            .await;
        })
        .await;
        assert!(took < HANDED_OVER_WITHIN, "round {round}: {took:?}");
    }
    queue.assert_empty_within(Duration::from_secs(5)).await;
}

/// The connection is there, and nothing comes over it.
#[tokio::test]
async fn a_lock_goes_to_another_server_while_the_listeners_hear_nothing() {
    let database = postgres::database().await;
    let (_, place) = database.url().split_once('@').unwrap();
    let (address, name) = place.split_once('/').unwrap();
    let proxy = TcpProxy::start(address.parse().unwrap()).await;
    let deaf = format!("postgres://postgres@{}/{name}", proxy.address());
    let flags = ["--database-url", database.url(), "--database-listen-url", &deaf];
    let one = Serving::start(&flags).await;
    let other = Serving::start(&flags).await;
    let servers = [one.locks(), other.locks()];
    // They listen, and then they do not.
    hand_over(&servers, 0, async || {}).await;
    proxy.stall().await;
    for round in 0..ROUNDS {
        let took = hand_over(&servers, round, async || {}).await;
        assert!(took < HANDED_OVER_WITHIN, "round {round}: {took:?}");
    }
    proxy.resume().await;
    Queue::of(database.url()).assert_empty_within(Duration::from_secs(5)).await;
}
