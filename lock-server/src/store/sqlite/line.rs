//! The line for a resource: who comes, who goes, and who is next. Everything in
//! the transaction that decides on the resource.

mod places;

use rusqlite::params;

#[cfg(test)]
pub(super) use self::places::{FIRST, HOLDS_WHAT_IS_WAITED_FOR, PLACE, PLACES_OF};
use self::places::{First, Place};
use super::{
    events::{self, Stale},
    rows,
    table::Found,
    turn::Turn,
};
use crate::domain::{
    Acquire, Leave, Lock, LockEventKind, Outcome, Resource, Span, There, Timestamp, Wait,
};

const HAND_ON: &str = "
    UPDATE locks
    SET owner_id = ?2, fencing_token = ?3, acquired_at = ?4, renewed_at = ?4, expires_at = ?5,
        ttl = ?6, reentries = 0, metadata = ?7, freed_at = NULL, waiters = ?8
    WHERE rowid = ?1";

/// Whether a hold ends as its resource is handed on, or has run out before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It ends: with nobody in line the resource is free.
    Ends,
    /// It is over: with nobody in line the resource stays as it is.
    IsOver,
}

/// To whom a resource was handed on.
struct Handed {
    place: i64,
    is_here: bool,
    lock: Lock,
}

impl Turn<'_> {
    /// Puts an owner in line, or finds what has become of its place there. None:
    /// it does not need one, and the rules decide.
    pub(super) fn ask(
        &mut self,
        acquire: &Acquire,
        wait: Wait,
        found: &mut Option<Found>,
    ) -> rusqlite::Result<Option<Outcome>> {
        let (resource, owner) = (&acquire.resource, &acquire.owner);
        let mut place = self.place(resource, owner)?;
        if let Some(settled) = place.take_if(|place| place.is_settled()) {
            self.go(settled.id)?;
            if let Some(outcome) = self.settled(&settled, acquire, wait, found.as_ref()) {
                return Ok(Some(outcome));
            }
        }
        if wait.again && place.is_none() {
            // It is never put in line anew: what was sent after it may have been
            // carried out by now.
            let is_own =
                |found: &Found| found.row.is_live(self.now) && found.row.owner == acquire.owner;
            let holds = found.as_ref().is_some_and(is_own);
            return Ok(Some(Outcome::NotInLine { holds }));
        }
        let Some(standing) = found else { return Ok(None) };
        if standing.row.is_live(self.now) && standing.row.owner == *owner {
            return Ok(None);
        }
        if let Some(place) = &place {
            self.stay(place.id, acquire, wait)?;
        }
        if standing.is_due(self.now) {
            if let Some(handed) = self.hand_on(resource, standing, Hold::IsOver)? {
                if place.as_ref().is_some_and(|place| place.id == handed.place) {
                    let Handed { lock, place, .. } = handed;
                    return Ok(Some(Outcome::Claimed { lock, place }));
                }
                self.tell(handed);
            }
            *found = self.table.read(resource)?;
        }
        match found {
            Some(found) if found.row.is_live(self.now) => {
                self.stand_in_line(acquire, wait, place.as_ref(), found).map(Some)
            }
            // Nobody who was in line is there.
            _ => Ok(None),
        }
    }

    /// What has become of a place that is not waited at any more: none if
    /// nothing that counts still.
    fn settled(
        &self,
        place: &Place,
        acquire: &Acquire,
        wait: Wait,
        found: Option<&Found>,
    ) -> Option<Outcome> {
        if place.cancelled && wait.again {
            return Some(Outcome::Cancelled { place: place.id });
        }
        let row = &found?.row;
        (place.is_for(row, &acquire.owner, self.now) && row.reentries == 0).then(|| {
            let lock = row.lock(&acquire.resource, self.now);
            Outcome::Claimed { lock, place: place.id }
        })
    }

    /// Puts an owner in line for what another holds, unless it is there already.
    fn stand_in_line(
        &mut self,
        acquire: &Acquire,
        wait: Wait,
        place: Option<&Place>,
        found: &mut Found,
    ) -> rusqlite::Result<Outcome> {
        let place = match place {
            Some(place) => place.id,
            None => {
                let most = self.here.waiting.most_for_one;
                if found.row.waiters >= u64::from(most) {
                    return Ok(Outcome::QueueFull { most });
                }
                let place = self.come(acquire, wait)?;
                found.row.waiters += 1;
                self.table.set_waiters(found.at, found.row.waiters)?;
                place
            }
        };
        // A place is kept for as long as its server is there: from the first one on.
        self.say_alive(Span::from(self.here.alive_for() / 2))?;
        Ok(Outcome::Waiting {
            holder: found.row.lock(&acquire.resource, self.now),
            place,
            may_close_circle: self.holds_what_is_waited_for(&acquire.owner)?,
        })
    }

    /// Takes an owner out of line. None: what it holds is for the rules.
    pub(super) fn leave(
        &mut self,
        leave: &Leave,
        found: Option<&Found>,
    ) -> rusqlite::Result<Option<Outcome>> {
        let place = self.place(&leave.resource, &leave.owner)?;
        if let There::NobodyFor(token) = leave.there {
            if let Some(place) = place.filter(|place| place.granted == Some(token)) {
                self.go(place.id)?;
            }
            return Ok(None);
        }
        let Some(place) = place.filter(|place| place.is_here) else {
            return Ok(Some(Outcome::Left { granted: None }));
        };
        self.go(place.id)?;
        if let Some(found) = found.filter(|_| !place.is_settled()) {
            self.table.set_waiters(found.at, found.row.waiters.saturating_sub(1))?;
        }
        if leave.there == There::Nobody {
            if let (Some(found), Some(token)) = (found, place.granted)
                && found.row.is_untaken(&leave.owner, token)
            {
                self.note_end(LockEventKind::Released, &leave.resource, &found.row)?;
                self.end_hold(&leave.resource, found)?;
            }
            return Ok(Some(Outcome::Left { granted: None }));
        }
        let granted = found.filter(|found| place.is_for(&found.row, &leave.owner, self.now));
        let granted = granted.map(|found| found.row.lock(&leave.resource, self.now));
        Ok(Some(Outcome::Left { granted }))
    }

    /// Hands on what is waited for and not held any more.
    pub(super) fn pass_on_if_due(
        &mut self,
        resource: &Resource,
        found: &mut Option<Found>,
    ) -> rusqlite::Result<()> {
        if let Some(due) = found.as_ref().filter(|found| found.is_due(self.now)) {
            if let Some(handed) = self.hand_on(resource, due, Hold::IsOver)? {
                self.tell(handed);
            }
            *found = self.table.read(resource)?;
        }
        Ok(())
    }

    /// Ends a hold: the resource goes to who waits for it, or is free.
    pub(super) fn end_hold(&mut self, resource: &Resource, found: &Found) -> rusqlite::Result<()> {
        if found.row.waiters == 0 {
            return self.table.free(found.at, self.now);
        }
        if let Some(handed) = self.hand_on(resource, found, Hold::Ends)? {
            self.tell(handed);
        }
        Ok(())
    }

    /// Grants a resource to the first in line who is still there. A place of this
    /// process is taken with the grant; of an earlier one's, the grant stands in
    /// the row, for the owner to ask for it here.
    fn hand_on(
        &mut self,
        resource: &Resource,
        found: &Found,
        hold: Hold,
    ) -> rusqlite::Result<Option<Handed>> {
        let Found { at, row } = found;
        let mut dropped = 0;
        let first = loop {
            match self.first(resource)? {
                Some(first) if first.is_there => break first,
                Some(first) => {
                    self.go(first.place)?;
                    dropped += 1;
                }
                None => {
                    if hold == Hold::Ends {
                        self.table.free(*at, self.now)?;
                    }
                    self.table.set_waiters(*at, 0)?;
                    return Ok(None);
                }
            }
        };
        let waiters = row.waiters.saturating_sub(dropped + 1);
        let First { place, owner, ttl, metadata, server, .. } = first;
        let granted = row.handed_to(owner, ttl, metadata, waiters, self.now);
        let takes_over = hold == Hold::IsOver && row.is_stale(self.now);
        self.note_grant(resource, takes_over.then_some(row), &granted)?;
        self.transaction.prepare_cached(HAND_ON)?.execute(params![
            at,
            granted.owner.as_str(),
            granted.token.for_table(),
            granted.acquired_at.micros(),
            granted.expires_at.map(Timestamp::micros),
            granted.ttl.micros(),
            rows::metadata_text(&granted.metadata)?,
            i64::try_from(waiters).unwrap_or(i64::MAX),
        ])?;
        let is_here = server == self.here.server && !self.here.has_sent_away();
        if is_here {
            self.go(place)?;
        } else {
            self.leave_granted(place, granted.token)?;
        }
        let lock = granted.lock(resource, self.now);
        if takes_over {
            events::note_taken_over(self.transaction, self.now, &lock, &Stale::of(row))?;
        }
        Ok(Some(Handed { place, is_here, lock }))
    }

    fn tell(&mut self, handed: Handed) {
        if handed.is_here {
            self.tell_granted(handed.place, handed.lock);
        }
    }
}

// === impl Found ===

impl Found {
    /// Whether it is waited for and not held any more.
    fn is_due(&self, now: Timestamp) -> bool {
        self.row.waiters > 0 && !self.row.is_live(now)
    }
}
