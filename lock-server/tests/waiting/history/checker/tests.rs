//! Made-up histories: a right one, and others with one thing wrong each.

use super::*;

/// The only server, which is always there.
const SERVER: &str = "s";

/// A history as it is made up: what happens in a queue that is right.
#[derive(Clone)]
struct Tale {
    history: Vec<Entry>,
    told: Told,
    now: Micros,
    row: Option<Row>,
    line: Vec<Place>,
    places: i64,
}

impl Tale {
    /// `a` holds the lock under the token 10 and nobody waits.
    fn new() -> Self {
        let alive = What::Alive { server: SERVER.into(), until: 1_000 * SECOND };
        let mut tale = Self {
            history: vec![Entry { tx: 0, at: 0, what: alive }],
            told: Told::default(),
            now: 10 * SECOND,
            row: None,
            line: Vec::new(),
            places: 0,
        };
        tale.call("a", tale.now - SECOND, tale.now + SECOND, tale.granted(10));
        tale.write(|tale| tale.hold("a", 10));
        tale
    }

    /// What happens in one transaction.
    fn write(&mut self, happens: impl FnOnce(&mut Self)) {
        self.now += SECOND;
        happens(self);
    }

    fn push(&mut self, what: What) {
        self.history.push(Entry { tx: self.now, at: self.now, what });
    }

    fn lock(&mut self, row: Row) {
        self.row = Some(row.clone());
        self.push(What::Lock(row));
    }

    /// The row is granted.
    fn hold(&mut self, owner: &str, token: i64) {
        let waiters = i32::try_from(self.line.len()).unwrap();
        self.lock(Row {
            owner: owner.into(),
            token,
            acquired_at: self.now,
            expires_at: Some(self.now + 100 * SECOND),
            waiters,
        });
    }

    /// Everybody asks a while before and hears a while after.
    fn granted(&self, token: i64) -> End {
        End::Granted { token, expires_at: self.now + 50 * SECOND, reentrant: false }
    }

    fn call(&mut self, owner: &str, asked_at: Micros, ended_at: Micros, end: End) {
        let wait = 60 * SECOND;
        let owner = owner.into();
        self.told.calls.push(Call { owner, server: 0, asked_at, wait, ended_at, end });
    }

    fn arrive(&mut self, owner: &str) {
        self.write(|tale| {
            tale.places += 1;
            let place = Place {
                place: tale.places,
                owner: owner.into(),
                waits_until: tale.now + 60 * SECOND,
                servers: vec![SERVER.into()],
                granted: None,
                cancelled: false,
            };
            tale.line.push(place.clone());
            tale.push(What::Arrived(place));
            tale.count();
        });
    }

    /// The row's count follows the queue.
    fn count(&mut self) {
        let waiters = i32::try_from(self.line.len()).unwrap();
        let row = Row { waiters, ..self.row.clone().unwrap() };
        self.lock(row);
    }

    fn asks_to_release(&mut self, owner: &str, token: i64) {
        let (owner, asked_at) = (owner.into(), self.now);
        let answered_at = Some(asked_at + 2 * SECOND);
        self.told.endings.push(Ending { owner, token: Some(token), asked_at, answered_at });
    }

    /// The lock goes to this place, whose owner hears of it.
    fn hand_to(&mut self, position: usize, token: i64) {
        self.write(|tale| {
            let place = tale.line.remove(position);
            tale.hold(&place.owner, token);
            let heard_at = tale.now + SECOND;
            tale.call(&place.owner, tale.now - 5 * SECOND, heard_at, tale.granted(token));
            tale.push(What::Left(place));
        });
    }

    /// The holder gives it back and nobody waits.
    fn free(&mut self) {
        let row = self.row.clone().unwrap();
        self.asks_to_release(&row.owner, row.token);
        self.write(|tale| tale.lock(Row { expires_at: None, ..row }));
    }

    #[track_caller]
    fn only(&self, words: &str) {
        let wrong = check(&self.history, &self.told);
        assert!(wrong.len() == 1 && wrong[0].contains(words), "{words}: {wrong:#?}");
    }

    #[track_caller]
    fn is_right(&self) {
        assert_eq!(check(&self.history, &self.told), Vec::<String>::new());
    }
}

/// `a` holds it, `b` and `c` wait.
fn two_wait() -> Tale {
    let mut tale = Tale::new();
    tale.arrive("b");
    tale.arrive("c");
    tale
}

/// The same, and `a` has asked to give it back.
fn handing_over() -> Tale {
    let mut tale = two_wait();
    tale.asks_to_release("a", 10);
    tale
}

#[test]
fn a_right_history_passes() {
    let mut tale = handing_over();
    tale.hand_to(0, 11);
    tale.asks_to_release("b", 11);
    tale.hand_to(0, 12);
    tale.free();
    tale.is_right();
}

#[test]
fn finds_an_overlap() {
    let mut tale = two_wait();
    tale.hand_to(0, 11);
    tale.asks_to_release("b", 11);
    tale.hand_to(0, 12);
    tale.free();
    tale.only("two leases were live at once");
}

#[test]
fn finds_a_live_lease_that_somebody_else_ended() {
    let mut tale = Tale::new();
    let row = tale.row.clone().unwrap();
    tale.write(|tale| tale.lock(Row { expires_at: None, ..row }));
    tale.only("ended by somebody else");
}

#[test]
fn a_lease_that_has_run_out_is_no_overlap_and_must_not_stand() {
    let mut tale = two_wait();
    tale.now = tale.row.as_ref().unwrap().expires_at.unwrap() - SECOND / 2;
    let until = tale.now + 60 * SECOND;
    let mut late = tale.clone();
    for place in &mut late.line {
        place.waits_until = until;
    }
    for entry in &mut late.history {
        if let What::Arrived(place) = &mut entry.what {
            place.waits_until = until;
        }
    }
    let mut prompt = late.clone();
    for (tale, words) in [(&mut prompt, None), (&mut late, Some("nobody was granted for long"))] {
        if words.is_some() {
            tale.now += 10 * SECOND;
        }
        tale.hand_to(0, 11);
        tale.asks_to_release("b", 11);
        tale.hand_to(0, 12);
        tale.free();
    }
    prompt.is_right();
    late.only("nobody was granted for long");
}

#[test]
fn finds_an_overtaking() {
    let mut tale = handing_over();
    tale.hand_to(1, 11);
    tale.asks_to_release("c", 11);
    tale.hand_to(0, 12);
    tale.free();
    tale.only("somebody was overtaken");
}

#[test]
fn finds_a_newcomer_who_overtakes() {
    let mut tale = handing_over();
    tale.write(|tale| tale.hold("x", 11));
    tale.asks_to_release("x", 11);
    tale.hand_to(0, 12);
    tale.asks_to_release("b", 12);
    tale.hand_to(0, 13);
    tale.free();
    tale.only("somebody was overtaken");
}

#[test]
fn who_is_not_there_may_be_passed_by() {
    let right = |gone: fn(&mut Place)| {
        let mut tale = handing_over();
        gone(&mut tale.line[0]);
        let place = tale.line.remove(0);
        for entry in &mut tale.history {
            if let What::Arrived(arrived) = &mut entry.what
                && arrived.owner == "b"
            {
                *arrived = place.clone();
            }
        }
        tale.write(|tale| {
            tale.push(What::Left(place));
            let place = tale.line.remove(0);
            tale.hold("c", 11);
            tale.push(What::Left(place));
        });
        tale.free();
        tale
    };
    // The database thinks that its wait is over.
    let mut tale = right(|place| place.waits_until = 13 * SECOND);
    tale.is_right();
    tale.call("b", 11 * SECOND, 30 * SECOND, End::GaveUp);
    tale.only("lost its place");
    right(|place| place.servers = vec!["never heard of".into()]).is_right();
    // Its server was there, and it was not written down that its call is there.
    let mut tale = right(|place| place.servers = vec!["never heard of".into()]);
    tale.call("b", 11 * SECOND, 30 * SECOND, End::GaveUp);
    tale.only("lost its place");
    tale.told.outages.push(Outage { server: 0, from: 11 * SECOND, to: 13 * SECOND });
    tale.is_right();
    // Its call was over.
    let mut tale = right(|_| {});
    tale.call("b", 11 * SECOND, 12 * SECOND, End::GaveUp);
    tale.is_right();
    // It was not.
    tale.call("b", 11 * SECOND, 30 * SECOND, End::GaveUp);
    tale.only("lost its place");
}

#[test]
fn finds_who_was_never_answered() {
    let mut tale = Tale::new();
    tale.call("b", tale.now, tale.now + 80 * SECOND, End::Unanswered);
    tale.only("was not answered in time");
    let mut tale = Tale::new();
    tale.call("b", tale.now, tale.now + 60 * SECOND, End::Unanswered);
    tale.only("was never answered");
}

#[test]
fn finds_who_was_sent_away_early() {
    let mut tale = Tale::new();
    tale.call("b", tale.now, tale.now + 60 * SECOND, End::Conflict);
    tale.is_right();
    tale.call("c", tale.now, tale.now + 59 * SECOND, End::Conflict);
    tale.only("sent away before");
    let mut tale = Tale::new();
    tale.call("b", tale.now, tale.now + SECOND, End::Cancelled);
    tale.only("nobody asked for that");
}

#[test]
fn finds_a_place_that_is_left_behind() {
    let mut tale = Tale::new();
    tale.arrive("b");
    tale.only("left behind");
}

#[test]
fn finds_a_token_that_went_back() {
    let mut tale = handing_over();
    tale.hand_to(0, 9);
    tale.asks_to_release("b", 9);
    tale.hand_to(0, 12);
    tale.free();
    tale.only("the token went back");
}

#[test]
fn finds_two_grants_for_one_end() {
    // b and c are granted at once.
    let mut tale = handing_over();
    tale.hand_to(0, 11);
    tale.hand_to(0, 12);
    tale.free();
    tale.only("two leases were live at once");
    // b is granted, and again.
    let mut tale = handing_over();
    let mut place = tale.line.remove(0);
    for token in [11, 12] {
        tale.write(|tale| {
            tale.hold("b", token);
            place.granted = Some(token);
            tale.push(What::Changed(place.clone()));
        });
        tale.asks_to_release("b", token);
    }
    tale.write(|tale| tale.push(What::Left(place)));
    tale.hand_to(0, 13);
    tale.free();
    let wrong = check(&tale.history, &tale.told);
    assert!(wrong.iter().any(|wrong| wrong.contains("granted twice")), "{wrong:#?}");
}

#[test]
fn finds_a_grant_that_only_the_row_knows_of() {
    let mut tale = handing_over();
    tale.line.remove(0);
    tale.write(|tale| tale.hold("b", 11));
    let wrong = check(&tale.history, &tale.told);
    assert!(wrong.iter().any(|wrong| wrong.contains("granted and still in line")), "{wrong:#?}");
}

#[test]
fn finds_a_lock_that_is_free_while_somebody_waits() {
    let mut tale = two_wait();
    tale.free();
    tale.hand_to(0, 11);
    tale.asks_to_release("b", 11);
    tale.hand_to(0, 12);
    tale.free();
    tale.only("free while somebody waits");
}

#[test]
fn finds_a_miscount() {
    let mut tale = handing_over();
    tale.hand_to(0, 11);
    tale.asks_to_release("b", 11);
    tale.hand_to(0, 12);
    tale.free();
    let Some(Entry { what: What::Lock(row), .. }) = tale.history.last_mut() else {
        unreachable!("the last is the lock's");
    };
    row.waiters = 1;
    tale.only("miscounted");
}

#[test]
fn finds_a_grant_that_is_not_there() {
    let mut tale = Tale::new();
    tale.call("b", tale.now, tale.now + SECOND, tale.granted(11));
    tale.only("a grant that is not there");
    let mut tale = Tale::new();
    let expires_at = tale.now + 1_000 * SECOND;
    let end = End::Granted { token: 10, expires_at, reentrant: true };
    tale.call("a", tale.now, tale.now + SECOND, end);
    tale.only("a longer lease");
}

#[test]
fn what_nobody_took_may_be_passed_on_and_what_somebody_took_may_not() {
    let passed_on = |end: End| {
        let mut tale = handing_over();
        tale.write(|tale| {
            let place = tale.line.remove(0);
            tale.hold("b", 11);
            tale.push(What::Left(place));
        });
        let ended_at = tale.now + SECOND / 10;
        tale.call("b", tale.now - 5 * SECOND, ended_at, end);
        tale.hand_to(0, 12);
        tale.free();
        tale
    };
    passed_on(End::GaveUp).is_right();
    // Its call was there, and its server as well or not.
    let mut tale = passed_on(End::GaveUp);
    tale.call("b", 10 * SECOND, 40 * SECOND, End::GaveUp);
    tale.only("taken away from somebody who waited for it");
    tale.told.outages.push(Outage { server: 0, from: 11 * SECOND, to: 20 * SECOND });
    tale.is_right();
    let expires_at = 12 * SECOND;
    passed_on(End::Granted { token: 11, expires_at, reentrant: false })
        .only("two leases were live at once");
}
