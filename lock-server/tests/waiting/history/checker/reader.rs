//! Follows the lock and its queue through the history.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Micros, Place, Row, SECOND, Told, What};

/// How long a server's word may be under way to those who decide on it.
const COMMITTED_WITHIN: Micros = 3 * SECOND / 10;

/// How long a lease that has run out may stand while somebody waits and is there.
const HANDED_ON_WITHIN: Micros = 5 * SECOND;

/// The lock and its queue at one point of the history.
struct Reader<'a> {
    told: &'a Told,
    /// What each server said: when, and until when it is there.
    alive: HashMap<&'a str, Vec<(Micros, Micros)>>,
    row: Option<&'a Row>,
    line: BTreeMap<i64, Standing<'a>>,
    /// The place whose owner the row has just been granted to.
    granting: Option<i64>,
    wrong: Vec<String>,
}

/// A place that is there.
struct Standing<'a> {
    place: &'a Place,
    arrived_at: Micros,
    changed_at: Micros,
}

/// What is wrong with what the database wrote down.
pub(super) fn read(history: &[Entry], told: &Told) -> Vec<String> {
    let mut reader = Reader {
        told,
        alive: HashMap::new(),
        row: None,
        line: BTreeMap::new(),
        granting: None,
        wrong: Vec::new(),
    };
    for entry in history {
        if let What::Alive { server, until } = &entry.what {
            reader.alive.entry(server).or_default().push((entry.at, *until));
        }
    }
    // Of transactions that have the row, none is between the lines of another.
    let of_the_lock = history.iter().filter(|entry| !matches!(entry.what, What::Alive { .. }));
    let entries: Vec<&Entry> = of_the_lock.collect();
    for transaction in entries.chunk_by(|one, next| one.tx == next.tx) {
        for entry in transaction {
            reader.read(entry);
        }
        reader.commit(transaction[transaction.len() - 1].at);
    }
    reader.end();
    reader.wrong
}

impl<'a> Reader<'a> {
    fn read(&mut self, entry: &'a Entry) {
        let at = entry.at;
        match &entry.what {
            What::Lock(row) => {
                if let Some(before) = self.row {
                    self.change(before, row, at);
                } else {
                    self.grant(row);
                }
                self.row = Some(row);
            }
            What::Arrived(place) => self.arrive(place, at),
            What::Changed(place) => self.settle(place, at),
            What::Left(place) => self.leave(place, at),
            What::Alive { .. } => {}
        }
    }

    /// From one state of the row to the next.
    fn change(&mut self, before: &Row, after: &Row, at: Micros) {
        if after.token < before.token {
            self.complain("the token went back", (before, after));
            self.grant(after);
        } else if after.token > before.token {
            if before.is_live_at(after.acquired_at) {
                self.end_early(before, after, after.acquired_at);
            }
            self.check_promptness(before, after);
            self.grant(after);
        } else if before.expires_at.is_none() && after.owner.is_empty() {
            // The sweeper has taken the name out of a free row.
        } else if after.owner != before.owner || after.acquired_at != before.acquired_at {
            self.complain("two grants under one token", (before, after));
        } else if after.expires_at.is_none() {
            if before.is_live_at(at) {
                self.end_early(before, after, at);
            }
        } else if before.expires_at.is_none() {
            self.complain("a free lock was held again without a grant", (before, after));
        }
    }

    /// A live hold ends because its owner asked for that, or because nobody was
    /// there to take it.
    fn end_early(&mut self, hold: &Row, after: &Row, at: Micros) {
        let Row { owner, token, .. } = hold;
        if self.told.asked_to_end(owner, *token, at) {
            return;
        }
        if self.told.knew_of(owner, *token) {
            let is_granted = after.token != *token;
            let freed = "a live lease was ended by somebody else";
            let problem = if is_granted { "two leases were live at once" } else { freed };
            self.complain(problem, (hold, after));
        } else if self.told.was_served(owner, hold.acquired_at, at) {
            self.complain("taken away from somebody who waited for it", (hold, after));
        }
    }

    /// Nobody who is there may come before who is granted.
    fn grant(&mut self, row: &Row) {
        let mut in_line = self.line.values().filter(|standing| standing.place.is_in_line());
        let granted = in_line.find(|standing| standing.place.owner == row.owner);
        let place = granted.map(|standing| standing.place.place);
        if let Some(first) = self.first_at(row.acquired_at)
            && place.is_none_or(|place| place > first.place.place)
        {
            self.complain("somebody was overtaken", (first.place, row));
        }
        if let Some(place) = self.granting {
            self.complain("granted to the next before the one before was told", (place, row));
        }
        self.granting = place;
    }

    /// A lease that has run out does not stand while somebody waits for it.
    fn check_promptness(&mut self, before: &Row, after: &Row) {
        let Some(first) = self.first_at(after.acquired_at) else { return };
        let since = before.expires_at.map(|expires_at| expires_at.max(first.arrived_at));
        if since.is_some_and(|since| after.acquired_at - since > HANDED_ON_WITHIN) {
            self.complain("nobody was granted for long", (before, after));
        }
    }

    fn arrive(&mut self, place: &'a Place, at: Micros) {
        if self.line.values().any(|standing| standing.place.owner == place.owner) {
            self.complain("two places for one owner", place);
        }
        if self.line.last_key_value().is_some_and(|(last, _)| *last > place.place) {
            self.complain("a newcomer is not the last", place);
        }
        self.line.insert(place.place, Standing { place, arrived_at: at, changed_at: at });
    }

    fn settle(&mut self, place: &'a Place, at: Micros) {
        let Some(standing) = self.line.get_mut(&place.place) else {
            self.complain("changed and not there", place);
            return;
        };
        let before = std::mem::replace(&mut standing.place, place);
        standing.changed_at = at;
        match (before.granted, place.granted) {
            (None, Some(token)) => {
                let is_its_own =
                    self.row.is_some_and(|row| row.token == token && row.owner == place.owner);
                if !is_its_own || self.granting != Some(place.place) {
                    self.complain("granted what is not its own", (place, self.row));
                }
                self.granting = None;
            }
            (Some(one), Some(other)) if one != other => {
                self.complain("granted twice for one wait", (before, place));
            }
            _ => {}
        }
    }

    fn leave(&mut self, place: &Place, at: Micros) {
        let Some(standing) = self.line.remove(&place.place) else {
            self.complain("left and not there", place);
            return;
        };
        if self.granting == Some(place.place) {
            self.granting = None;
            return;
        }
        let may_go =
            !place.is_in_line() || !self.told.was_served(&place.owner, standing.changed_at, at);
        if !may_go {
            self.complain("lost its place while it waited", (at, place));
        }
    }

    /// What must hold whenever others look.
    fn commit(&mut self, at: Micros) {
        if let Some(place) = self.granting.take() {
            self.complain("granted and still in line", (place, self.row));
        }
        let Some(row) = self.row else { return };
        let in_line = self.line.values().filter(|standing| standing.place.is_in_line()).count();
        if usize::try_from(row.waiters) != Ok(in_line) {
            self.complain("miscounted", (at, in_line, row));
        }
        if row.expires_at.is_none()
            && let Some(first) = self.first_at(at)
        {
            self.complain("free while somebody waits", (at, first.place, row));
        }
    }

    fn end(&mut self) {
        let left: Vec<_> = self.line.values().map(|standing| standing.place).collect();
        for place in left {
            self.complain("left behind in the end", place);
        }
    }

    /// The first in line who is certainly there.
    fn first_at(&self, moment: Micros) -> Option<&Standing<'a>> {
        self.line.values().find(|standing| {
            let place = standing.place;
            place.is_in_line() && place.waits_until > moment && self.is_kept(place, moment)
        })
    }

    /// Whether one of its servers certainly counted as there.
    fn is_kept(&self, place: &Place, moment: Micros) -> bool {
        place.servers.iter().any(|server| {
            let said = self.alive.get(server.as_str()).map_or(&[][..], Vec::as_slice);
            // Who decides has seen what was said a while ago, or any of what
            // was said since.
            let since = said.partition_point(|(at, _)| *at <= moment - COMMITTED_WITHIN);
            let to = said.partition_point(|(at, _)| *at <= moment);
            let seen = since.checked_sub(1).map(|since| &said[since..to]);
            seen.is_some_and(|seen| seen.iter().all(|(_, until)| *until > moment))
        })
    }

    fn complain(&mut self, problem: &str, about: impl std::fmt::Debug) {
        self.wrong.push(format!("{problem}: {about:?}"));
    }
}
