//! Carries out checked requests: bounds how many are under way, hands them to
//! the store, and turns outcomes that are no success into errors.
//!
//! It keeps nothing that a lock depends on. Commands that arrive while the
//! store is busy are carried out together: see [`batcher`].

mod admission;
mod batcher;
mod sweeper;
mod waiting;
mod watch;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    admission::{Admission, Share},
    batcher::{Batcher, Job, Reply},
    waiting::Waiting,
    watch::Watching,
};
pub use self::{
    batcher::{Answer, Answers, Done, Number, Numbered},
    sweeper::{Sweeper, SweeperOptions},
    waiting::Receipt,
    watch::{Watch, Watched},
};
use crate::{
    domain::{
        Acquire, Actor, Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock,
        LockPage, Outcome, OwnerId, Purge, Release, Renew, Resource, Span, StaleFilter, StalePage,
        Timestamp, TtlPolicy, WatchFilter,
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
    waiting: Waiting,
    watching: Watching,
    ttl: TtlPolicy,
    max_wait: Span,
    admission: Admission,
    stopping: CancellationToken,
    /// They end with this object.
    _tenders: JoinSet<()>,
}

/// How much there may be at one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineBounds {
    /// The most requests that are under way.
    pub max_queue: usize,
    /// The longest wait in line.
    pub max_wait: Span,
    /// The most callers that wait in line.
    pub max_waiters: usize,
    /// How long their places are kept when this server is not heard of.
    pub waiter_grace: Duration,
    /// The most watches.
    pub max_watches: usize,
}

impl LockEngine {
    /// An engine on a store. Must be called in a runtime.
    pub fn new(
        store: Arc<dyn Store>,
        ttl: TtlPolicy,
        bounds: EngineBounds,
        stopping: CancellationToken,
    ) -> Self {
        let admission = Admission::new(bounds.max_queue, stopping.clone());
        let batcher = Batcher::new(Arc::clone(&store));
        let (line, most) = (batcher.line().clone(), bounds.max_waiters);
        let waiting = Waiting::new(line, Arc::clone(&store), most, stopping.clone());
        let mut tenders = JoinSet::new();
        if let Some(wakes) = store.wakes() {
            let (tender, messenger) = waiting::tend(waiting.clone(), wakes, bounds.waiter_grace);
            tenders.spawn(tender.run());
            tenders.spawn(messenger.run());
        }
        let watching = Watching::new(Arc::clone(&store), bounds.max_watches, stopping.clone());
        tenders.spawn(watching.tailer().run());
        let max_wait = bounds.max_wait;
        Self {
            store,
            batcher,
            waiting,
            watching,
            ttl,
            max_wait,
            admission,
            stopping,
            _tenders: tenders,
        }
    }

    /// The longest wait in line.
    pub fn max_wait(&self) -> Span {
        self.max_wait
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
        number: Number,
        answers: &Answers,
    ) -> Result<(), LockError> {
        self.put_in_line(command, Reply::Numbered(number, answers.clone()))
    }

    fn put_in_line(&self, command: Command, reply: Reply) -> Result<(), LockError> {
        let place = Share::Whole { _place: self.admission.enter(1)? };
        match command {
            Command::Acquire(acquire) if let Some(wait) = acquire.wait => {
                self.waiting.submit(acquire, wait, place, reply)
            }
            command => {
                self.batcher.line().submit(Job { command, reply, place, since: Instant::now() });
                Ok(())
            }
        }
    }

    /// Carries out one command. It is in line when this returns; what is
    /// returned waits for the answer.
    ///
    /// # Errors
    /// When the server is stopping or overloaded, or the store is away.
    pub fn carry_out(&self, command: Command) -> impl Future<Output = Answer> + Send + use<> {
        let (sender, answer) = oneshot::channel();
        let submitted = self.put_in_line(command, Reply::One(sender)).map(|()| answer);
        async move { submitted?.await.unwrap_or(Err(LockError::ShuttingDown)) }
    }

    /// Grants a lock, or re-enters it (`true`). One that was waited for is handed
    /// on, unless its receipt is told that the answer was sent.
    ///
    /// # Errors
    /// [`LockError::Conflict`] when another owner holds it.
    pub async fn acquire(
        &self,
        acquire: Acquire,
    ) -> Result<(Lock, bool, Option<Receipt>), LockError> {
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
                self.batcher.line().submit_all((0..).zip(commands).map(|(id, command)| Job {
                    command,
                    reply: Reply::Numbered(Number { id, waits: false }, sender.clone()),
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

    /// Begins to watch what happens to locks, with the renewals if asked for.
    ///
    /// # Errors
    /// When the server is stopping or overloaded.
    pub fn watch(&self, filter: WatchFilter, renewals: bool) -> Result<Watch, LockError> {
        self.watching.begin(filter, renewals)
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
    mut answers: mpsc::UnboundedReceiver<Numbered>,
    count: usize,
) -> Result<Vec<Outcome>, LockError> {
    let mut outcomes = vec![None; count];
    while let Some(Numbered { number, answer, .. }) = answers.recv().await {
        if let Some(slot) = usize::try_from(number.id).ok().and_then(|at| outcomes.get_mut(at)) {
            *slot = Some(answer?.outcome);
        }
    }
    // Every sender is gone: all have answered, or the batches ended with the
    // server.
    outcomes.into_iter().collect::<Option<_>>().ok_or(LockError::ShuttingDown)
}

/// What an acquire came to: the lock, whether it was held before, and the receipt
/// of one that was waited for.
///
/// # Errors
/// [`LockError::Conflict`] when another owner holds it.
pub fn acquired(answer: Answer) -> Result<(Lock, bool, Option<Receipt>), LockError> {
    match answer? {
        Done { outcome: Outcome::Granted { lock, reentrant }, grant, .. } => {
            Ok((lock, reentrant, grant.map(Receipt)))
        }
        Done { outcome: Outcome::Conflict { holder }, .. } => {
            Err(LockError::Conflict { holder: Box::new(holder) })
        }
        Done { outcome: Outcome::QueueFull { most }, .. } => Err(LockError::Overloaded {
            limit: "--max-waiters-per-resource",
            value: most as usize,
            what: "callers wait for this resource",
        }),
        other => unreachable!("an acquire came to {other:?}"),
    }
}

/// What a renewal came to: the lock.
///
/// # Errors
/// [`LockError::Expired`] or [`LockError::NotHeld`] when there is no lease.
pub fn renewed(answer: Answer) -> Result<Lock, LockError> {
    match answer? {
        Done { command: Command::Renew(renew), outcome, .. } => renewal(outcome, renew),
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
            ..
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
