//! A server that is killed while a thousand wait there.

use std::time::{Duration, Instant};

use service_kit::testing::{eventually, postgres};

use crate::support::{Queue, Serving, Waiters, is_elsewhere, release, take};

/// For how long the places of a server are kept that is not heard of.
const GRACE: Duration = Duration::from_secs(4);

/// How long after the grace they may still be there.
const DROPPED_WITHIN: Duration = Duration::from_secs(2);

const ROUNDS: usize = 10;
const DYING_A_ROUND: usize = 100;
const STAYING_A_ROUND: usize = 2;
const DYING: usize = ROUNDS * DYING_A_ROUND;
const STAYING: usize = ROUNDS * STAYING_A_ROUND;

/// One in ten asks again.
fn asks_again(owner: &str) -> bool {
    owner.starts_with("dying") && owner.ends_with('3')
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_places_go_and_those_who_ask_again_keep_theirs() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--waiter-grace", "4s"];
    let mut dying = Serving::start(&flags).await;
    let staying = Serving::start(&flags).await;
    let held = take(&staying.locks(), "holder").await;
    let queue = Queue::of(database.url());
    let (mut there, mut here) = (Waiters::new(), Waiters::new());
    for round in 0..ROUNDS {
        let name = |number| format!("dying-{round}-{number:03}");
        let owners: Vec<_> = (0..DYING_A_ROUND).map(name).collect();
        there.ask_on_a_stream(&dying.locks(), &owners);
        queue.until(round * (DYING_A_ROUND + STAYING_A_ROUND) + DYING_A_ROUND).await;
        for number in 0..STAYING_A_ROUND {
            here.ask(&staying.locks(), &format!("staying-{round}-{number}"));
        }
        queue.until((round + 1) * (DYING_A_ROUND + STAYING_A_ROUND)).await;
    }
    let before = queue.places().await;
    assert_eq!(before.len(), DYING + STAYING);

    let killed = Instant::now();
    dying.process.kill();
    let mut again = Vec::new();
    for _ in 0..DYING {
        let (owner, answer) = there.answer().await;
        let status = answer.unwrap_err();
        assert!(is_elsewhere(&status), "{status:?}");
        again.extend(asks_again(&owner).then_some(owner));
    }
    // The last one first: the order is that of before all the same.
    again.sort();
    for owner in again.iter().rev() {
        here.ask(&staying.locks(), owner);
    }
    let home = before.iter().find(|place| place.owner_id.starts_with("staying")).unwrap();
    let home = home.servers[0].clone();
    let stay = STAYING + again.len();
    eventually("those who ask again are there", GRACE, async || {
        let places = queue.places().await;
        let count = places.iter().filter(|place| place.servers.contains(&home)).count();
        (count == stay).then_some(())
    })
    .await;
    assert!(killed.elapsed() < GRACE / 2, "too slow to be sure: {:?}", killed.elapsed());

    // The first in line is of the server that is gone. What it is granted goes
    // on when the grace is over.
    let servers = [staying.locks()];
    release(&servers[0], &held).await;
    let gone = async {
        let bound = (GRACE + DROPPED_WITHIN).saturating_sub(killed.elapsed());
        eventually("the places of the server that is gone are gone", bound, async || {
            (queue.count().await.0 <= i64::try_from(stay).unwrap()).then_some(())
        })
        .await;
        println!("gone after {:?}", killed.elapsed());
    };
    let (granted, ()) = tokio::join!(here.hand_through(&servers, stay), gone);
    let stays = |owner: &String| owner.starts_with("staying") || asks_again(owner);
    let expected: Vec<_> = before.into_iter().map(|place| place.owner_id).filter(stays).collect();
    assert_eq!(granted, expected);
    assert!(here.is_quiet());
    queue.assert_empty_within(Duration::from_secs(5)).await;
    println!("all done after {:?}", killed.elapsed());
}
