//! Commands on resources that somebody waits for: by the functions of migration
//! 0004, one call for each command, a batch of them in one statement.
//!
//! Whoever is granted a lock by one of them and waits at this server is told by
//! a [`Wake`]; those at other servers by the notification that the function
//! sends.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sqlx::{AssertSqlSafe, postgres::PgRow};

use super::{For, Outcomes, Part, PostgresStore, Query, StoreError, rows};
use crate::{
    domain::{Acquire, HandOn, Leave, Outcome, Release, Resource, There, Wait},
    store::{Wake, postgres::rows::Asked},
};

/// The most resources that are remembered as crowded.
const MOST_CROWDED: usize = 65_536;

/// Resources that somebody was seen to wait for: their commands go to the
/// functions at once, instead of after a statement that passes them by. A guess:
/// the functions do right by those that nobody waits for, too, and slower.
#[derive(Debug, Default)]
pub(in crate::store::postgres) struct Crowded(Mutex<HashSet<Resource>>);

impl Crowded {
    pub(super) fn has(&self, resource: &Resource) -> bool {
        self.resources().contains(resource)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources().is_empty()
    }

    /// Notes how many wait for a resource.
    fn note(&self, resource: &Resource, waiters: u64) {
        let mut resources = self.resources();
        if waiters == 0 {
            resources.remove(resource);
        } else if resources.len() < MOST_CROWDED && !resources.contains(resource) {
            resources.insert(resource.clone());
        }
    }

    fn resources(&self) -> MutexGuard<'_, HashSet<Resource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresStore {
    /// Puts in line who meets a conflict: whom the queue sends back.
    pub(super) async fn ask<'a>(
        &'a self,
        what: For,
        mut asking: Part<'a, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<Part<'a, Acquire>, StoreError> {
        let Some(answer) = self.hand_on_part(what, &mut asking, Self::ask_query).await? else {
            return Ok(Part::default());
        };
        for row in &answer {
            let rows::Answer { command, asked, handed } = rows::asked(row)?;
            if let Some((place, lock)) = handed {
                self.news.send(Wake::Granted { place, lock: Box::new(lock) });
            }
            if let Asked::Granted { lock, .. } | Asked::Waiting { holder: lock, .. } = &asked {
                self.crowded.note(&lock.resource, lock.waiters);
            }
            outcomes[command] = match asked {
                Asked::Granted { lock, place } => Some(Outcome::Claimed { lock, place }),
                Asked::Waiting { holder, place, may_close_circle } => {
                    Some(Outcome::Waiting { holder, place, may_close_circle })
                }
                Asked::Cancelled { place } => Some(Outcome::Cancelled { place }),
                Asked::NotInLine { holds } => Some(Outcome::NotInLine { holds }),
                Asked::Full => Some(Outcome::QueueFull { most: self.waiting.most_for_one }),
                Asked::Retry => None,
            };
        }
        asking.retain_undecided(outcomes);
        Ok(asking)
    }

    fn ask_query<'q>(&'q self, asking: &Part<'q, Acquire>) -> Query<'q> {
        let waits = |acquire: &Acquire| acquire.wait.map_or(0, |wait: Wait| wait.time.micros());
        let again = |acquire: &Acquire| acquire.wait.is_some_and(|wait| wait.again);
        let query = sqlx::query(AssertSqlSafe(self.ask_sql.as_str())).bind(asking.places());
        asking
            .taken(query)
            .bind(asking.column(waits))
            .bind(asking.column(again))
            .bind(i32::try_from(self.waiting.most_for_one).unwrap_or(i32::MAX))
            .bind(self.id)
            .bind(self.grace_micros())
    }

    /// Releases what is waited for, and hands it on: what is to be decided on
    /// anew.
    pub(super) async fn release_waited<'a>(
        &'a self,
        what: For,
        mut releases: Part<'a, Release>,
        outcomes: &mut Outcomes,
    ) -> Result<Part<'a, Release>, StoreError> {
        let query = Self::release_waited_query;
        let asked: HashMap<usize, &Resource> =
            releases.commands.iter().map(|(place, resource, _)| (*place, *resource)).collect();
        let Some(answer) = self.hand_on_part(what, &mut releases, query).await? else {
            return Ok(Part::default());
        };
        for row in &answer {
            let handed = rows::handed(row)?;
            let waiters = handed.lock.as_ref().map_or(0, |lock| lock.waiters);
            self.crowded.note(asked[&handed.place], waiters);
            if let Some(ended) = handed.done {
                outcomes[handed.place] = Some(Outcome::Released { ended });
            }
            self.tell(handed);
        }
        releases.retain_undecided(outcomes);
        Ok(releases)
    }

    fn release_waited_query<'q>(&'q self, releases: &Part<'q, Release>) -> Query<'q> {
        releases.released(&self.release_waited_sql).bind(self.here())
    }

    /// Takes out of line.
    pub(super) async fn leave(
        &self,
        what: For,
        mut leaves: Part<'_, Leave>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let Some(answer) = self.hand_on_part(what, &mut leaves, Self::leave_query).await? else {
            return Ok(());
        };
        for row in &answer {
            let handed = rows::handed(row)?;
            self.note_crowd(&handed);
            let taken = handed.done == Some(true);
            let granted = handed.lock.clone().filter(|_| taken);
            outcomes[handed.place] = Some(Outcome::Left { granted });
            self.tell(handed);
        }
        Ok(())
    }

    fn leave_query<'q>(&'q self, leaves: &Part<'q, Leave>) -> Query<'q> {
        let owners: Vec<_> = leaves.column(|leave| leave.owner.as_str());
        let tokens: Vec<_> = leaves.column(|leave| match leave.there {
            There::NobodyFor(token) => Some(token.for_table()),
            There::Caller | There::Nobody => None,
        });
        let nobody: Vec<_> = leaves.column(|leave| leave.there != There::Caller);
        let query = leaves.start(&self.leave_sql).bind(owners).bind(tokens);
        query.bind(nobody).bind(self.here())
    }

    /// Hands on what has run out.
    pub(super) async fn hand_on(
        &self,
        what: For,
        mut hand_ons: Part<'_, HandOn>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let query = Self::hand_on_query::<HandOn>;
        let Some(answer) = self.hand_on_part(what, &mut hand_ons, query).await? else {
            return Ok(());
        };
        for row in &answer {
            let handed = rows::handed(row)?;
            self.note_crowd(&handed);
            outcomes[handed.place] = Some(Outcome::HandedOn { lock: handed.lock.clone() });
            self.tell(handed);
        }
        Ok(())
    }

    /// Hands on what is asked for and has run out, so that nobody overtakes: what
    /// of it is to be asked for again. What somebody else has locked is left out.
    pub(super) async fn hand_over<'a>(
        &'a self,
        what: For,
        mut asked_for: Part<'a, Acquire>,
    ) -> Result<Part<'a, Acquire>, StoreError> {
        let query = Self::hand_on_query::<Acquire>;
        let Some(answer) = self.hand_on_part(what, &mut asked_for, query).await? else {
            return Ok(Part::default());
        };
        for row in &answer {
            let handed = rows::handed(row)?;
            self.note_crowd(&handed);
            self.tell(handed);
        }
        Ok(asked_for)
    }

    fn hand_on_query<'q, C>(&'q self, part: &Part<'q, C>) -> Query<'q> {
        part.start(&self.hand_on_sql).bind(self.here())
    }

    /// As [`Self::run_part`], for a function that grants: in an epoch that is
    /// the database's. Where what became of it is unknown, somebody may have
    /// been granted and not told.
    async fn hand_on_part<'q, C>(
        &'q self,
        what: For,
        part: &mut Part<'q, C>,
        query: impl Fn(&'q Self, &Part<'q, C>) -> Query<'q> + Copy,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let mut answer = self.run_part(what, part, query).await;
        if answer.as_ref().is_err_and(StoreError::is_of_another_epoch) {
            self.check_epoch().await?;
            answer = self.run_part(what, part, query).await;
        }
        if answer.is_err() {
            self.news.send(Wake::Missed);
        }
        answer
    }

    fn note_crowd(&self, handed: &rows::Handed) {
        if let Some(lock) = &handed.lock {
            self.crowded.note(&lock.resource, lock.waiters);
        }
    }

    fn tell(&self, handed: rows::Handed) {
        if let rows::Handed { handed: Some(place), lock: Some(lock), .. } = handed {
            self.news.send(Wake::Granted { place, lock: Box::new(lock) });
        }
    }
}

/// The resource of a waiter, as a notification names it: a line each for type,
/// id and owner.
pub(in crate::store::postgres) fn settled(payload: &str) -> Option<Wake> {
    let mut lines = payload.split('\n');
    let (kind, id, owner) = (lines.next()?, lines.next()?, lines.next()?);
    let resource = Resource::stored(kind.to_owned(), id.to_owned());
    Some(Wake::Settled { resource, owner: crate::domain::OwnerId::stored(owner.to_owned()) })
}
