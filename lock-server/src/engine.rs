//! Carries out checked requests: bounds how many are under way, hands them to
//! the store, and turns outcomes that are no success into errors.
//!
//! It keeps nothing that a lock depends on. Each request is a batch of its
//! own, but for the leases of a keep-alive request, which are one batch.

mod admission;
mod readiness;
mod sweeper;

use std::{collections::HashMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use self::admission::Admission;
pub(crate) use self::readiness::chain;
pub use self::{
    readiness::watch_readiness,
    sweeper::{Sweeper, SweeperOptions},
};
use crate::{
    domain::{
        Acquire, Command, ListFilter, Lock, LockPage, Outcome, OwnerId, Release, Renew, Resource,
        StaleFilter, StalePage, Timestamp, TtlPolicy,
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
    ttl: TtlPolicy,
    admission: Admission,
    stopping: CancellationToken,
}

impl LockEngine {
    /// An engine on a store, with at most `max_queue` requests under way.
    pub fn new(
        store: Arc<dyn Store>,
        ttl: TtlPolicy,
        max_queue: usize,
        stopping: CancellationToken,
    ) -> Self {
        let admission = Admission::new(max_queue, stopping.clone());
        Self { store, ttl, admission, stopping }
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

    /// Grants a lock, or re-enters it (`true`).
    ///
    /// # Errors
    /// [`LockError::Conflict`] when another owner holds it.
    pub async fn acquire(&self, acquire: Acquire) -> Result<(Lock, bool), LockError> {
        match self.one(Command::Acquire(acquire)).await? {
            Outcome::Granted { lock, reentrant } => Ok((lock, reentrant)),
            Outcome::Conflict { holder } => {
                // Nobody can wait yet, so nobody does.
                Err(LockError::Conflict { holder: Box::new(holder), queue_length: 0 })
            }
            other => unreachable!("an acquire came to {other:?}"),
        }
    }

    /// Sets the expiry of a live lease anew.
    ///
    /// # Errors
    /// [`LockError::Expired`] or [`LockError::NotHeld`] when there is none.
    pub async fn renew(&self, renew: Renew) -> Result<Lock, LockError> {
        let outcome = self.one(Command::Renew(renew.clone())).await?;
        renewal(outcome, renew)
    }

    /// Ends a lease: whether it was live.
    ///
    /// # Errors
    /// [`LockError::NotHeld`] when another hold is live.
    pub async fn release(&self, release: Release) -> Result<bool, LockError> {
        let Release { resource, owner, token } = release.clone();
        match self.one(Command::Release(release)).await? {
            Outcome::Released { ended } => Ok(ended),
            Outcome::NotHeld { holder } => {
                Err(LockError::NotHeld { resource, owner, token, holder })
            }
            other => unreachable!("a release came to {other:?}"),
        }
    }

    /// Renews many leases: one result for each, in the same order.
    ///
    /// # Errors
    /// When none could be decided on.
    pub async fn keep_alive(
        &self,
        leases: Vec<Renew>,
    ) -> Result<Vec<Result<Lock, LockError>>, LockError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let _place = self.admission.enter(1 + leases.len() / LEASES_A_PLACE)?;
        // The same lease twice is decided on once and answered twice: a store
        // would have to carry out one after the other.
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
        let outcomes = self.store.apply(&commands).await?;
        Ok(asked
            .into_iter()
            .zip(&leases)
            .map(|(place, lease)| renewal(outcomes[place].clone(), lease.clone()))
            .collect())
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
    pub async fn purge_stale(&self, filter: &StaleFilter) -> Result<u64, LockError> {
        let _place = self.admission.enter(1)?;
        Ok(sweeper::purge_all(self.store.as_ref(), filter).await?)
    }

    async fn one(&self, command: Command) -> Result<Outcome, LockError> {
        let _place = self.admission.enter(1)?;
        let mut outcomes = self.store.apply(std::slice::from_ref(&command)).await?;
        Ok(outcomes.pop().expect("a store answers each command"))
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
        Outcome::NotHeld { holder } => {
            Err(LockError::NotHeld { resource, owner, token: Some(token), holder })
        }
        other => unreachable!("a renewal came to {other:?}"),
    }
}
