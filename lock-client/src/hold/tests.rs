//! Holds that were asked for some time ago, so that no test has to wait.

use proto::lock::v1 as wire;

use super::*;

const TTL: Duration = Duration::from_secs(100);
/// What `trust::margin` makes of it.
const MARGIN: Duration = Duration::from_secs(2);
/// More than a test takes.
const SLACK: Duration = Duration::from_secs(20);

/// A hold on `plan/ID` that was asked for at this moment.
pub(crate) fn hold_from(sent_at: Instant, id: &str, ttl: Duration) -> Arc<Hold> {
    let mut lock = Lock::from(wire::Lock { fencing_token: 7, ..wire::Lock::default() });
    (lock.remaining, lock.ttl) = (ttl, ttl);
    let key = Key { owner_id: "me".to_owned(), resource: Resource::new("plan", id) };
    Hold::new(key, &lock, sent_at)
}

fn ago(seconds: u64) -> Instant {
    Instant::now() - Duration::from_secs(seconds)
}

#[test]
fn it_is_believed_in_until_the_margin_before_its_end() {
    let hold = hold_from(ago(60), "a", TTL);
    hold.check().unwrap();
    assert!(hold.remaining() <= Duration::from_secs(40) - MARGIN);
    assert!(hold.remaining() > Duration::from_secs(40) - MARGIN - SLACK);
    let hold = hold_from(ago(100) + MARGIN, "a", TTL);
    assert_eq!(hold.remaining(), Duration::ZERO);
    assert_eq!(hold.check().unwrap_err().reason, LostReason::Unconfirmed);
}

#[test]
fn a_confirmation_counts_from_when_it_was_asked_for() {
    let hold = hold_from(ago(90), "a", TTL);
    let asked = ago(50);
    assert!(hold.confirm(asked, TTL, TTL));
    assert_eq!(hold.trusted_until(), asked + TTL - MARGIN);
}

#[tokio::test]
async fn a_confirmation_that_comes_too_late_brings_nothing_back() {
    let hold = hold_from(ago(100), "a", TTL);
    // Nobody has looked yet, and all the same it is over.
    assert!(!hold.confirm(ago(10), TTL, TTL));
    assert_eq!(hold.clone().lost().await.reason, LostReason::Unconfirmed);
}

#[test]
fn of_two_answers_that_crossed_the_later_question_counts() {
    let hold = hold_from(ago(3), "a", TTL);
    let (first, second) = (ago(2), ago(1));
    assert!(hold.confirm(second, TTL / 2, TTL));
    assert!(hold.confirm(first, TTL, TTL));
    assert_eq!(hold.trusted_until(), second + TTL / 2 - MARGIN);
}

#[tokio::test]
async fn it_ends_once_and_for_the_first_reason() {
    let hold = hold_from(Instant::now(), "a", TTL);
    let (lost, token) = (hold.clone().lost(), hold.cancellation_token());
    assert_eq!(hold.end(Ending::new(LostReason::Expired, "it ran out")), None);
    let taken_over = Ending::new(LostReason::NotHeld, "taken over");
    let before = hold.end(taken_over.held_by(Some("you".to_owned()))).unwrap();
    assert_eq!((before.reason, before.holder), (LostReason::Expired, None));
    assert_eq!(lost.await.message, "it ran out");
    assert!(token.is_cancelled());
    assert!(!hold.confirm(Instant::now(), TTL, TTL));
    assert_eq!(hold.remaining(), Duration::ZERO);
}

#[test]
fn cancelling_ones_own_token_ends_nothing() {
    let hold = hold_from(Instant::now(), "a", TTL);
    hold.cancellation_token().cancel();
    hold.check().unwrap();
    assert!(!hold.cancellation_token().is_cancelled());
}

#[tokio::test]
async fn whoever_waits_for_the_loss_looks_at_the_clock_before_any_timer_has_run() {
    // As after the process stood still: its time is over, and nobody ended it.
    let hold = hold_from(ago(100), "a", TTL);
    let work = async { panic!("it must not run under a lease that is over") };
    let lost = tokio::select! {
        biased;
        lost = hold.clone().lost() => lost,
        () = work => return,
    };
    assert_eq!(lost.reason, LostReason::Unconfirmed);
}

#[test]
fn it_is_made_shorter_and_never_longer_before_the_server_has_said_so() {
    let hold = hold_from(Instant::now(), "a", TTL);
    let trusted = hold.trusted_until();
    hold.shorten(Instant::now(), TTL * 2);
    assert_eq!(hold.trusted_until(), trusted);
    hold.shorten(Instant::now(), TTL / 2);
    assert!(hold.trusted_until() < trusted - TTL / 4);
    // An answer to what was asked before says nothing of it.
    assert!(hold.confirm(ago(1), TTL, TTL));
    assert!(hold.trusted_until() < trusted - TTL / 4);
}

#[tokio::test]
async fn it_ends_in_time_while_a_call_for_it_is_under_way() {
    let hold = hold_from(ago(100) + MARGIN + Duration::from_millis(50), "a", TTL);
    let lost = hold.clone().lost();
    let told = hold.watched(lost).await;
    assert_eq!(told.reason, LostReason::Unconfirmed);
}
