//! Commands for one resource, one after the other.

use super::scene::{Scene, batching};

const STORY: [&str; 5] = ["acquire a 1", "renew a 2", "renew a 3", "release a 4", "acquire a 5"];

#[tokio::test]
async fn kinds_that_share_no_batch_take_turns_for_one_resource() {
    let mut scene = Scene::set(batching(2, false, usize::MAX));
    let callers = scene.ask_all(STORY);
    for batch in [&["acquire a 1"][..], &["renew a 2", "renew a 3"], &["release a 4"]] {
        let call = scene.call(batch).await;
        scene.no_call().await;
        call.answer();
    }
    scene.call(&["acquire a 5"]).await.answer();
    for caller in callers {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn kinds_that_share_a_batch_are_in_their_order_in_it() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let (busy, _first) = scene.busy().await;
    let also = scene.ask("renew also");
    let also_busy = scene.call(&["renew also"]).await;
    let callers = scene.ask_all(STORY);
    busy.answer();
    let batch = scene.call(&STORY).await;
    also_busy.answer();
    also.expect_answer().await;
    // The other one has nothing to do, and must not touch the resource.
    let late = scene.ask("release a 6");
    scene.no_call().await;
    batch.answer();
    scene.call(&["release a 6"]).await.answer();
    for caller in callers.into_iter().chain([late]) {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn a_resource_is_never_in_two_batches_at_a_time() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(2, mixed, usize::MAX));
        let _first = scene.ask("renew a 1");
        let one = scene.call(&["renew a 1"]).await;
        let _more = scene.ask_all(["renew a 2", "renew b", "renew a 3"]);
        let two = scene.call(&["renew b"]).await;
        two.answer();
        scene.no_call().await;
        one.answer();
        scene.call(&["renew a 2", "renew a 3"]).await.answer();
        scene.is_clean().await;
    }
}

/// A long line does not push those who came before it out of the batch.
#[tokio::test]
async fn others_go_on_beside_a_long_line() {
    let mut scene = Scene::set(batching(1, false, 4));
    let (busy, _first) = scene.busy().await;
    let _line: Vec<_> = (0..8).map(|number| scene.ask(&format!("renew a {number}"))).collect();
    let _other = scene.ask("renew b");
    busy.answer();
    scene.call(&["renew a 0", "renew a 1", "renew a 2", "renew a 3"]).await.answer();
    scene.call(&["renew b", "renew a 4", "renew a 5", "renew a 6"]).await.answer();
    scene.call(&["renew a 7"]).await.answer();
    scene.is_clean().await;
}
