//! Renewals and ends, at moments that the tests make up.

use proto::lock::v1::{LostLease, keep_alive_result::Outcome};

use super::*;
use crate::hold::tests::hold_from;

const TTL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn ids(holds: &[Arc<Hold>]) -> Vec<u64> {
    holds.iter().map(|hold| hold.id()).collect()
}

#[test]
fn the_most_urgent_come_first_and_no_more_than_asked_for() {
    let mut schedule = Schedule::default();
    let start = Instant::now();
    let hold = |id, ttl| hold_from(start, id, ttl);
    let (long, short, shorter) = (hold("c", TTL * 2), hold("b", TTL), hold("a", TTL / 2));
    for hold in [&long, &short, &shorter] {
        schedule.keep(hold.clone(), 0.5);
    }
    assert_eq!(schedule.next_due(), Some(start + 5 * SECOND));
    assert_eq!(schedule.next_event(), Some(start + 5 * SECOND));
    assert!(schedule.take_due(start + 4 * SECOND, 9).is_empty());
    assert_eq!(ids(&schedule.take_due(start + 60 * SECOND, 2)), [shorter.id(), short.id()]);
    assert_eq!(schedule.next_due(), Some(start + 20 * SECOND));
}

#[test]
fn what_was_not_answered_is_due_again_soon() {
    let mut schedule = Schedule::default();
    let now = Instant::now();
    let (long, short) = (hold_from(now, "long", TTL), hold_from(now, "short", SECOND));
    schedule.keep(long.clone(), 0.5);
    schedule.keep(short.clone(), 0.5);
    let all = ids(&schedule.take_due(now + TTL, 9));
    assert_eq!(schedule.next_due(), None);
    schedule.retry(&all, now, 2 * SECOND);
    assert_eq!(schedule.next_due(), Some(now + SECOND / 10), "a tenth of the shorter one");
    assert_eq!(ids(&schedule.take_due(now + 2 * SECOND, 9)), [short.id(), long.id()]);
    schedule.keep(long.clone(), 0.5);
    schedule.stop(short.id());
    schedule.retry(&all, now, SECOND);
    assert_eq!(schedule.next_due(), Some(now + 10 * SECOND), "kept anew, or stopped");
}

#[test]
fn what_is_stopped_leaves_nothing() {
    let mut schedule = Schedule::default();
    let now = Instant::now();
    let (a, b) = (hold_from(now, "a", TTL), hold_from(now, "b", TTL));
    schedule.keep(a.clone(), 0.5);
    schedule.keep(a.clone(), 0.1);
    schedule.keep(b.clone(), 0.9);
    assert_eq!(ids(&schedule.take_due(now + 10 * SECOND, 9)), [a.id()]);
    schedule.stop(a.id());
    schedule.stop(a.id());
    schedule.stop(b.id());
    assert!(schedule.is_empty());
    assert_eq!(schedule.next_event(), None);
    assert!(schedule.get(a.id()).is_none());
}

#[test]
fn at_the_end_of_trust_a_lease_ends_also_while_a_request_is_under_way() {
    let mut schedule = Schedule::default();
    let now = Instant::now();
    let (a, b) = (hold_from(now - TTL, "a", TTL), hold_from(now - TTL / 2, "b", TTL));
    schedule.keep(a.clone(), 0.5);
    schedule.keep(b.clone(), 0.5);
    schedule.take_due(now + TTL, 9);
    assert_eq!(schedule.next_event(), Some(a.trusted_until()));
    let end = b.trusted_until();
    // An acquisition confirmed one of them, and the schedule was not told.
    assert!(b.confirm(now, TTL, TTL));
    schedule.end_overdue(end);
    assert!(a.cancellation_token().is_cancelled());
    assert!(schedule.get(a.id()).is_none());
    b.check().unwrap();
    assert!(schedule.get(b.id()).is_some());
    assert!(schedule.next_event() > Some(now));
}

#[test]
fn an_answer_must_have_one_result_for_each_lease() {
    let mut schedule = Schedule::default();
    let hold = hold_from(Instant::now(), "a", TTL);
    schedule.keep(hold.clone(), 0.5);
    let result = |fencing_token| {
        let outcome = Some(Outcome::Lost(LostLease::default()));
        KeepAliveResult { resource: None, fencing_token, outcome }
    };
    assert!(schedule.fits(&[hold.id()], &[result(hold.fencing_token())]));
    assert!(schedule.fits(&[u64::MAX], &[result(1)]), "stopped meanwhile");
    assert!(!schedule.fits(&[hold.id()], &[]));
    assert!(!schedule.fits(&[hold.id()], &[result(hold.fencing_token() + 1)]));
    let empty = KeepAliveResult { outcome: None, ..result(hold.fencing_token()) };
    assert!(!schedule.fits(&[hold.id()], &[empty]));
}

#[test]
fn a_hundred_thousand_leases_are_no_scan() {
    const MANY: usize = 100_000;
    let mut schedule = Schedule::default();
    let holds: Vec<_> =
        (0..MANY).map(|id| hold_from(Instant::now(), &id.to_string(), TTL)).collect();
    for (hold, random) in holds.iter().zip(std::iter::repeat_with(fastrand::f64)) {
        schedule.keep(hold.clone(), random);
    }
    let mut renewed = 0;
    // In as many steps: this would not end in time if each looked at all.
    while renewed < MANY {
        let by = schedule.next_due().unwrap();
        let due = schedule.take_due(by, 1);
        renewed += due.len();
    }
    for hold in &holds {
        schedule.stop(hold.id());
    }
    assert!(schedule.is_empty());
}
