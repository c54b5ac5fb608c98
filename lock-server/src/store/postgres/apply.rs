//! Carries out batches of commands, each kind as one statement over arrays.
//!
//! What a statement did not carry out is looked at by one that only reads:
//! a conflict, a lease that is not the caller's. What then still has no outcome
//! was changed by somebody else in between, and is tried again.
//!
//! A batch that met a row which somebody else has locked is carried out without
//! it: see [`Part::leave_out_locked`].

mod part;
mod waiting;

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use self::part::Part;
pub(super) use self::waiting::{Crowded, settled};
use super::{For, PostgresStore, Query, StoreError, rows, statements::LOCKED};
use crate::{
    domain::{Acquire, Command, Lock, Outcome, Release, Renew, Resource},
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
            let (mut leaves, mut hand_ons) = (Part::default(), Part::default());
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
                    Command::Leave(leave) => leaves.commands.push((*place, resource, leave)),
                    Command::HandOn(hand_on) => {
                        hand_ons.commands.push((*place, resource, hand_on));
                    }
                }
            }
            let mut waiting = acquires.take_placed(&self.crowded);
            if !self.crowded.is_empty() {
                let waited_for = releases.take_crowded(&self.crowded);
                releases.merge(self.release_waited(what, waited_for, &mut outcomes).await?);
            }
            waiting.merge(self.quickly(what, &mut releases, &mut acquires, &mut outcomes).await?);
            self.acquire_or_wait(what, acquires, waiting, &mut outcomes).await?;
            self.renew(what, renews, &mut outcomes).await?;
            self.release(what, releases, &mut outcomes).await?;
            self.leave(what, leaves, &mut outcomes).await?;
            self.hand_on(what, hand_ons, &mut outcomes).await?;
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
    /// statements that do the one or the other; what is held and is to be waited
    /// for is returned.
    async fn quickly<'a>(
        &self,
        what: For,
        releases: &mut Part<'_, Release>,
        acquires: &mut Part<'a, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<Part<'a, Acquire>, StoreError> {
        let several = acquires.commands.len() + releases.commands.len() > 1;
        if acquires.is_empty() || !several || !self.quick.load(Ordering::Relaxed) {
            return Ok(Part::default());
        }
        let quick = || {
            let releases = releases.released(self.sql(&self.quick_sql));
            acquires.taken(releases.bind(acquires.places()))
        };
        let mut answer = self.run_for(what, quick()).await;
        while answer.as_ref().is_err_and(StoreError::is_watched) {
            self.note_watched();
            answer = self.run_for(what, quick()).await;
        }
        let rows = match answer {
            Err(error) if error.gave_way() || error.met_a_locked_row() => {
                return Ok(Part::default());
            }
            Err(error) if error.is_not_understood() => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "goes on without the quick statement"
                );
                self.quick.store(false, Ordering::Relaxed);
                return Ok(Part::default());
            }
            rows => rows?,
        };
        acquires.note_quick(&rows, outcomes)?;
        let waiting = acquires.take_waiting(outcomes);
        acquires.retain_undecided(outcomes);
        releases.retain_undecided(outcomes);
        Ok(waiting)
    }

    /// Acquires, and puts in line who is to wait. Whom the queue sends back,
    /// because the resource is its own or gone, acquires again.
    async fn acquire_or_wait<'a>(
        &'a self,
        what: For,
        mut acquires: Part<'a, Acquire>,
        mut waiting: Part<'a, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            waiting.merge(self.acquire(what, acquires, outcomes).await?);
            acquires = self.ask(what, waiting, outcomes).await?;
            waiting = Part::default();
            if acquires.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    /// Takes what is free or stale, and re-enters: what is left is held by
    /// others, and those who ask for it are to wait.
    async fn acquire<'a>(
        &'a self,
        what: For,
        mut acquires: Part<'a, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<Part<'a, Acquire>, StoreError> {
        let mut waiting = Part::default();
        for _ in 0..MOST_TRIES {
            let query = Self::acquire_query;
            let Some(granted) = self.run_part(what, &mut acquires, query).await? else {
                return Ok(waiting);
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
            waiting.merge(acquires.take_waiting(outcomes));
            acquires.retain_undecided(outcomes);
            let (stale, mut others) = acquires.split(|place| standing.contains_key(&place));
            // What others wait for goes to them first. Of what is free there
            // should be none, and its number is not known: it is asked for alike.
            let waited = |place| standing.get(&place).is_none_or(|lock| lock.waiters > 0);
            let (waited, stale) = stale.split(waited);
            others.merge(waited);
            others = self.hand_over(what, others).await?;
            others.merge(self.take_over(what, stale, outcomes).await?);
            acquires = others;
            if acquires.is_empty() {
                return Ok(waiting);
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
        let query = sqlx::query(AssertSqlSafe(self.sql(&self.acquire_sql)));
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
            For::One | For::Watching => Self::renew_query,
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
            For::One | For::Watching => HashMap::new(),
        };
        for (place, ..) in renews.commands {
            if !standing.contains_key(&place) {
                outcomes[place] = Some(Outcome::not_held(None));
            }
        }
        Ok(())
    }

    fn renew_query<'q>(&'q self, renews: &Part<'q, Renew>) -> Query<'q> {
        renews.renewal(self.sql(&self.renew_sql))
    }

    fn renew_or_skip_query<'q>(&'q self, renews: &Part<'q, Renew>) -> Query<'q> {
        renews.renewal(self.sql(&self.renew_or_skip_sql))
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
            // What is its own still is waited for, or was locked meanwhile.
            let is_waited_for = |place| standing.get(&place).is_some_and(|lock| lock.waiters > 0);
            let (waited_for, others) = releases.split(is_waited_for);
            releases = others;
            releases.merge(self.release_waited(what, waited_for, outcomes).await?);
            if releases.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    fn release_query<'q>(&'q self, releases: &Part<'q, Release>) -> Query<'q> {
        releases.released(self.sql(&self.release_sql))
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
                Err(error) if error.is_watched() => self.note_watched(),
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
            && acquire.wait.is_none()
            && let Some(lock) = self.held.get(&acquire.resource)
            && lock.owner != acquire.owner
        {
            *outcome = Some(Outcome::Conflict { holder: lock.clone() });
            return false;
        }
        true
    }
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
