//! Batches beside each other: when a second one is worth it, and that nobody
//! waits for ever for one that is.

use super::scene::{Caller, Scene, batching};

fn ask_many(scene: &Scene, kind: &str, id: &str, count: usize) -> Vec<Caller> {
    (0..count).map(|number| scene.ask(&format!("{kind} {id}{number}"))).collect()
}

#[tokio::test]
async fn few_wait_for_the_end_of_a_batch_of_many() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let mut callers = ask_many(&scene, "renew", "a", 10);
    let many = scene.next().await;
    assert_eq!(many.commands.len(), 10);
    callers.extend(ask_many(&scene, "renew", "b", 4));
    scene.no_call().await;
    many.answer();
    let few = scene.next().await;
    assert_eq!(few.commands.len(), 4);
    few.answer();
    for caller in callers {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn half_as_many_do_not_wait() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let _callers = ask_many(&scene, "renew", "a", 10);
    let many = scene.next().await;
    let _others = ask_many(&scene, "renew", "b", 5);
    let others = scene.next().await;
    assert_eq!(others.commands.len(), 5);
    let _late = ask_many(&scene, "renew", "c", 20);
    scene.no_call().await;
    others.answer();
    assert_eq!(scene.next().await.commands.len(), 20);
    many.answer();
}

/// What a failure moves up is a batch as well, once the failed one is no more.
#[tokio::test]
async fn few_do_not_wait_for_a_batch_that_has_failed() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let callers = ask_many(&scene, "renew", "a", 10);
    let many = scene.next().await;
    let few = scene.ask("renew b");
    scene.no_call().await;
    many.fail(crate::store::StoreError::Contended);
    scene.call(&["renew b"]).await.answer();
    few.expect_answer().await;
    for caller in callers {
        caller.expect_refusal().await;
    }
    scene.is_clean().await;
}

/// Large batches of other kinds follow each other without a pause: the few that
/// are never half as many have their turn all the same.
#[tokio::test]
async fn few_of_one_kind_are_not_passed_over_for_ever() {
    for at_a_time in [1, 2, 3] {
        let mut scene = Scene::set(batching(at_a_time, false, usize::MAX));
        let (mut under_way, mut callers) = (std::collections::VecDeque::new(), Vec::new());
        for round in 0..at_a_time {
            callers.extend(ask_many(&scene, "acquire", &format!("first{round}-"), 10));
            under_way.push_back(scene.next().await);
        }
        let few = scene.ask("renew few");
        let mut batches = 0;
        let with_the_few = loop {
            callers.extend(ask_many(&scene, "acquire", &format!("{batches}-"), 10));
            under_way.pop_front().expect("a batch is under way").answer();
            let call = scene.next().await;
            if call.names() == ["renew few"] {
                break call;
            }
            under_way.push_back(call);
            batches += 1;
            assert!(batches <= at_a_time, "{batches} batches of others, {at_a_time} at a time");
        };
        with_the_few.answer();
        few.expect_answer().await;
        while let Some(call) = scene.next_now().await.or_else(|| under_way.pop_front()) {
            call.answer();
        }
        for caller in callers {
            caller.expect_answer().await;
        }
        scene.is_clean().await;
    }
}
