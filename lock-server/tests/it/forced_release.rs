//! A hold that an operator breaks: while others use it, with input past every
//! limit, and when the database does not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{eventually, postgres};
use tonic::{Code, Status};

use super::{
    row_locked::{Forgotten, until_waiting},
    support::{
        DEADLINE, Locks, assert_serves, client, events, failure, force, keep_alive, lease,
        on_each_store, release, renew, resource, take, wrong, wrong_fields,
    },
};

#[track_caller]
fn assert_broken(status: &Status, reason: &str) {
    let details = failure(status, Code::Aborted, "LOCK_NOT_HELD");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["released_by"], "127.0.0.1", "{status:?}");
    assert_eq!(metadata["release_reason"], reason, "{status:?}");
}

async fn get(locks: &Locks, name: &str) -> Result<wire::Lock, Status> {
    let get = wire::GetLockRequest { resource: resource(name) };
    locks.clone().get_lock(get).await.map(|response| response.into_inner().lock.unwrap())
}

/// Of each that renews while the hold is broken the first renewal that fails
/// says why, and none brings the lease back.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_broken_while_many_renew_it() {
    on_each_store(&[], async |engine, mut locks| {
        let lock = take(&locks, "plan/42", "alice").await;
        let renewed = Arc::new(AtomicUsize::new(0));
        let renewals: Vec<_> = (0..8)
            .map(|_| {
                let (mut locks, lock, renewed) = (locks.clone(), lock.clone(), renewed.clone());
                tokio::spawn(async move {
                    loop {
                        match locks.renew(renew(&lock)).await {
                            Ok(_) => renewed.fetch_add(1, Ordering::Relaxed),
                            Err(status) => break status,
                        };
                    }
                })
            })
            .collect();
        eventually("renewals are under way", DEADLINE, async || {
            (renewed.load(Ordering::Relaxed) > 100).then_some(())
        })
        .await;
        locks.force_release(force(&lock, "stuck")).await.unwrap();
        let free = get(&locks, "plan/42").await.unwrap_err();
        failure(&free, Code::NotFound, "LOCK_NOT_FOUND");
        for ended in join_all(renewals).await {
            assert_broken(&ended.unwrap(), "stuck");
        }
        let free = get(&locks, "plan/42").await.unwrap_err();
        failure(&free, Code::NotFound, "LOCK_NOT_FOUND");
        assert_eq!(events(&locks).await.len(), 1, "{engine}");
    })
    .await;
}

/// Whatever the race, each grant is broken by at most one, and the tokens tell
/// which one it was.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_breaks_a_hold_that_came_after_the_one_that_was_seen() {
    const ROUNDS: usize = 30;
    on_each_store(&[], async |engine, locks| {
        for round in 0..ROUNDS {
            let name = format!("plan/{round}");
            let seen = take(&locks, &name, "alice").await;
            let give_back = wire::ReleaseRequest {
                resource: seen.resource.clone(),
                owner_id: "alice".into(),
                fencing_token: Some(seen.fencing_token),
            };
            let (mut operator, mut holder, next) = (locks.clone(), locks.clone(), locks.clone());
            let (broken, _, taken) = tokio::join!(
                operator.force_release(force(&seen, "stuck")),
                holder.release(give_back),
                async {
                    eventually("the next owner has it", DEADLINE, async || {
                        let request = super::support::acquire(&name, "bob");
                        let granted = next.clone().acquire(request).await.ok()?;
                        granted.into_inner().lock
                    })
                    .await
                },
            );
            let now = get(&locks, &name).await.unwrap();
            assert_eq!(now.fencing_token, taken.fencing_token, "{engine}: {name}");
            match broken {
                Ok(broken) => assert_eq!(broken.into_inner().lock.unwrap().owner_id, "alice"),
                Err(status) => {
                    let free = status.code() == Code::NotFound;
                    let reason = if free { "LOCK_NOT_FOUND" } else { "LOCK_NOT_HELD" };
                    failure(&status, status.code(), reason);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn each_field_that_is_wrong_says_what_would_be_right() {
    let server = TestServer::start(&[]).await;
    let mut locks = client(&server.url());
    let lock = take(&locks, "plan/42", "alice").await;
    for (reason, words) in [
        (String::new(), ["empty", "512"]),
        ("x".repeat(513), ["513 bytes", "512"]),
        ("🔒".repeat(129), ["516 bytes", "512"]),
        ("one\ntwo".into(), ["U+000A", "control"]),
        ("\0".into(), ["U+0000", "control"]),
        ("\u{9f}".into(), ["U+009F", "control"]),
    ] {
        let status = locks.force_release(force(&lock, &reason)).await.unwrap_err();
        assert_eq!(wrong(&status), ["reason"], "{reason:?}");
        let said = &wrong_fields(&status)[0].1;
        assert!(words.iter().all(|word| said.contains(word)), "{reason:?}: {said}");
        assert_serves(&mut locks).await;
    }
    let no_token = wire::ForceReleaseRequest { fencing_token: 0, ..force(&lock, "stuck") };
    assert_eq!(wrong(&locks.force_release(no_token).await.unwrap_err()), ["fencing_token"]);
    let nothing = wire::ForceReleaseRequest {
        resource: Some(wire::Resource::default()),
        ..Default::default()
    };
    let status = locks.force_release(nothing).await.unwrap_err();
    assert_eq!(wrong(&status), ["fencing_token", "reason", "resource.id", "resource.type"]);
    assert_eq!(get(&locks, "plan/42").await.unwrap().fencing_token, lock.fencing_token);
    assert_eq!(events(&locks).await, [], "bad input is no refusal to be written down");
}

/// Whatever else is in it, it is just a reason, and comes back as it was.
#[tokio::test]
async fn a_reason_is_kept_as_it_was_said() {
    on_each_store(&[], async |engine, mut locks| {
        for reason in [
            "it's",
            "'; DROP TABLE lock_events; --",
            "$1 ? :a @b %s {}",
            "back\\slash \"quoted\"",
            "שלום \u{202e}right to left",
            "👩‍💻 🔒",
            " ",
            &"é".repeat(256),
            &"x".repeat(512),
        ] {
            let lock = take(&locks, "plan/42", "alice").await;
            locks.force_release(force(&lock, reason)).await.unwrap();
            assert_eq!(events(&locks).await[0].reason, reason, "{engine}");
            assert_broken(&locks.renew(renew(&lock)).await.unwrap_err(), reason);
            let request = wire::KeepAliveRequest { leases: vec![lease(&lock)], ttl: None };
            let answer = keep_alive(&mut locks, request).await.unwrap();
            let Some(wire::keep_alive_result::Outcome::Lost(lost)) = &answer.results[0].outcome
            else {
                panic!("{engine}: {answer:?}");
            };
            assert_eq!(lost.release_reason, reason, "{engine}");
            assert_eq!(lost.released_by, "127.0.0.1", "{engine}");
        }
    })
    .await;
}

/// Of a lock that nobody broke the loss has no name.
#[tokio::test]
async fn an_ordinary_loss_names_nobody() {
    on_each_store(&[], async |engine, mut locks| {
        let lock = take(&locks, "plan/42", "alice").await;
        locks.release(release("plan/42", "alice")).await.unwrap();
        let status = locks.renew(renew(&lock)).await.unwrap_err();
        let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
        let metadata = &details.error_info().unwrap().metadata;
        assert!(!metadata.keys().any(|key| key.starts_with("release")), "{engine}: {metadata:?}");
        assert!(!status.message().contains("force"), "{engine}: {status:?}");
        let request = wire::KeepAliveRequest { leases: vec![lease(&lock)], ttl: None };
        let answer = keep_alive(&mut locks, request).await.unwrap();
        let Some(wire::keep_alive_result::Outcome::Lost(lost)) = &answer.results[0].outcome else {
            panic!("{engine}: {answer:?}");
        };
        assert_eq!((&*lost.released_by, &*lost.release_reason), ("", ""), "{engine}");
    })
    .await;
}

/// Somebody has the row in `psql`. The operator is told in time that nothing is
/// known; what is known afterwards is all or nothing.
#[tokio::test]
async fn a_row_that_somebody_has_locked_keeps_the_operator_waiting_in_time_only() {
    const LATEST: Duration = Duration::from_millis(2_500);
    let database = postgres::database().await;
    let flags = ["--database-url", database.url(), "--store-timeout", "500ms"];
    let server = TestServer::start(&flags).await;
    let mut locks = client(&server.url());
    let lock = take(&locks, "plan/42", "alice").await;
    let forgotten = Forgotten::with(database.url(), "42").await;
    let asked = Instant::now();
    let status = locks.force_release(force(&lock, "stuck")).await.unwrap_err();
    failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    assert!(asked.elapsed() < LATEST, "{:?}", asked.elapsed());
    assert_serves(&mut locks).await;

    forgotten.remembered().await;
    until_waiting(database.url(), 0).await;
    let events = events(&locks).await;
    match get(&locks, "plan/42").await {
        Ok(now) => {
            assert_eq!(now.fencing_token, lock.fencing_token);
            assert_eq!(events, [], "nothing was broken");
            locks.force_release(force(&lock, "stuck")).await.unwrap();
        }
        Err(free) => {
            failure(&free, Code::NotFound, "LOCK_NOT_FOUND");
            assert_eq!(events.len(), 1, "{events:?}");
        }
    }
    assert_broken(&locks.renew(renew(&lock)).await.unwrap_err(), "stuck");
}
