//! Carries out batches of commands, each kind as one statement over arrays.
//!
//! What a statement did not carry out is looked at by one that only reads:
//! a conflict, a lease that is not the caller's. What then still has no outcome
//! was changed by somebody else in between, and is tried again.
//!
//! A batch that met a row which somebody else has locked is carried out without
//! it: see [`Part::leave_out_locked`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::Ordering,
};

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow, types::Json};

use super::{
    For, PostgresStore, Query, StoreError,
    rows::{self, Quick},
    statements::LOCKED,
};
use crate::{
    domain::{Acquire, Command, FencingToken, Lock, Outcome, Release, Renew, Resource, Span},
    store::waves::waves,
};

/// How often a command that met a change by somebody else is decided on anew.
/// Each time, that somebody has got on.
const MOST_TRIES: usize = 32;

/// How often a batch that met a locked row is tried without the rows that are
/// locked, before all of it is left out: what keeps it waiting need not be a
/// row that is there to be seen.
const MOST_LOCKED: usize = 3;

/// The outcomes of a batch so far.
type Outcomes = Vec<Option<Outcome>>;

/// The commands of one kind in a wave, each with its place in the batch,
/// ordered by resource.
struct Part<'a, C> {
    commands: Vec<(usize, &'a Resource, &'a C)>,
}

impl PostgresStore {
    /// Carries out a batch, wave after wave.
    pub(super) async fn apply_batch(
        &self,
        what: For,
        commands: &[Command],
    ) -> Result<Outcomes, StoreError> {
        let mut outcomes: Outcomes = vec![None; commands.len()];
        let waves = waves(commands);
        let mut known = (waves.len() > 1).then(Known::default);
        for mut wave in waves {
            if let Some(known) = &known {
                wave.retain(|place| known.is_to_do(&commands[*place], &mut outcomes[*place]));
            }
            let (mut acquires, mut renews, mut releases) =
                (Part::default(), Part::default(), Part::default());
            for place in &wave {
                let resource = commands[*place].resource();
                match &commands[*place] {
                    Command::Acquire(acquire) => {
                        acquires.commands.push((*place, resource, acquire));
                    }
                    Command::Renew(renew) => renews.commands.push((*place, resource, renew)),
                    Command::Release(release) => {
                        releases.commands.push((*place, resource, release));
                    }
                }
            }
            self.quickly(what, &mut releases, &mut acquires, &mut outcomes).await?;
            self.acquire(what, acquires, &mut outcomes).await?;
            self.renew(what, renews, &mut outcomes).await?;
            self.release(what, releases, &mut outcomes).await?;
            if let Some(known) = &mut known {
                for place in wave {
                    known.note(commands[place].resource(), outcomes[place].as_ref());
                }
            }
        }
        self.tell_forced(what, commands, &mut outcomes).await?;
        Ok(outcomes)
    }

    /// Ends leases and takes what is free, where there is more than one to be
    /// taken or also one to be ended. What it leaves undone is left to the
    /// statements that do the one or the other.
    async fn quickly(
        &self,
        what: For,
        releases: &mut Part<'_, Release>,
        acquires: &mut Part<'_, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let several = acquires.commands.len() + releases.commands.len() > 1;
        if acquires.is_empty() || !several || !self.quick.load(Ordering::Relaxed) {
            return Ok(());
        }
        let query = acquires.taken(releases.released(&self.quick_sql).bind(acquires.places()));
        let rows = match self.run_for(what, query).await {
            Err(error) if error.gave_way() || error.met_a_locked_row() => return Ok(()),
            Err(error) if error.is_not_understood() => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "goes on without the quick statement"
                );
                self.quick.store(false, Ordering::Relaxed);
                return Ok(());
            }
            rows => rows?,
        };
        acquires.note_quick(&rows, outcomes)?;
        acquires.retain_undecided(outcomes);
        releases.retain_undecided(outcomes);
        Ok(())
    }

    async fn acquire(
        &self,
        what: For,
        mut acquires: Part<'_, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let query = Self::acquire_query;
            let Some(granted) = self.run_part(what, &mut acquires, query).await? else {
                return Ok(());
            };
            acquires.note(&granted, outcomes)?;
            acquires.retain_undecided(outcomes);
            let standing = self.standing(what, &acquires).await?;
            for (place, _, acquire) in &acquires.commands {
                if let Some(lock) = standing.get(place)
                    && lock.is_live()
                    && lock.owner != acquire.owner
                {
                    outcomes[*place] = Some(Outcome::Conflict { holder: lock.clone() });
                }
            }
            acquires.retain_undecided(outcomes);
            let (stale, others) = acquires.split(|place| standing.contains_key(&place));
            acquires = others;
            acquires.commands.extend(self.take_over(what, stale, outcomes).await?.commands);
            acquires.commands.sort_by_key(|(_, resource, _)| *resource);
            if acquires.is_empty() {
                return Ok(());
            }
            // Either somebody else changed the row, or the database has a new
            // history since the last probe.
            self.check_epoch().await?;
        }
        Err(StoreError::Contended)
    }

    /// Takes what is stale: what of it is to be decided on anew. What somebody
    /// else has locked is left out.
    async fn take_over<'a>(
        &'a self,
        what: For,
        mut stale: Part<'a, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<Part<'a, Acquire>, StoreError> {
        let Some(taken) = self.run_part(what, &mut stale, Self::take_over_query).await? else {
            return Ok(Part::default());
        };
        stale.note_quick(&taken, outcomes)?;
        stale.retain_undecided(outcomes);
        Ok(stale)
    }

    fn take_over_query<'q>(&'q self, stale: &Part<'q, Acquire>) -> Query<'q> {
        let query = sqlx::query(AssertSqlSafe(self.take_over_sql.as_str()));
        stale.taken(query.bind(stale.places()))
    }

    fn acquire_query<'q>(&'q self, acquires: &Part<'q, Acquire>) -> Query<'q> {
        let query = sqlx::query(AssertSqlSafe(self.acquire_sql.as_str()));
        acquires.taken(query).bind(self.max_stall.micros())
    }

    /// Renews leases. In a batch, those that somebody else works on are left
    /// out: no row may cost the others their lease.
    async fn renew(
        &self,
        what: For,
        mut renews: Part<'_, Renew>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let query = match what {
            For::Batch => Self::renew_or_skip_query,
            For::One => Self::renew_query,
        };
        let Some(answer) = self.run_part(what, &mut renews, query).await? else { return Ok(()) };
        let asked: HashMap<usize, &Renew> =
            renews.commands.iter().map(|(place, _, renew)| (*place, *renew)).collect();
        for row in answer {
            let place = rows::place(&row, rows::BEYOND)?;
            outcomes[place] = Some(renewal(&row, asked[&place])?);
        }
        renews.retain_undecided(outcomes);
        // What has no row is not held. What has one was left out, whether
        // somebody still works on it or not.
        let standing = match what {
            For::Batch => self.standing(what, &renews).await?,
            For::One => HashMap::new(),
        };
        for (place, ..) in renews.commands {
            if !standing.contains_key(&place) {
                outcomes[place] = Some(Outcome::not_held(None));
            }
        }
        Ok(())
    }

    fn renew_query<'q>(&'q self, renews: &Part<'q, Renew>) -> Query<'q> {
        renews.renewal(&self.renew_sql)
    }

    fn renew_or_skip_query<'q>(&'q self, renews: &Part<'q, Renew>) -> Query<'q> {
        renews.renewal(&self.renew_or_skip_sql)
    }

    async fn release(
        &self,
        what: For,
        mut releases: Part<'_, Release>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let Some(freed) = self.run_part(what, &mut releases, Self::release_query).await? else {
                return Ok(());
            };
            note_released(&freed, outcomes)?;
            releases.retain_undecided(outcomes);
            let standing = self.standing(what, &releases).await?;
            for (place, _, release) in &releases.commands {
                let outcome = match standing.get(place) {
                    Some(lock) if is_that_of(release, lock) => continue,
                    Some(lock) if lock.is_live() => {
                        let holder = (lock.owner != release.owner).then(|| lock.owner.clone());
                        Outcome::not_held(holder)
                    }
                    // Free, or stale in another's name or under another token.
                    _ => Outcome::Released { ended: false },
                };
                outcomes[*place] = Some(outcome);
            }
            releases.retain_undecided(outcomes);
        }
        if releases.is_empty() { Ok(()) } else { Err(StoreError::Contended) }
    }

    fn release_query<'q>(&'q self, releases: &Part<'q, Release>) -> Query<'q> {
        releases.released(&self.release_sql)
    }

    /// Runs the statement for what is left of a part; none when nothing is left
    /// to be run for.
    async fn run_part<'q, C>(
        &'q self,
        what: For,
        part: &mut Part<'q, C>,
        query: impl Fn(&'q Self, &Part<'q, C>) -> Query<'q>,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let (mut gave_way, mut met_locked) = (0, 0);
        while !part.is_empty() {
            match self.run_for(what, query(self, part)).await {
                Err(error) if error.gave_way() && gave_way < MOST_TRIES => {
                    gave_way += 1;
                    tracing::debug!(%error, gave_way, "the statement gave way to another one");
                }
                Err(error) if error.met_a_locked_row() && what == For::Batch => {
                    met_locked += 1;
                    if met_locked == MOST_LOCKED {
                        return Ok(None);
                    }
                    part.leave_out_locked(&self.locked(what, part).await?);
                }
                result => return result.map(Some),
            }
        }
        Ok(None)
    }

    /// How the resources of these commands stand, by the commands' places:
    /// those that are held or stale.
    async fn standing<C>(
        &self,
        what: For,
        part: &Part<'_, C>,
    ) -> Result<HashMap<usize, Lock>, StoreError> {
        if part.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.run_for(what, part.start(&self.standing_sql)).await?;
        rows.iter().map(|row| Ok((rows::place(row, rows::BEYOND)?, rows::lock(row)?))).collect()
    }

    /// The places of the commands whose rows somebody else has locked.
    async fn locked<C>(&self, what: For, part: &Part<'_, C>) -> Result<HashSet<usize>, StoreError> {
        let rows = self.run_for(what, part.start(LOCKED)).await?;
        rows.iter().map(|row| Ok(rows::place(row, 0)?)).collect()
    }
}

// === impl Part ===

impl<C> Default for Part<'_, C> {
    fn default() -> Self {
        Self { commands: Vec::new() }
    }
}

impl<'a, C> Part<'a, C> {
    fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Those for which this is so, and the others.
    fn split(self, is_so: impl Fn(usize) -> bool) -> (Self, Self) {
        let (so, others) = self.commands.into_iter().partition(|(place, ..)| is_so(*place));
        (Self { commands: so }, Self { commands: others })
    }

    fn retain_undecided(&mut self, outcomes: &Outcomes) {
        self.commands.retain(|(place, ..)| outcomes[*place].is_none());
    }

    /// What is locked gets no outcome: it is carried out alone, later.
    fn leave_out_locked(&mut self, locked: &HashSet<usize>) {
        self.commands.retain(|(place, ..)| !locked.contains(place));
    }

    fn column<T>(&self, of: impl Fn(&'a C) -> T) -> Vec<T> {
        self.commands.iter().map(|(_, _, command)| of(command)).collect()
    }

    fn places(&self) -> Vec<i64> {
        self.commands.iter().map(|(at, ..)| rows::for_place(*at)).collect()
    }

    fn types(&self) -> Vec<&'a str> {
        self.commands.iter().map(|(_, resource, _)| resource.kind().as_str()).collect()
    }

    fn ids(&self) -> Vec<&'a str> {
        self.commands.iter().map(|(_, resource, _)| resource.id()).collect()
    }

    /// A statement whose first parameters are the places and resources.
    fn start<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        sqlx::query(AssertSqlSafe(sql)).bind(self.places()).bind(self.types()).bind(self.ids())
    }
}

impl<'a> Part<'a, Acquire> {
    /// What is asked for, as parameters.
    fn taken<'q>(&self, query: Query<'q>) -> Query<'q>
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
    fn at(&self, place: usize, next: &mut usize) -> Option<&(usize, &'a Resource, &'a Acquire)> {
        let is_it = |command: &&(usize, &Resource, &Acquire)| command.0 == place;
        let found = self.commands.get(*next).filter(is_it);
        *next += 1;
        found.or_else(|| self.commands.iter().find(is_it))
    }

    /// Notes what the quick statement did, or the one that takes over.
    fn note_quick(&self, rows: &[PgRow], outcomes: &mut Outcomes) -> Result<(), sqlx::Error> {
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
    fn note(&self, granted: &[PgRow], outcomes: &mut Outcomes) -> Result<(), sqlx::Error> {
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
    /// The release statement, or one that starts with its parameters.
    fn released<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        let owners: Vec<_> = self.column(|release| release.owner.as_str());
        let tokens: Vec<_> = self.column(|release| release.token.map(FencingToken::for_table));
        self.start(sql).bind(owners).bind(tokens)
    }
}

impl<'a> Part<'a, Renew> {
    fn renewal<'q>(&self, sql: &'q str) -> Query<'q>
    where
        'a: 'q,
    {
        let owners: Vec<_> = self.column(|renew| renew.owner.as_str());
        let tokens: Vec<_> = self.column(|renew| renew.token.for_table());
        let ttls: Vec<_> = self.column(|renew| renew.ttl.map(Span::micros));
        self.start(sql).bind(owners).bind(tokens).bind(ttls)
    }
}

/// What the outcomes so far tell of resources that come again in the batch.
#[derive(Default)]
struct Known<'a> {
    /// Held, as decided on a moment ago.
    held: HashMap<&'a Resource, Lock>,
    /// Left out: what comes after it must wait.
    left_out: HashSet<&'a Resource>,
}

impl<'a> Known<'a> {
    fn note(&mut self, resource: &'a Resource, outcome: Option<&Outcome>) {
        self.held.remove(resource);
        match outcome {
            Some(Outcome::Granted { lock, .. } | Outcome::Conflict { holder: lock }) => {
                self.held.insert(resource, lock.clone());
            }
            Some(_) => {}
            None => {
                self.left_out.insert(resource);
            }
        }
    }

    /// Whether the database must be asked. An acquire that comes right after
    /// another one for the same resource need not be: who holds it was decided
    /// on at a moment at which both were there.
    fn is_to_do(&self, command: &Command, outcome: &mut Option<Outcome>) -> bool {
        if self.left_out.contains(command.resource()) {
            return false;
        }
        if let Command::Acquire(acquire) = command
            && let Some(lock) = self.held.get(&acquire.resource)
            && lock.owner != acquire.owner
        {
            *outcome = Some(Outcome::Conflict { holder: lock.clone() });
            return false;
        }
        true
    }
}

/// A grant that took longer than the lease is none that anyone could use: it
/// is decided on anew.
fn in_time(lock: Lock, reentrant: bool) -> Option<Outcome> {
    lock.is_live().then_some(Outcome::Granted { lock, reentrant })
}

/// Notes what was released: a row has the place and whether the lease was live.
fn note_released(freed: &[PgRow], outcomes: &mut Outcomes) -> Result<(), sqlx::Error> {
    for row in freed {
        outcomes[rows::place(row, 0)?] = Some(Outcome::Released { ended: row.try_get(1)? });
    }
    Ok(())
}

fn is_that_of(release: &Release, lock: &Lock) -> bool {
    lock.owner == release.owner && release.token.is_none_or(|token| token == lock.token)
}

fn renewal(row: &PgRow, asked: &Renew) -> Result<Outcome, sqlx::Error> {
    if row.try_get(rows::BEYOND + 1)? {
        return Ok(Outcome::Renewed(rows::lock(row)?));
    }
    let Some(expires_at) = rows::expires_at(row)? else {
        return Ok(Outcome::not_held(None));
    };
    let lock = Lock { expires_at, ..rows::lock(row)? };
    Ok(if lock.owner == asked.owner && lock.token == asked.token {
        Outcome::Expired { expired_at: expires_at }
    } else {
        let anothers = lock.is_live() && lock.owner != asked.owner;
        Outcome::not_held(anothers.then_some(lock.owner))
    })
}
