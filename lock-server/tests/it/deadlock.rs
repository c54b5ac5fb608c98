//! Owners who wait for each other: told at once, wherever they wait, and nobody
//! else is.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{eventually, postgres};
use tonic::{Code, Status};

use super::{
    support::{DEADLINE, Locks, Tables, client, failure, release, take},
    waiting::{Scene, get, line, until_waiting, wait_for, waiting},
};

/// What is promised of two who close a circle at the same moment, and a busy
/// machine.
const RACE: Duration = Duration::from_millis(1_000 + 1_000);

/// Who closes a circle alone is told by its own question.
const AT_ONCE: Duration = Duration::from_millis(1_000);

#[track_caller]
fn cycle(status: &Status) -> String {
    let details = failure(status, Code::FailedPrecondition, "DEADLOCK");
    details.error_info().unwrap().metadata["cycle"].clone()
}

fn plan(number: usize) -> String {
    format!("plan/{number}")
}

fn name(number: usize) -> String {
    format!("owner-{number}")
}

/// Each owner holds a plan of its own number.
async fn holders(locks: &Locks, count: usize) {
    for number in 0..count {
        take(locks, &plan(number), &name(number)).await;
    }
}

async fn release_all(locks: &Locks, count: usize) {
    for number in 0..count {
        let all = wire::ReleaseAllRequest { owner_id: name(number) };
        locks.clone().release_all(all).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_closes_a_circle_is_told_at_once_however_long_it_is() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        for size in [2, 3, 5, 12] {
            let what = format!("{}: {size}", scene.engine());
            holders(locks, size).await;
            let mut calls = Vec::new();
            for number in 0..size - 1 {
                let [call] = line(locks, &plan(number + 1), [name(number).as_str()]).await;
                calls.push(call);
            }
            let (answer, took) = waiting(locks, wait_for(&plan(0), &name(size - 1))).ended().await;
            let told = cycle(&answer.unwrap_err());
            assert!(took < AT_ONCE, "{what}: {took:?}");
            let last = name(size - 1);
            let mut wanted = format!("{last} → plan/0 → ");
            for number in 0..size - 1 {
                wanted += &format!("{} → {} → ", name(number), plan(number + 1));
            }
            assert_eq!(told, wanted + &last, "{what}");
            assert_eq!(get(locks, &plan(0)).await.unwrap().queue_length, 0, "{what}");
            // The others are granted one after the other, once it gives back.
            for (number, call) in calls.into_iter().enumerate().rev() {
                assert!(!call.is_answered(), "{what}: {number}");
                let held = plan(number + 1);
                locks.clone().release(release(&held, &name(number + 1))).await.unwrap();
                call.granted().await;
            }
            release_all(locks, size).await;
        }
    })
    .await;
}

/// Two closing waits that do not see each other: at least one is told within 1 s,
/// and the other goes on.
async fn races(what: &str, one: &Locks, other: &Locks) {
    const ROUNDS: usize = 20;
    for round in 0..ROUNDS {
        let what = format!("{what}, round {round}");
        holders(one, 2).await;
        let calls = [
            waiting(one, wait_for(&plan(1), &name(0))),
            waiting(other, wait_for(&plan(0), &name(1))),
        ];
        let began = Instant::now();
        eventually(&format!("{what}: one is told"), DEADLINE, async || {
            calls.iter().any(super::waiting::Waiting::is_answered).then_some(())
        })
        .await;
        assert!(began.elapsed() < RACE, "{what}: {:?}", began.elapsed());
        let [first, second] = calls;
        let (told, refused, goes_on) =
            if first.is_answered() { (first, 0, second) } else { (second, 1, first) };
        let told = cycle(&told.refused().await);
        let (me, they) = (name(refused), name(1 - refused));
        let wanted = format!("{me} → {} → {they} → {} → {me}", plan(1 - refused), plan(refused));
        assert_eq!(told, wanted, "{what}");
        let all = wire::ReleaseAllRequest { owner_id: me };
        one.clone().release_all(all).await.unwrap();
        assert_eq!(goes_on.granted().await.owner_id, they, "{what}");
        release_all(one, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_close_a_circle_at_once_one_is_told() {
    Scene::on_each_store(&[], async |scene| {
        races(scene.engine(), &scene.locks, &scene.locks).await;
    })
    .await;
}

/// On connections of their own, so that neither waits for the other on the way.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_close_a_circle_at_once_at_two_servers_one_is_told() {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    let scene = Scene::of(Tables::Postgres(database), &[]).await;
    let other = TestServer::start(&["--database-url", &url]).await;
    races("two servers", &scene.locks, &client(&other.url())).await;
    other.stop().await;
    scene.end().await;
}

/// Each takes the plan on its one side and then the one on its other side, all at
/// the same moment, again and again. Who is told gives back what it has: then one
/// more has both, so it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn who_sit_around_a_table_all_have_their_turns() {
    const OWNERS: usize = 5;
    const TURNS: usize = 12;
    Scene::on_each_store(&[], async |scene| {
        let owners = (0..OWNERS).map(|number| {
            let (mut locks, engine) = (scene.locks.clone(), scene.engine());
            tokio::spawn(async move {
                let mut turns = 0;
                while turns < TURNS {
                    let mut all_granted = true;
                    for side in [number, (number + 1) % OWNERS] {
                        let call = waiting(&locks, wait_for(&plan(side), &name(number)));
                        if let Err(status) = call.ended().await.0 {
                            let circle = cycle(&status);
                            assert!(circle.starts_with(&name(number)), "{engine}: {circle}");
                            all_granted = false;
                        }
                    }
                    let all = wire::ReleaseAllRequest { owner_id: name(number) };
                    let ended = locks.release_all(all).await.unwrap().into_inner();
                    assert_eq!(ended.released_count, 1 + u64::from(all_granted), "{engine}");
                    turns += usize::from(all_granted);
                }
            })
        });
        for ended in join_all(owners).await {
            ended.unwrap();
        }
    })
    .await;
}

/// A line is no circle, nor is a fan, nor are many who wait for the same two.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_who_is_in_no_circle() {
    const MANY: usize = 12;
    Scene::on_each_store(&[], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        // Everybody waits for what all before it hold.
        holders(locks, MANY).await;
        let mut calls = Vec::new();
        for number in 0..MANY {
            for before in 0..number {
                calls.push(waiting(locks, wait_for(&plan(before), &name(number))));
            }
        }
        for number in 0..MANY {
            until_waiting(locks, &plan(number), (MANY - 1 - number) as u64).await;
        }
        // Whoever looks has looked by then: it finds who does close a circle.
        take(locks, "other/0", "other-0").await;
        take(locks, "other/1", "other-1").await;
        let [_waits] = line(locks, "other/1", ["other-0"]).await;
        let status = waiting(locks, wait_for("other/0", "other-1")).refused().await;
        assert_eq!(cycle(&status), "other-1 → other/0 → other-0 → other/1 → other-1");
        assert!(calls.iter().all(|call| !call.is_answered()), "{engine}");
    })
    .await;
}

/// A wait in vain closes nothing: who has left the line is not in the circle.
#[tokio::test]
async fn who_has_left_closes_no_circle() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        holders(locks, 2).await;
        for _ in 0..10 {
            let [gone] = line(locks, &plan(1), [name(0).as_str()]).await;
            drop(gone);
            until_waiting(locks, &plan(1), 0).await;
            let short = wire::AcquireRequest {
                wait: super::support::span(0, 20_000_000),
                ..wait_for(&plan(0), &name(1))
            };
            let status = waiting(locks, short).refused().await;
            failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
        }
    })
    .await;
}

/// Renewed by its owner, a hold is in the circle still; broken, it is not.
#[tokio::test]
async fn a_circle_that_is_broken_by_hand_is_none() {
    Scene::on_each_store(&[], async |scene| {
        let mut locks = scene.locks.clone();
        let held = take(&locks, "plan/1", "ann").await;
        take(&locks, "plan/2", "bea").await;
        let [bea] = line(&locks, "plan/1", ["bea"]).await;
        locks.force_release(super::support::force(&held, "stuck")).await.unwrap();
        bea.granted().await;
        // Ann holds nothing any more.
        let [ann] = line(&locks, "plan/2", ["ann"]).await;
        let [again] = line(&locks, "plan/1", ["ann"]).await;
        locks.release(release("plan/2", "bea")).await.unwrap();
        ann.granted().await;
        locks.release(release("plan/1", "bea")).await.unwrap();
        again.granted().await;
    })
    .await;
}
