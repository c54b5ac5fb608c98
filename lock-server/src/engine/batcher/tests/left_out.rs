//! Commands that the store left out, because somebody else has locked their row.

use super::scene::{Scene, batching};
use crate::store::StoreError;

#[tokio::test]
async fn it_is_carried_out_alone_while_others_go_on() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(1, mixed, usize::MAX));
        let (busy, _first) = scene.busy().await;
        let [before, stuck, after] = scene.ask_all(["renew a", "renew b", "renew c"]);
        busy.answer();
        scene.call(&["renew a", "renew b", "renew c"]).await.leave_out(&["renew b"]);
        let alone = scene.call_alone("renew b").await;
        before.expect_answer().await;
        after.expect_answer().await;
        for _ in 0..3 {
            let other = scene.ask("renew d");
            scene.call(&["renew d"]).await.answer();
            other.expect_answer().await;
        }
        assert!(!stuck.has_answer());
        alone.answer();
        stuck.expect_answer().await;
        scene.is_clean().await;
    }
}

#[tokio::test]
async fn several_are_carried_out_beside_each_other() {
    let mut scene = Scene::simple();
    let (busy, _first) = scene.busy().await;
    let [one, two] = scene.ask_all(["renew a", "renew b"]);
    busy.answer();
    scene.call(&["renew a", "renew b"]).await.leave_out(&["renew a", "renew b"]);
    let alone = scene.call_alone("renew a").await;
    scene.call_alone("renew b").await.answer();
    two.expect_answer().await;
    alone.answer();
    one.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn those_behind_it_wait_for_it_in_their_order() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(2, mixed, usize::MAX));
        let (busy, _first) = scene.busy().await;
        let also = scene.ask("renew also");
        let also_busy = scene.call(&["renew also"]).await;
        let came_along = scene.ask_all(["renew a 1", "renew a 2", "renew a 3"]);
        busy.answer();
        let batch = scene.call(&["renew a 1", "renew a 2", "renew a 3"]).await;
        also_busy.answer();
        also.expect_answer().await;
        let came_later = scene.ask_all(["renew a 4", "renew a 5"]);
        // The first one was carried out; the row was locked after that.
        batch.leave_out(&["renew a 2", "renew a 3"]);
        let alone = scene.call_alone("renew a 2").await;
        scene.no_call().await;
        let last = scene.ask("renew a 6");
        scene.no_call().await;
        alone.answer();
        scene.call(&["renew a 3", "renew a 4", "renew a 5", "renew a 6"]).await.answer();
        for caller in came_along.into_iter().chain(came_later).chain([last]) {
            caller.expect_answer().await;
        }
        scene.is_clean().await;
    }
}

#[tokio::test]
async fn what_is_left_out_again_is_carried_out_alone_again() {
    let mut scene = Scene::simple();
    let callers = scene.ask_all(["renew a 1", "renew a 2", "renew a 3"]);
    scene.call(&["renew a 1", "renew a 2", "renew a 3"]).await.leave_out(&[
        "renew a 1",
        "renew a 2",
        "renew a 3",
    ]);
    scene.call_alone("renew a 1").await.answer();
    scene.call(&["renew a 2", "renew a 3"]).await.leave_out(&["renew a 2", "renew a 3"]);
    scene.call_alone("renew a 2").await.answer();
    scene.call(&["renew a 3"]).await.leave_out(&["renew a 3"]);
    scene.call_alone("renew a 3").await.answer();
    for caller in callers {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn its_failure_fails_those_behind_it_and_nobody_else() {
    for panics in [true, false] {
        let mut scene = Scene::simple();
        let (busy, _first) = scene.busy().await;
        let failing = scene.ask_all(["renew a 1", "renew a 2"]);
        let [fine] = scene.ask_all(["renew b"]);
        busy.answer();
        let batch = scene.call(&["renew a 1", "renew a 2", "renew b"]).await;
        batch.leave_out(&["renew a 1", "renew a 2"]);
        let alone = scene.call_alone("renew a 1").await;
        fine.expect_answer().await;
        let behind = scene.ask("release a 3");
        let (batch, other) = scene.busy().await;
        let queued = scene.ask("renew c");
        if panics {
            alone.panic();
        } else {
            alone.fail(StoreError::Contended);
        }
        for caller in failing.into_iter().chain([behind]) {
            caller.expect_refusal().await;
        }
        batch.answer();
        scene.call(&["renew c"]).await.answer();
        other.expect_answer().await;
        queued.expect_answer().await;
        // The resource itself is not given up.
        let again = scene.ask("renew a 4");
        scene.call(&["renew a 4"]).await.answer();
        again.expect_answer().await;
        scene.is_clean().await;
    }
}

/// What waits alone may wait for long. Who has gone by the time it would be
/// sent is not sent.
#[tokio::test]
async fn who_has_gone_is_not_sent_alone() {
    let mut scene = Scene::simple();
    let [gone, stays, behind] = scene.ask_all(["renew a 1", "renew b", "renew a 2"]);
    let batch = scene.call(&["renew a 1", "renew a 2", "renew b"]).await;
    drop(gone);
    batch.leave_out(&["renew a 1", "renew a 2"]);
    stays.expect_answer().await;
    scene.call(&["renew a 2"]).await.answer();
    behind.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn who_has_gone_behind_it_is_not_sent_either() {
    let mut scene = Scene::simple();
    let [first, gone, last] = scene.ask_all(["renew a 1", "renew a 2", "renew a 3"]);
    scene.call(&["renew a 1", "renew a 2", "renew a 3"]).await.leave_out(&[
        "renew a 1",
        "renew a 2",
        "renew a 3",
    ]);
    let alone = scene.call_alone("renew a 1").await;
    drop(gone);
    alone.answer();
    scene.call(&["renew a 3"]).await.answer();
    first.expect_answer().await;
    last.expect_answer().await;
    scene.is_clean().await;
}
