//! How much waiting there may be.

use futures::future::join_all;
use proto::lock::v1 as wire;
use tonic::{Code, Status};

use super::scene::{Scene, get, line, until_waiting, wait_for, waiting};
use crate::support::{acquire, assert_serves, failure, release, span, take, wrong_fields};

#[track_caller]
fn assert_full(status: &Status, flag: &str, value: &str) {
    let details = failure(status, Code::ResourceExhausted, "OVERLOADED");
    assert!(!details.retry_info().unwrap().retry_delay.unwrap().is_zero(), "{status:?}");
    let quota = &details.quota_failure().unwrap().violations;
    assert_eq!(quota.len(), 1, "{status:?}");
    assert_eq!(quota[0].subject, flag, "{status:?}");
    assert!(quota[0].description.contains(flag), "{status:?}");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["limit"].as_str(), metadata["limit_value"].as_str()), (flag, value));
    assert!(status.message().contains(flag) && status.message().contains(value), "{status:?}");
}

/// Of many who come at once as many wait as may, and the others are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_is_never_longer_and_has_room_again() {
    Scene::on_each_store(&["--max-waiters-per-resource", "5"], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        take(locks, "plan/42", "holder").await;
        for _round in 0..3 {
            let calls: Vec<_> = (0..20)
                .map(|number| waiting(locks, wait_for("plan/42", &format!("owner-{number}"))))
                .collect();
            service_kit::testing::eventually(
                "15 are refused",
                crate::support::DEADLINE,
                async || {
                    (calls.iter().filter(|call| call.is_answered()).count() == 15).then_some(())
                },
            )
            .await;
            assert_eq!(get(locks, "plan/42").await.unwrap().queue_length, 5, "{engine}");
            assert_eq!(scene.places().await, (5, 1), "{engine}");
            let (refused, still): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(super::scene::Waiting::is_answered);
            for call in refused {
                assert_full(&call.refused().await, "--max-waiters-per-resource", "5");
            }
            // It is no bound for who does not wait, nor of other resources.
            let status = locks.clone().acquire(acquire("plan/42", "newcomer")).await.unwrap_err();
            failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
            assert_serves(&mut locks.clone()).await;
            drop(still);
            until_waiting(locks, "plan/42", 0).await;
        }
    })
    .await;
}

/// Whatever they wait for, and whatever became of those before.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_has_room_again_however_a_wait_ends() {
    Scene::on_each_store(&["--max-waiters", "4"], async |scene| {
        let locks = &scene.locks;
        for (round, name) in ["plan/1", "plan/2", "plan/3"].into_iter().enumerate() {
            let held = take(locks, name, "holder").await;
            let other = format!("other/{round}");
            take(locks, &other, "holder").await;
            let [granted, gone, cancelled] =
                line(locks, name, ["granted", "gone", "gives-up"]).await;
            let short =
                wire::AcquireRequest { wait: span(0, 1_000_000), ..wait_for(&other, "short") };
            let status = waiting(locks, short).refused().await;
            failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
            let [last] = line(locks, &other, ["last"]).await;
            let status = waiting(locks, wait_for(&other, "too-many")).refused().await;
            assert_full(&status, "--max-waiters", "4");
            // It is no bound for who does not wait, nor for who need not.
            assert_serves(&mut locks.clone()).await;
            drop((gone, last));
            until_waiting(locks, &other, 0).await;
            until_waiting(locks, name, 2).await;
            let all = wire::ReleaseAllRequest { owner_id: "gives-up".into() };
            locks.clone().release_all(all).await.unwrap();
            failure(&cancelled.refused().await, Code::Aborted, "WAIT_CANCELLED");
            locks.clone().release(release(name, "holder")).await.unwrap();
            let lock = granted.granted().await;
            assert!(lock.fencing_token > held.fencing_token);
        }
    })
    .await;
}

/// With 0s nobody may wait; one may still say so.
#[tokio::test]
async fn the_longest_wait_is_bounded_and_said() {
    Scene::on_each_store(&["--max-wait", "90s"], async |scene| {
        let locks = &scene.locks;
        take(locks, "plan/42", "holder").await;
        for (wait, words) in [
            (span(90, 1_000), &["1m 30s 1us", "at most 1m 30s", "--max-wait"][..]),
            (span(91, 0), &["1m 31s", "at most 1m 30s", "--max-wait"]),
            (span(3_600, 0), &["--max-wait"]),
            (span(i64::MAX, 0), &[]),
            (span(-1, 0), &["negative"]),
            (span(0, -1), &["negative"]),
            (span(1, -1), &[]),
            (span(1, 1_000_000_000), &[]),
            (span(i64::MIN, i32::MIN), &[]),
        ] {
            let asked = wire::AcquireRequest { wait, ..acquire("plan/42", "me") };
            let status = locks.clone().acquire(asked).await.unwrap_err();
            let fields = wrong_fields(&status);
            assert_eq!(fields.len(), 1, "{wait:?}: {fields:?}");
            assert_eq!(fields[0].0, "wait", "{wait:?}");
            for word in words {
                assert!(fields[0].1.contains(word), "{wait:?}: {word} is not in {:?}", fields[0]);
            }
        }
    })
    .await;
    Scene::on_each_store(&["--max-wait", "0s"], async |scene| {
        let locks = &scene.locks;
        take(locks, "plan/42", "holder").await;
        for (wait, is_right) in [(None, true), (span(0, 0), true), (span(0, 1_000), false)] {
            let asked = wire::AcquireRequest { wait, ..acquire("plan/42", "me") };
            let status = locks.clone().acquire(asked).await.unwrap_err();
            if is_right {
                failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
            } else {
                assert_eq!(wrong_fields(&status)[0].0, "wait");
            }
        }
    })
    .await;
}

/// They have no share of the bound of requests, however many they are, and
/// neither have those who are handed the lock.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_takes_no_place_of_the_queue() {
    const MANY: usize = 40;
    Scene::on_each_store(&["--max-queue", "4"], async |scene| {
        let locks = &scene.locks;
        let mut held = take(locks, "plan/42", "holder").await;
        let mut in_line = Vec::new();
        for number in 0..MANY {
            let owner = format!("owner-{number}");
            let [call] = line(locks, "plan/42", [owner.as_str()]).await;
            in_line.push(call);
        }
        assert_serves(&mut locks.clone()).await;
        for call in in_line {
            locks.clone().release(release("plan/42", &held.owner_id)).await.unwrap();
            held = call.granted().await;
            assert_serves(&mut locks.clone()).await;
        }
        let pairs = join_all((0..3).map(|_| get(locks, "plan/42"))).await;
        assert!(pairs.iter().all(Result::is_ok), "{pairs:?}");
    })
    .await;
}
