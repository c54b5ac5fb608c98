//! The only server there is, on a file: it is killed or stopped, started again,
//! and those who ask again have their old places.

use service_kit::testing::{Signal, free_port};
use tonic::Code;

use crate::support::{
    DEADLINE, Serving, Waiters, failure, is_elsewhere, queue_length, release, take, until_waiting,
};

const WAITERS: u64 = 50;

/// How the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

async fn places_outlive_a_server_that_is(end: End) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/locks.db", folder.path().display());
    let listen = format!("127.0.0.1:{}", free_port());
    let flags = ["--database-url", &url, "--listen", &listen];
    let mut server = Serving::start(&flags).await;
    let locks = server.locks();
    let held = take(&locks, "holder").await;
    let mut waiters = Waiters::new();
    let mut in_order = Vec::new();
    for number in 0..WAITERS {
        let owner = format!("waiter-{number:02}");
        if number % 2 == 0 {
            waiters.ask(&locks, &owner);
        } else {
            waiters.ask_on_a_stream(&locks, std::slice::from_ref(&owner));
        }
        until_waiting(&locks, number + 1).await;
        in_order.push(owner);
    }
    match end {
        End::Killed => server.process.kill(),
        End::Stopped => server.process.signal(Signal::SIGTERM),
    }
    for _ in 0..WAITERS {
        let (_, answer) = waiters.answer().await;
        let status = answer.unwrap_err();
        match end {
            End::Killed => assert!(is_elsewhere(&status), "{status:?}"),
            End::Stopped => {
                failure(&status, Code::Unavailable, "SHUTTING_DOWN");
            }
        }
    }
    if end == End::Stopped {
        server.assert_ends_well(DEADLINE).await;
    }
    let server = Serving::start(&flags).await;
    let locks = server.locks();
    // A newcomer is before all of them, and the last one is the first. Whoever
    // has not asked again yet when its turn comes is granted and waited for.
    waiters.ask(&locks, "newcomer");
    until_waiting(&locks, WAITERS + 1).await;
    for owner in in_order.iter().rev() {
        waiters.ask(&locks, owner);
    }
    in_order.push("newcomer".to_owned());
    release(&locks, &held).await;
    let granted = waiters.hand_through(std::slice::from_ref(&locks), in_order.len()).await;
    assert_eq!(granted, in_order);
    let held = take(&locks, "last").await;
    assert_eq!(queue_length(&locks).await, 0);
    release(&locks, &held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_outlive_a_server_that_is_killed() {
    places_outlive_a_server_that_is(End::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_outlive_a_server_that_is_stopped() {
    places_outlive_a_server_that_is(End::Stopped).await;
}
