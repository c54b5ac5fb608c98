//! The store away, or more commands than may wait: each command is told, in
//! time, and the stream goes on.

use std::time::{Duration, Instant};

use lock_server::testing::TestServer;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use service_kit::testing::eventually;
use tonic::Code;

use crate::{
    limits::assert_overloaded,
    support::{
        DEADLINE, OpenSession, Proxied, acquire, assert_serves, client, failure, lease, lock_of,
        refusal, release, renew,
    },
};

/// What the server allows its database, and what a busy machine takes.
const LATEST: Duration = Duration::from_millis(2_500);

/// Every kind of command, on locks that were taken before.
async fn all_kinds(session: &mut OpenSession, held: &wire::Lock) -> usize {
    let leases = wire::KeepAliveRequest { leases: vec![lease(held)], ttl: None };
    let commands = [
        Asked::Acquire(acquire("plan/other", "me")),
        Asked::Renew(renew(held)),
        Asked::Release(release("plan/never", "me")),
        Asked::KeepAlive(leases),
    ];
    let count = commands.len();
    for command in commands {
        session.send(command).await;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_each_command_is_told_in_time() {
    for cut in [false, true] {
        let database = Proxied::start().await;
        let flags = ["--database-url", &database.url, "--store-timeout", "500ms"];
        let server = TestServer::start(&flags).await;
        let locks = client(&server.url());
        let mut session = OpenSession::open(&locks).await;
        let held = session.ask(Asked::Acquire(acquire("plan/42", "me"))).await;
        let held = lock_of(&held).clone();

        if cut {
            database.proxy.cut().await;
        } else {
            database.proxy.stall().await;
        }
        for _ in 0..3 {
            let started = Instant::now();
            let mut count = all_kinds(&mut session, &held).await;
            for at in 0..200 {
                session.send(Asked::Acquire(acquire(&format!("plan/{at}"), "me"))).await;
                count += 1;
            }
            for outcome in session.answers(count).await.into_values() {
                let status = refusal(&outcome);
                let details = failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
                let retry = details.retry_info().unwrap().retry_delay.unwrap();
                assert!(!retry.is_zero(), "cut: {cut}: {status:?}");
            }
            assert!(started.elapsed() < LATEST, "cut: {cut}: {:?}", started.elapsed());
        }

        database.proxy.resume().await;
        let again = eventually("the same stream works again", DEADLINE, async || {
            let outcome = session.ask(Asked::Renew(renew(&held))).await;
            matches!(outcome, Answered::Renew(_)).then_some(outcome)
        })
        .await;
        assert_eq!(lock_of(&again).fencing_token, held.fencing_token);
        let count = all_kinds(&mut session, &held).await;
        for outcome in session.answers(count).await.into_values() {
            assert!(!matches!(outcome, Answered::Error(_)), "cut: {cut}: {outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_queue_each_command_is_told_to_come_back() {
    const PLACES: usize = 4;
    const ASKED: u64 = 20;
    let database = Proxied::start().await;
    let flags = ["--database-url", &database.url, "--store-timeout", "20s", "--max-queue", "4"];
    let server = TestServer::start(&flags).await;
    let locks = client(&server.url());
    let mut session = OpenSession::open(&locks).await;
    let held = session.ask(Asked::Acquire(acquire("plan/42", "me"))).await;
    let held = lock_of(&held).clone();
    database.proxy.stall().await;

    let mut ids = Vec::new();
    for id in 0..ASKED {
        ids.push(session.send(Asked::Acquire(acquire(&format!("plan/{id}"), "me"))).await);
    }
    let refused = session.answers(ids.len() - PLACES).await;
    refused.values().for_each(|outcome| assert_overloaded(&refusal(outcome)));
    let first: Vec<_> = ids.iter().filter(|id| !refused.contains_key(id)).copied().collect();
    assert_eq!(first, ids[..PLACES], "those who came first have the places");
    // All kinds are, and the calls beside the stream.
    let leases = wire::KeepAliveRequest { leases: vec![lease(&held)], ttl: None };
    for command in [
        Asked::Renew(renew(&held)),
        Asked::Release(release("plan/42", "me")),
        Asked::KeepAlive(leases),
    ] {
        assert_overloaded(&refusal(&session.ask(command).await));
    }
    assert_overloaded(&locks.clone().acquire(acquire("plan/call", "me")).await.unwrap_err());

    database.proxy.resume().await;
    for (id, outcome) in session.answers(PLACES).await {
        assert_eq!(lock_of(&outcome).owner_id, "me", "{id}");
    }
    let renewed = session.ask(Asked::Renew(renew(&held))).await;
    assert_eq!(lock_of(&renewed).fencing_token, held.fencing_token);
    assert_serves(&mut locks.clone()).await;
}
