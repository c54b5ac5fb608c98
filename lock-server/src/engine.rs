//! Carries out checked requests: bounds how many are under way, hands them to
//! the store, and turns outcomes that are no success into errors.
//!
//! It keeps nothing that a lock depends on. Commands that arrive while the
//! store is busy are carried out together: see [`batcher`].

mod admission;
mod batcher;
mod readiness;
mod sweeper;

use std::{collections::HashMap, sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use self::readiness::chain;
use self::{
    admission::{Admission, Share},
    batcher::{Batcher, Job, Reply},
};
pub use self::{
    batcher::{Answer, Answers, Done},
    readiness::watch_readiness,
    sweeper::{Sweeper, SweeperOptions},
};
use crate::{
    domain::{
        Acquire, Actor, Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock,
        LockPage, Outcome, OwnerId, Purge, Release, Renew, Resource, StaleFilter, StalePage,
        Timestamp, TtlPolicy,
    },
    error::LockError,
    store::Store,
};

/// How many locks one statement frees.
const FREE_BATCH: u32 = 1_000;

/// How many leases weigh as much as one request under `--max-queue`.
const LEASES_A_PLACE: usize = 64;

/// Carries out requests on one store.
#[derive(Debug)]
pub struct LockEngine {
    store: Arc<dyn Store>,
    batcher: Batcher,
    ttl: TtlPolicy,
    admission: Admission,
    stopping: CancellationToken,
}

impl LockEngine {
    /// An engine on a store, with at most `max_queue` requests under way. Must
    /// be called in a runtime.
    pub fn new(
        store: Arc<dyn Store>,
        ttl: TtlPolicy,
        max_queue: usize,
        stopping: CancellationToken,
    ) -> Self {
        let admission = Admission::new(max_queue, stopping.clone());
        let batcher = Batcher::new(Arc::clone(&store));
        Self { store, batcher, ttl, admission, stopping }
    }

    /// Limits and defaults of the time to live.
    pub fn ttl(&self) -> &TtlPolicy {
        &self.ttl
    }

    /// Cancelled when the server stops: long streams end then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Waits until no request is under way.
    pub async fn idle(&self) {
        self.admission.empty().await;
    }

    /// Puts a command in line. Its answer comes under the number given; the
    /// commands that are submitted one after the other for one resource take
    /// effect in that order.
    ///
    /// # Errors
    /// When the server is stopping or overloaded; the command is not in line.
    pub fn submit(
        &self,
        command: Command,
        number: u64,
        answers: &Answers,
    ) -> Result<(), LockError> {
        let place = self.admission.enter(1)?;
        let reply = Reply::Numbered(number, answers.clone());
        let place = Share::Whole { _place: place };
        self.batcher.submit(Job { command, reply, place, since: Instant::now() });
        Ok(())
    }

    /// Carries out one command. It is in line when this returns; what is
    /// returned waits for the answer.
    ///
    /// # Errors
    /// When the server is stopping or overloaded, or the store is away.
    pub fn carry_out(&self, command: Command) -> impl Future<Output = Answer> + Send + use<> {
        let submitted = self.admission.enter(1).map(|place| {
            let (sender, answer) = oneshot::channel();
            let reply = Reply::One(sender);
            let place = Share::Whole { _place: place };
            self.batcher.submit(Job { command, reply, place, since: Instant::now() });
            answer
        });
        async move { submitted?.await.unwrap_or(Err(LockError::ShuttingDown)) }
    }

    /// Grants a lock, or re-enters it (`true`).
    ///
    /// # Errors
    /// [`LockError::Conflict`] when another owner holds it.
    pub async fn acquire(&self, acquire: Acquire) -> Result<(Lock, bool), LockError> {
        acquired(self.carry_out(Command::Acquire(acquire)).await)
    }

    /// Sets the expiry of a live lease anew.
    ///
    /// # Errors
    /// [`LockError::Expired`] or [`LockError::NotHeld`] when there is none.
    pub async fn renew(&self, renew: Renew) -> Result<Lock, LockError> {
        renewed(self.carry_out(Command::Renew(renew)).await)
    }

    /// Ends a lease: whether it was live.
    ///
    /// # Errors
    /// [`LockError::NotHeld`] when another hold is live.
    pub async fn release(&self, release: Release) -> Result<bool, LockError> {
        released(self.carry_out(Command::Release(release)).await)
    }

    /// Renews many leases: one result for each, in the same order. They are in
    /// line when this returns; what is returned waits for the answers.
    ///
    /// # Errors
    /// When one could not be decided on: nothing is said of the others then.
    pub fn keep_alive(
        &self,
        leases: Vec<Renew>,
    ) -> impl Future<Output = Result<Vec<Result<Lock, LockError>>, LockError>> + Send + use<> {
        let place = match leases.len() {
            0 => Ok(None),
            count => self.admission.enter(1 + count / LEASES_A_PLACE).map(Arc::new).map(Some),
        };
        let submitted = place.map(|place| {
            // The same lease twice is decided on once and answered twice.
            let mut places: HashMap<&Renew, usize> = HashMap::with_capacity(leases.len());
            let mut commands = Vec::with_capacity(leases.len());
            let asked: Vec<usize> = leases
                .iter()
                .map(|lease| {
                    *places.entry(lease).or_insert_with(|| {
                        commands.push(Command::Renew(lease.clone()));
                        commands.len() - 1
                    })
                })
                .collect();
            let (sender, answers) = mpsc::unbounded_channel();
            let (since, count) = (Instant::now(), commands.len());
            // The leases share the place of their request, for as long as one of
            // them is in line; not for as long as nobody reads the answer.
            if let Some(place) = place {
                self.batcher.submit_all((0..).zip(commands).map(|(number, command)| Job {
                    command,
                    reply: Reply::Numbered(number, sender.clone()),
                    place: Share::Part { _place: Arc::clone(&place) },
                    since,
                }));
            }
            (asked, answers, count)
        });
        async move {
            let (asked, answers, count) = submitted?;
            let outcomes = gather(answers, count).await?;
            let results = asked.into_iter().zip(leases);
            Ok(results.map(|(at, lease)| renewal(outcomes[at].clone(), lease)).collect())
        }
    }

    /// Frees all that an owner holds: how many live leases ended.
    ///
    /// # Errors
    /// When the store is away. Some may be free by then.
    pub async fn release_all(&self, owner: &OwnerId) -> Result<u64, LockError> {
        let _place = self.admission.enter(1)?;
        let mut released = 0;
        loop {
            let freed = self.store.release_owner(owner, FREE_BATCH).await?;
            released += freed.live;
            if freed.rows < u64::from(FREE_BATCH) {
                return Ok(released);
            }
        }
    }

    /// The live or stale lock of a resource.
    ///
    /// # Errors
    /// [`LockError::NotFound`] when it is free.
    pub async fn get(&self, resource: Resource) -> Result<Lock, LockError> {
        let _place = self.admission.enter(1)?;
        let found = self.store.get(&resource).await?;
        found.ok_or(LockError::NotFound { resource })
    }

    /// A page of live locks.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, LockError> {
        let _place = self.admission.enter(1)?;
        Ok(self.store.list(filter, after, size).await?)
    }

    /// A page of stale locks.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn list_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, LockError> {
        let _place = self.admission.enter(1)?;
        Ok(self.store.list_stale(filter, after, size).await?)
    }

    /// Frees stale locks: how many.
    ///
    /// # Errors
    /// When the store is away. Some may be free by then.
    pub async fn purge_stale(&self, filter: StaleFilter, actor: Actor) -> Result<u64, LockError> {
        let _place = self.admission.enter(1)?;
        Ok(sweeper::purge_all(self.store.as_ref(), Purge::new(filter, actor)).await?)
    }

    /// Breaks a hold: the lock as it was.
    ///
    /// # Errors
    /// [`LockError::MovedOn`] when it is held under another token,
    /// [`LockError::NotFound`] when it is free.
    pub async fn force_release(&self, asked: ForceRelease) -> Result<Lock, LockError> {
        let _place = self.admission.enter(1)?;
        match self.store.force_release(&asked).await? {
            Forced::Released(lock) => Ok(lock),
            Forced::MovedOn(lock) => {
                Err(LockError::MovedOn { asked: asked.token, lock: Box::new(lock) })
            }
            Forced::Free => Err(LockError::NotFound { resource: asked.resource }),
        }
    }

    /// A page of the audit trail, the newest event first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, LockError> {
        let _place = self.admission.enter(1)?;
        Ok(self.store.events(filter, before, size).await?)
    }
}

/// The outcomes of numbered commands, by their numbers.
async fn gather(
    mut answers: mpsc::UnboundedReceiver<(u64, Answer)>,
    count: usize,
) -> Result<Vec<Outcome>, LockError> {
    let mut outcomes = vec![None; count];
    while let Some((number, answer)) = answers.recv().await {
        if let Some(slot) = usize::try_from(number).ok().and_then(|at| outcomes.get_mut(at)) {
            *slot = Some(answer?.outcome);
        }
    }
    // Every sender is gone: all have answered, or the batches ended with the
    // server.
    outcomes.into_iter().collect::<Option<_>>().ok_or(LockError::ShuttingDown)
}

/// What an acquire came to: the lock, and whether it was held before.
///
/// # Errors
/// [`LockError::Conflict`] when another owner holds it.
pub fn acquired(answer: Answer) -> Result<(Lock, bool), LockError> {
    match answer?.outcome {
        Outcome::Granted { lock, reentrant } => Ok((lock, reentrant)),
        Outcome::Conflict { holder } => {
            // Nobody can wait yet, so nobody does.
            Err(LockError::Conflict { holder: Box::new(holder), queue_length: 0 })
        }
        other => unreachable!("an acquire came to {other:?}"),
    }
}

/// What a renewal came to: the lock.
///
/// # Errors
/// [`LockError::Expired`] or [`LockError::NotHeld`] when there is no lease.
pub fn renewed(answer: Answer) -> Result<Lock, LockError> {
    match answer? {
        Done { command: Command::Renew(renew), outcome } => renewal(outcome, renew),
        other => unreachable!("a renewal came to {other:?}"),
    }
}

/// What a release came to: whether the lease was live.
///
/// # Errors
/// [`LockError::NotHeld`] when another hold is live.
pub fn released(answer: Answer) -> Result<bool, LockError> {
    match answer? {
        Done { outcome: Outcome::Released { ended }, .. } => Ok(ended),
        Done {
            command: Command::Release(Release { resource, owner, token }),
            outcome: Outcome::NotHeld { holder, forced },
        } => Err(LockError::NotHeld { resource, owner, token, holder, forced }),
        other => unreachable!("a release came to {other:?}"),
    }
}

/// What a renewal came to, as a result.
fn renewal(outcome: Outcome, renew: Renew) -> Result<Lock, LockError> {
    let Renew { resource, owner, token, .. } = renew;
    match outcome {
        Outcome::Renewed(lock) => Ok(lock),
        Outcome::Expired { expired_at } => {
            Err(LockError::Expired { resource, owner, token, expired_at })
        }
        Outcome::NotHeld { holder, forced } => {
            Err(LockError::NotHeld { resource, owner, token: Some(token), holder, forced })
        }
        other => unreachable!("a renewal came to {other:?}"),
    }
}
