//! The commands of one kind in a batch: as parameters of a statement, and what
//! its rows say of them.

use std::collections::{BTreeMap, HashSet};

use sqlx::{AssertSqlSafe, postgres::PgRow, types::Json};

use super::{Outcomes, waiting::Crowded};
use crate::{
    domain::{Acquire, FencingToken, Lock, Outcome, Release, Renew, Resource, Span},
    store::postgres::{
        Query,
        rows::{self, Quick},
    },
};

/// The commands of one kind in a wave, each with its place in the batch,
/// ordered by resource.
pub(super) struct Part<'a, C> {
    pub(super) commands: Vec<(usize, &'a Resource, &'a C)>,
}

// === impl Part ===

impl<C> Default for Part<'_, C> {
    fn default() -> Self {
        Self { commands: Vec::new() }
    }
}

impl<'a, C> Part<'a, C> {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Those for which this is so, and the others.
    pub(super) fn split(self, is_so: impl Fn(usize) -> bool) -> (Self, Self) {
        let (so, others) = self.commands.into_iter().partition(|(place, ..)| is_so(*place));
        (Self { commands: so }, Self { commands: others })
    }

    /// Takes those of another part in, in their order by resource.
    pub(super) fn merge(&mut self, other: Self) {
        if !other.is_empty() {
            self.commands.extend(other.commands);
            self.commands.sort_by_key(|(_, resource, _)| *resource);
        }
    }

    pub(super) fn retain_undecided(&mut self, outcomes: &Outcomes) {
        self.commands.retain(|(place, ..)| outcomes[*place].is_none());
    }

    /// What is locked gets no outcome: it is carried out alone, later.
    pub(super) fn leave_out_locked(&mut self, locked: &HashSet<usize>) {
        self.commands.retain(|(place, ..)| !locked.contains(place));
    }

    pub(super) fn column<T>(&self, of: impl Fn(&'a C) -> T) -> Vec<T> {
        self.commands.iter().map(|(_, _, command)| of(command)).collect()
    }

    pub(super) fn places(&self) -> Vec<i64> {
        self.commands.iter().map(|(at, ..)| rows::for_place(*at)).collect()
    }

    pub(super) fn types(&self) -> Vec<&'a str> {
        self.commands.iter().map(|(_, resource, _)| resource.kind().as_str()).collect()
    }

    pub(super) fn ids(&self) -> Vec<&'a str> {
        self.commands.iter().map(|(_, resource, _)| resource.id()).collect()
    }

    /// A statement whose first parameters are the places and resources.
    pub(super) fn start<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        sqlx::query(AssertSqlSafe(sql)).bind(self.places()).bind(self.types()).bind(self.ids())
    }
}

impl<'a> Part<'a, Acquire> {
    /// Takes out those that have a place in line, as far as they know, or will
    /// most likely need one.
    pub(super) fn take_placed(&mut self, crowded: &Crowded) -> Self {
        let placed = |(_, resource, acquire): &mut (usize, &Resource, &Acquire)| {
            acquire.wait.is_some_and(|wait| wait.again || crowded.has(resource))
        };
        Self { commands: self.commands.extract_if(.., placed).collect() }
    }

    /// Takes out those that met a conflict and wait: they have no outcome yet.
    pub(super) fn take_waiting(&mut self, outcomes: &mut Outcomes) -> Self {
        let waits = |(place, _, acquire): &mut (usize, &Resource, &Acquire)| {
            let outcome = &mut outcomes[*place];
            let waits = acquire.wait.is_some() && matches!(outcome, Some(Outcome::Conflict { .. }));
            if waits {
                *outcome = None;
            }
            waits
        };
        Self { commands: self.commands.extract_if(.., waits).collect() }
    }

    /// What is asked for, as parameters.
    pub(super) fn taken<'q>(&self, query: Query<'q>) -> Query<'q>
    where
        'a: 'q,
    {
        let owners: Vec<_> = self.column(|acquire| acquire.owner.as_str());
        let ttls: Vec<_> = self.column(|acquire| acquire.ttl.micros());
        let metadata: Vec<Option<Json<&BTreeMap<String, String>>>> = self.column(|acquire| {
            let entries = acquire.metadata.entries();
            (!entries.is_empty()).then_some(Json(entries))
        });
        query.bind(self.types()).bind(self.ids()).bind(owners).bind(ttls).bind(metadata)
    }

    /// The command of a place. Rows mostly come in the order of the commands, and
    /// `next` is where it would then be.
    pub(super) fn at(
        &self,
        place: usize,
        next: &mut usize,
    ) -> Option<&(usize, &'a Resource, &'a Acquire)> {
        let is_it = |command: &&(usize, &Resource, &Acquire)| command.0 == place;
        let found = self.commands.get(*next).filter(is_it);
        *next += 1;
        found.or_else(|| self.commands.iter().find(is_it))
    }

    /// Notes what the quick statement did, or the one that takes over.
    pub(super) fn note_quick(
        &self,
        rows: &[PgRow],
        outcomes: &mut Outcomes,
    ) -> Result<(), sqlx::Error> {
        let mut next = 0;
        for row in rows {
            let (place, done) = rows::quick(row)?;
            outcomes[place] = match done {
                Quick::Released { ended } => Some(Outcome::Released { ended }),
                Quick::Granted { token, acquired_at, now } => self
                    .at(place, &mut next)
                    .map(|(.., acquire)| rows::new_lock(acquire, token, acquired_at, now))
                    .and_then(|lock| in_time(lock, false)),
                Quick::Refused => {
                    self.at(place, &mut next)
                        .map(|(_, resource, _)| rows::holder(row, resource))
                        .transpose()?
                        // It has run out since the clock was read last.
                        .filter(Lock::is_live)
                        .map(|holder| Outcome::Conflict { holder })
                }
            };
        }
        Ok(())
    }

    /// Notes what was granted. The rows come in the order of the commands.
    pub(super) fn note(
        &self,
        granted: &[PgRow],
        outcomes: &mut Outcomes,
    ) -> Result<(), sqlx::Error> {
        let mut asked = self.commands.iter();
        for row in granted {
            let found = loop {
                match asked.next() {
                    Some(next) if rows::is_about(row, next.1)? => break Some(next),
                    Some(_) => {}
                    None => break None,
                }
            };
            let Some((place, _, acquire)) = found else { break };
            let (lock, reentrant) = rows::granted(row, acquire)?;
            outcomes[*place] = in_time(lock, reentrant);
        }
        Ok(())
    }
}

impl<'a> Part<'a, Release> {
    /// Takes out those of what others most likely wait for.
    pub(super) fn take_crowded(&mut self, crowded: &Crowded) -> Self {
        let is_crowded =
            |(_, resource, _): &mut (usize, &Resource, &Release)| crowded.has(resource);
        Self { commands: self.commands.extract_if(.., is_crowded).collect() }
    }

    /// The release statement, or one that starts with its parameters.
    pub(super) fn released<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        let owners: Vec<_> = self.column(|release| release.owner.as_str());
        let tokens: Vec<_> = self.column(|release| release.token.map(FencingToken::for_table));
        self.start(sql).bind(owners).bind(tokens)
    }
}

impl<'a> Part<'a, Renew> {
    pub(super) fn renewal<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        let owners: Vec<_> = self.column(|renew| renew.owner.as_str());
        let tokens: Vec<_> = self.column(|renew| renew.token.for_table());
        let ttls: Vec<_> = self.column(|renew| renew.ttl.map(Span::micros));
        self.start(sql).bind(owners).bind(tokens).bind(ttls)
    }
}

/// A grant that took longer than the lease is none that anyone could use: it
/// is decided on anew.
fn in_time(lock: Lock, reentrant: bool) -> Option<Outcome> {
    lock.is_live().then_some(Outcome::Granted { lock, reentrant })
}
