//! Turns, and that nothing stays behind them.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::hold::tests::hold_from;

fn hold() -> Arc<Hold> {
    hold_from(Instant::now(), "a", Duration::from_secs(60))
}

fn key() -> Key {
    hold().key().clone()
}

#[tokio::test]
async fn turns_of_one_resource_come_one_after_the_other() {
    let holds = Arc::new(Holds::default());
    let first = holds.turn(key()).await;
    let mut second = Box::pin(holds.turn(key()));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    second.await;
    assert!(holds.slots().is_empty());
}

#[tokio::test]
async fn a_turn_given_up_while_waiting_leaves_nothing() {
    let holds = Arc::new(Holds::default());
    let first = holds.turn(key()).await;
    let mut second = Box::pin(holds.turn(key()));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(holds.slots().len(), 1, "somebody waits");
    drop(second);
    assert!(holds.slots().is_empty());
}

#[tokio::test]
async fn a_hold_stays_until_it_is_taken_and_only_that_one_is() {
    let holds = Arc::new(Holds::default());
    let (hold, other) = (hold(), hold());
    let turn = holds.turn(key()).await;
    turn.put(hold.clone());
    drop(turn);
    let turn = holds.turn(key()).await;
    assert!(!turn.take(&other));
    assert!(turn.hold().is_some());
    assert!(turn.take(&hold));
    assert!(turn.hold().is_none());
    drop(turn);
    assert!(holds.slots().is_empty());
}

#[tokio::test]
async fn who_waits_in_line_keeps_nobody_and_knows_whether_anybody_had_a_turn() {
    let holds = Arc::new(Holds::default());
    let in_line = holds.turn(key()).await.wait_in_line();
    assert_eq!(holds.slots().len(), 1, "its turns are counted");
    let (turn, alone) = in_line.over().await;
    assert!(alone && !turn.others_in_line());
    let in_line = turn.wait_in_line();
    let other = holds.turn(key()).await;
    assert!(other.others_in_line());
    drop(other);
    let (turn, alone) = in_line.over().await;
    assert!(!alone);
    drop(turn);
    assert!(holds.slots().is_empty());
    drop(holds.turn(key()).await.wait_in_line());
    assert!(holds.slots().is_empty());
}

#[tokio::test]
async fn the_release_of_everything_is_told_to_who_waits_in_line() {
    let holds = Holds::default();
    let me = holds.owner("me", false);
    let mut before = me.releases();
    assert!(futures::poll!(Box::pin(before.changed())).is_pending());
    drop(me.alone().await);
    before.changed().await.unwrap();
    assert!(!me.releases().has_changed().unwrap(), "who begins after it goes on");
}

#[tokio::test]
async fn all_of_one_owner_are_taken_out() {
    let holds = Arc::new(Holds::default());
    holds.turn(key()).await.put(hold());
    assert!(holds.take_all("you").is_empty());
    assert_eq!(holds.take_all("me").len(), 1);
    assert!(holds.slots().is_empty());
    assert!(!holds.turn(key()).await.take(&hold()));
}

#[tokio::test]
async fn owners_of_one_name_are_one_while_somebody_is_it() {
    let holds = Holds::default();
    let me = holds.owner("me", false);
    assert!(Arc::ptr_eq(&me, &holds.owner("me", false)));
    let together = me.together().await;
    let again = holds.owner("me", false);
    let mut alone = Box::pin(again.alone());
    assert!(futures::poll!(&mut alone).is_pending());
    drop(together);
    drop(alone.await);
}

#[test]
fn owners_that_are_gone_are_forgotten() {
    let holds = Holds::default();
    let me = holds.owner("me", false);
    for id in 0..1_000 {
        holds.owner(&id.to_string(), true);
    }
    assert!(holds.owners.lock().unwrap().by_id.len() < 40);
    assert!(Arc::ptr_eq(&me, &holds.owner("me", false)));
}
