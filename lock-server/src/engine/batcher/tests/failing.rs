//! Batches that fail.

use std::time::Duration;

use super::scene::{Scene, batching};
use crate::store::StoreError;

/// What became of the batch is unknown, whatever the error: nobody in it is
/// told anything else.
#[tokio::test]
async fn a_failed_batch_fails_each_of_its_commands() {
    for mixed in [true, false] {
        for error in
            [StoreError::Contended, StoreError::Timeout(Duration::ZERO), StoreError::Closed]
        {
            let mut scene = Scene::set(batching(1, mixed, usize::MAX));
            let (busy, first) = scene.busy().await;
            let callers = scene.ask_all(["renew a 1", "renew b", "renew a 2"]);
            busy.answer();
            let batch = scene.call(&["renew a 1", "renew a 2", "renew b"]).await;
            batch.fail(error);
            first.expect_answer().await;
            for caller in callers {
                caller.expect_refusal().await;
            }
            scene.is_clean().await;
        }
    }
}

#[tokio::test]
async fn those_who_wait_go_on_after_a_failure() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(1, mixed, usize::MAX));
        let failing = scene.ask("renew a 1");
        let batch = scene.call(&["renew a 1"]).await;
        let queued = scene.ask_all(["renew b", "renew a 2", "renew a 3"]);
        batch.fail(StoreError::Contended);
        failing.expect_refusal().await;
        // Also those behind the one that failed.
        scene.call(&["renew b", "renew a 2", "renew a 3"]).await.answer();
        for caller in queued {
            caller.expect_answer().await;
        }
        scene.is_clean().await;
    }
}

/// Those that the failure moves up find somebody who carries them out, also
/// when the one whose batch failed is not the one who comes round first.
#[tokio::test]
async fn after_a_failure_what_is_behind_it_is_taken_at_once() {
    let mut scene = Scene::set(batching(2, false, usize::MAX));
    let (busy, _first) = scene.busy().await;
    let failing = scene.ask_all(["acquire a 1", "release a 2"]);
    let batch = scene.call(&["acquire a 1"]).await;
    batch.fail(StoreError::Aborted);
    scene.call(&["release a 2"]).await.answer();
    let [failed, behind] = failing;
    failed.expect_refusal().await;
    behind.expect_answer().await;
    busy.answer();
    scene.is_clean().await;
}

/// They have waited as long as the store was given.
#[tokio::test]
async fn when_the_store_is_gone_those_who_wait_are_told_too() {
    for mixed in [true, false] {
        for error in [StoreError::Timeout(Duration::from_secs(5)), StoreError::Closed] {
            let mut scene = Scene::set(batching(1, mixed, 1));
            let failing = scene.ask("renew a 1");
            let batch = scene.call(&["renew a 1"]).await;
            let waiting = ["acquire b 1", "renew a 2", "release b 2", "release a 3", "renew c"];
            let waiting = scene.ask_all(waiting);
            batch.fail(error);
            failing.expect_refusal().await;
            for caller in waiting {
                caller.expect_refusal().await;
            }
            scene.is_clean().await;
            let again = scene.ask("renew a 1");
            scene.call(&["renew a 1"]).await.answer();
            again.expect_answer().await;
            scene.is_clean().await;
        }
    }
}

/// What is under way elsewhere has its own time, and those behind it too.
#[tokio::test]
async fn another_batch_that_is_under_way_is_left_alone() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let [one] = scene.ask_all(["renew a 1"]);
    let failing = scene.call(&["renew a 1"]).await;
    let [two] = scene.ask_all(["renew b 1"]);
    let fine = scene.call(&["renew b 1"]).await;
    let behind = scene.ask("renew b 2");
    failing.fail(StoreError::Timeout(Duration::ZERO));
    one.expect_refusal().await;
    scene.no_call().await;
    fine.answer();
    two.expect_answer().await;
    scene.call(&["renew b 2"]).await.answer();
    behind.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn a_panic_in_the_store_fails_the_batch_and_nothing_else() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    for _ in 0..4 {
        let failing = scene.ask_all(["renew a 1", "renew b", "renew a 2"]);
        let batch = scene.call(&["renew a 1", "renew a 2", "renew b"]).await;
        let queued = scene.ask("renew a 3");
        batch.panic();
        for caller in failing {
            caller.expect_refusal().await;
        }
        scene.call(&["renew a 3"]).await.answer();
        queued.expect_answer().await;
    }
    // Both that carry out batches are still there.
    let _one = scene.ask("renew a");
    let first = scene.call(&["renew a"]).await;
    let _two = scene.ask("renew b");
    scene.call(&["renew b"]).await.answer();
    first.answer();
    scene.is_clean().await;
}

#[tokio::test]
async fn who_expect_answer_may_ask_again_at_once() {
    let mut scene = Scene::simple();
    let others = scene.all_places_but_one();
    for _ in 0..3 {
        let caller = scene.ask("renew a");
        scene.call(&["renew a"]).await.answer();
        // Not settled in between: the place comes back before the answer.
        caller.expect_answer().await;
    }
    drop(others);
    scene.is_clean().await;
}
