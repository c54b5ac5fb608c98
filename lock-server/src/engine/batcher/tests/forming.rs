//! What goes into a batch, and when it is sent.

use super::{
    scene::{Scene, batching, settle},
    script::Call,
};

/// No clock has to move for it: nothing waits for company.
#[tokio::test]
async fn a_lone_command_is_sent_at_once_and_alone() {
    let mut scene = Scene::simple();
    for name in ["acquire a", "renew a", "release a"] {
        let caller = scene.ask(name);
        let call = scene.next_now().await.expect("it is sent");
        assert_eq!(call.names(), [name]);
        call.answer();
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn what_arrives_while_the_store_is_busy_is_the_next_batch() {
    let mut scene = Scene::simple();
    let (busy, first) = scene.busy().await;
    let callers = scene.ask_all(["acquire a", "acquire b", "acquire c"]);
    scene.no_call().await;
    busy.answer();
    let batch = scene.call(&["acquire a", "acquire b", "acquire c"]).await;
    first.expect_answer().await;
    let late = scene.ask("acquire d");
    scene.no_call().await;
    batch.answer();
    scene.call(&["acquire d"]).await.answer();
    for caller in callers {
        caller.expect_answer().await;
    }
    late.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn kinds_are_together_where_a_batch_may_mix_them() {
    let mut scene = Scene::simple();
    let (busy, _first) = scene.busy().await;
    let _callers = scene.ask_all(["acquire a", "renew b", "release c", "acquire d"]);
    busy.answer();
    scene.call(&["acquire a", "renew b", "release c", "acquire d"]).await.answer();
    scene.is_clean().await;
}

/// The kind whose first has waited longest comes first.
#[tokio::test]
async fn kinds_are_apart_where_a_batch_may_not_mix_them() {
    let mut scene = Scene::set(batching(1, false, usize::MAX));
    let (busy, _first) = scene.busy().await;
    let callers = scene.ask_all(["release a", "acquire b", "renew c", "acquire d", "release e"]);
    busy.answer();
    scene.call(&["release a", "release e"]).await.answer();
    scene.call(&["acquire b", "acquire d"]).await.answer();
    scene.call(&["renew c"]).await.answer();
    for caller in callers {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

#[tokio::test]
async fn a_batch_is_no_larger_than_the_store_takes() {
    let mut scene = Scene::set(batching(1, true, 3));
    let (busy, _first) = scene.busy().await;
    let _callers = scene.ask_all(["renew a", "renew b", "renew c", "renew d", "renew e"]);
    busy.answer();
    scene.call(&["renew a", "renew b", "renew c"]).await.answer();
    scene.call(&["renew d", "renew e"]).await.answer();
    scene.is_clean().await;
}

#[tokio::test]
async fn a_line_is_cut_where_the_batch_is_full() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(1, mixed, 3));
        let (busy, _first) = scene.busy().await;
        let _callers = scene.ask_all(["renew b", "renew a 1", "renew a 2", "renew a 3"]);
        let _late = scene.ask_all(["renew a 4", "renew c"]);
        busy.answer();
        scene.call(&["renew b", "renew a 1", "renew a 2"]).await.answer();
        // The rest of the line stands behind those that waited as long.
        scene.call(&["renew c", "renew a 3", "renew a 4"]).await.answer();
        scene.is_clean().await;
    }
}

#[tokio::test]
async fn as_many_batches_as_the_store_takes_are_under_way_at_a_time() {
    let mut scene = Scene::set(batching(2, true, usize::MAX));
    let one = scene.ask("acquire a");
    let first = scene.call(&["acquire a"]).await;
    let two = scene.ask("acquire b");
    let second = scene.call(&["acquire b"]).await;
    let others = scene.ask_all(["acquire c", "acquire d"]);
    scene.no_call().await;
    // Whichever ends first makes room.
    second.answer();
    scene.call(&["acquire c", "acquire d"]).await.answer();
    first.answer();
    for caller in others.into_iter().chain([one, two]) {
        caller.expect_answer().await;
    }
    scene.is_clean().await;
}

/// Two that become ready at the same moment and cannot share a batch.
#[tokio::test]
async fn nobody_who_could_carry_out_a_batch_sleeps_while_one_is_ready() {
    let mut scene = Scene::set(batching(2, false, 2));
    settle().await;
    for _ in 0..3 {
        let _callers = scene.ask_all(["acquire a", "renew b", "acquire c", "acquire d"]);
        let one = scene.next().await;
        let two = scene.next().await;
        scene.no_call().await;
        one.answer();
        let three = scene.next().await;
        two.answer();
        three.answer();
        settle().await;
        scene.is_clean().await;
    }
}

#[tokio::test]
async fn who_has_gone_is_not_sent_and_its_place_is_back() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(1, mixed, 2));
        let (busy, _first) = scene.busy().await;
        let gone = scene.ask_all(["renew a", "renew b", "renew c"]);
        let _caller = scene.ask("renew d");
        let later = scene.ask_all(["renew e", "renew f"]);
        drop(gone);
        busy.answer();
        // They take no room in the batch either.
        let batch = scene.call(&["renew d", "renew e"]).await;
        drop(later);
        batch.answer();
        scene.is_clean().await;
    }
}

/// A caller that goes while its command is under way takes nothing from others.
#[tokio::test]
async fn who_goes_while_it_is_carried_out_is_not_missed() {
    let mut scene = Scene::simple();
    let (busy, first) = scene.busy().await;
    let [gone, stays] = scene.ask_all(["acquire a", "acquire b"]);
    drop(first);
    busy.answer();
    let batch = scene.call(&["acquire a", "acquire b"]).await;
    drop(gone);
    batch.answer();
    stays.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn a_line_goes_on_behind_who_has_gone() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(1, mixed, usize::MAX));
        let (busy, _first) = scene.busy().await;
        let [first, second, third, fourth] =
            scene.ask_all(["acquire a 1", "acquire a 2", "release a 3", "release a 4"]);
        drop((first, third));
        busy.answer();
        if mixed {
            scene.call(&["acquire a 2", "release a 4"]).await.answer();
        } else {
            scene.call(&["acquire a 2"]).await.answer();
            scene.call(&["release a 4"]).await.answer();
        }
        second.expect_answer().await;
        fourth.expect_answer().await;
        scene.is_clean().await;
    }
}

/// The first of the line has gone, and the next is of another kind: it is ready
/// from then on, and somebody who has nothing to do takes it.
#[tokio::test]
async fn what_moves_up_behind_who_has_gone_does_not_wait_for_a_batch() {
    let mut scene = Scene::set(batching(2, false, usize::MAX));
    let (busy, _first) = scene.busy().await;
    let also = scene.ask("release also");
    let also_busy = scene.call(&["release also"]).await;
    let [gone, next, other] = scene.ask_all(["acquire a", "release a", "acquire b"]);
    drop(gone);
    busy.answer();
    let batch = scene.call(&["acquire b"]).await;
    also_busy.answer();
    scene.call(&["release a"]).await.answer();
    next.expect_answer().await;
    also.expect_answer().await;

    // The same when the other one is idle by then, and sleeps.
    batch.answer();
    other.expect_answer().await;
    settle().await;
    let [gone, next, other] = scene.ask_all(["acquire a", "release a", "acquire b"]);
    drop(gone);
    let mut calls = [scene.next().await, scene.next().await];
    calls.sort_by_key(|call| call.names()[0].to_owned());
    assert_eq!([calls[0].names(), calls[1].names()], [["acquire b"], ["release a"]]);
    calls.into_iter().for_each(Call::answer);
    next.expect_answer().await;
    other.expect_answer().await;
    scene.is_clean().await;
}

#[tokio::test]
async fn where_all_have_gone_nothing_is_sent() {
    for mixed in [true, false] {
        let mut scene = Scene::set(batching(2, mixed, 2));
        settle().await;
        let names = ["acquire a", "renew a", "renew b", "release c", "acquire c", "renew d"];
        drop(scene.ask_all(names));
        scene.is_clean().await;
    }
}

/// Few that waited go with those who ask again as soon as they are answered:
/// alone they would be one small batch after the other.
#[tokio::test]
async fn few_that_waited_go_with_those_who_ask_again() {
    let mut scene = Scene::simple();
    let names = ["acquire a", "acquire b", "acquire c", "acquire d"];
    let (busy, _first) = scene.busy().await;
    let [caller, _b, _c, _d] = scene.ask_all(names);
    busy.answer();
    let batch = scene.call(&names).await;
    let few = scene.ask("acquire few");
    batch.answer();
    caller.expect_answer().await;
    let again = scene.ask("release a");
    scene.call(&["acquire few", "release a"]).await.answer();
    few.expect_answer().await;
    again.expect_answer().await;
    scene.is_clean().await;
}

/// Half as many do not: the store has its next batch before those of the last
/// are told.
#[tokio::test]
async fn many_that_waited_do_not_wait_for_those_who_ask_again() {
    let mut scene = Scene::simple();
    let (busy, _first) = scene.busy().await;
    let [caller, _b, _c, _d] = scene.ask_all(["acquire a", "acquire b", "acquire c", "acquire d"]);
    busy.answer();
    let batch = scene.next().await;
    let _many = scene.ask_all(["acquire e", "acquire f"]);
    batch.answer();
    caller.expect_answer().await;
    let _again = scene.ask("release a");
    scene.call(&["acquire e", "acquire f"]).await.answer();
    scene.call(&["release a"]).await.answer();
    scene.is_clean().await;
}
