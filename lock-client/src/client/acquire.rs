//! The way to a guard, and the way to be rid of all of them.
//!
//! # Order
//!
//! Acquisitions and releases of one resource by one owner take turns, so that
//! the release of a last guard cannot overtake or be overtaken by a new
//! acquisition. An owner's acquisitions and its `release_all` exclude each
//! other: a grant that the server has already taken back must not become a
//! guard.
//!
//! Who waits in line at the server gives its turn up meanwhile, and does not keep
//! `release_all` either: see `client/wait.rs`.
//!
//! # Cancel safety
//!
//! A dropped `acquire` leaves nothing behind: before its turn it sends nothing,
//! and afterwards it goes on in the background until the answer is there, whose
//! guard then goes the way of every dropped guard. One that waits in line is not
//! gone on with: its place is given up.
//!
//! # Failure handling
//!
//! An acquisition that ends without an answer may have been granted. Where the
//! owner id was made by this client and nothing is held under it, such a grant
//! is looked for and given back in the background (`client/take_back.rs`). With
//! an id that the program chose, another process may hold the resource in the
//! same name: there a grant stays until it runs out. So does one whose request
//! reaches the server only after it has been looked for.
//!
//! A lease that a release still under way may end is no lease: see `doubts.rs`.

use std::sync::Arc;

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LockClient, take_back::take_back, wait::Wait};
use crate::{
    AcquireOptions, ClientError, Counted, IntoResource, Lock, LockGuard, LostReason, TryAcquire,
    call::{self, Answer, Failed},
    guard::Origin,
    hold::{Hold, Key},
    holds::{Owner, Turn},
    lost::Ending,
    release::release,
    shared::Shared,
};

impl LockClient {
    /// Takes a lock, and keeps it alive until its last guard is gone.
    ///
    /// Where this client, or another one on the same connections with the same
    /// owner, holds the resource already, this is one more guard on the same
    /// hold.
    ///
    /// # Waiting in line
    ///
    /// With [`AcquireOptions::wait`], it waits while another owner holds it: in
    /// the order of arrival, over all servers and clients. When the wait is over,
    /// by this machine's monotonic clock, the error is the conflict as it is by
    /// then, with the holder and the length of the queue.
    ///
    /// Dropping the future gives the place in line up at once. A grant that is
    /// made at that very moment is looked for and given back in the background;
    /// unless the program chose the owner id, where it runs out. Nothing else of
    /// this client waits for a wait.
    ///
    /// When the server stops or dies, the next one is asked with what is left of
    /// the wait, and the place in line is kept if that is done within 10 s. One
    /// that is only silent is noticed within 8 s. When it is the connection that
    /// breaks, the server gives the place up as soon as it sees that, and the
    /// wait goes on at the end of the line. When no server answers for as long as
    /// the client's `timeout`, the wait ends with [`ClientError::Unavailable`].
    ///
    /// A wait takes a call of its own for as long as it lasts. They go over a
    /// second connection to the server, and a server takes so many on one (1,024
    /// unless set otherwise): what is beyond that waits here, with no place in
    /// line yet.
    ///
    /// The lease counts from its grant. If it came more than a tenth of the
    /// lease after the request was sent, the lease is renewed before the guard
    /// is there: the guard then trusts it from before the renewal was sent, and
    /// not from when the wait began. A grant that is over by then is none: what
    /// is left of the wait goes on, and if nothing is, the error is
    /// [`ClientError::Expired`] or [`ClientError::NotHeld`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Conflict`] when another owner holds it,
    /// [`ClientError::Deadlock`] when waiting would close a circle of owners that
    /// wait for each other, [`ClientError::WaitCancelled`] when everything of the
    /// owner was released meanwhile, [`ClientError::Invalid`] when the request is wrong,
    /// [`ClientError::Unavailable`] when no server answered in time, and
    /// [`ClientError::Lost`] when the answer was under way for longer than the
    /// lease lasts: the grant is given back.
    ///
    /// After `Unavailable` it may have been granted all the same. Unless the
    /// program chose the owner id, that is looked for and given back in the
    /// background; otherwise it runs out, or acquiring again finds it.
    pub async fn acquire(
        &self,
        resource: impl IntoResource,
        options: AcquireOptions,
    ) -> Result<LockGuard, ClientError> {
        let (request, until) = self.acquire_request(resource.into_resource(), options)?;
        let waiting = CancellationToken::new();
        let _gone = waiting.clone().drop_guard();
        let acquisition =
            Acquisition { shared: self.shared.clone(), owner: self.owner.clone(), request, until };
        let pending = self.shared.background.begin();
        let acquisition = self.shared.io.run_to_the_end(async move {
            // In this order: a guard that nobody takes goes, which begins its
            // release, before this is over.
            (acquisition.run(waiting).await, pending)
        });
        let (outcome, _pending) = acquisition.await?;
        outcome
    }

    /// Takes a lock if nobody else holds it, or no longer when the wait is over,
    /// with the conflict as a value and not as an error.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), without the conflict.
    pub async fn try_acquire(
        &self,
        resource: impl IntoResource,
        options: AcquireOptions,
    ) -> Result<TryAcquire, ClientError> {
        match self.acquire(resource, options).await {
            Ok(guard) => Ok(TryAcquire::Acquired(guard)),
            Err(ClientError::Conflict(conflict)) => Ok(TryAcquire::Held(conflict)),
            Err(error) => Err(error),
        }
    }

    /// Gives back everything that this owner holds, here and elsewhere, and
    /// says how many live leases ended: for a graceful shutdown.
    ///
    /// Renewals stop first, and this client's guards of the owner are lost with
    /// the reason [`LostReason::Released`] whatever the server answers.
    /// Acquisitions under way are waited for and given back, too; those that
    /// wait in line end with [`ClientError::WaitCancelled`].
    ///
    /// An attempt that got no answer may arrive late and end what the owner has
    /// acquired since. After an error, or when the answer says `retried`, go on
    /// with a new owner.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unavailable`] when no server answered; leases are then
    /// left to run out.
    pub async fn release_all(&self) -> Result<Counted, ClientError> {
        let pending = self.shared.background.begin();
        let (shared, owner) = (self.shared.clone(), self.owner.clone());
        self.shared
            .io
            .run_to_the_end(async move {
                let _pending = pending;
                release_all(&shared, &owner).await
            })
            .await?
    }
}

async fn release_all(shared: &Shared, owner: &Owner) -> Result<Counted, ClientError> {
    let _alone = owner.alone().await;
    let holds = shared.holds.take_all(owner.id());
    for hold in &holds {
        // Those that were lost before stay lost for their own reason.
        let message = "everything of this owner was released";
        let _ = hold.end(Ending::new(LostReason::Released, message));
    }
    shared.keep_alive.stop(holds.iter().map(|hold| hold.id()).collect()).await;
    let request = wire::ReleaseAllRequest { owner_id: owner.id().to_owned() };
    let answer = call::call(&shared.endpoints, shared.limits, request, |channel, request| async {
        LockServiceClient::new(channel).release_all(request).await
    });
    let answer = answer.await?;
    Ok(Counted { count: answer.message.released_count, retried: answer.retried })
}

/// Asks for a lock until the answer is one to rely on: as long as a request under
/// way may end the lease in it, that lease is given back, and another asked for.
pub(super) async fn obtain(
    shared: &Shared,
    turn: &Turn,
    request: &wire::AcquireRequest,
) -> Result<Answer<wire::AcquireResponse>, Failed> {
    let (doubts, limits) = (&shared.holds.doubts, shared.limits);
    loop {
        let answer = call::command(&shared.endpoints, limits, request).await?;
        let Some(lock) = &answer.message.lock else { return Ok(answer) };
        let token = lock.fencing_token;
        if !doubts.has(turn.key(), token) {
            // The leases before this one are over, and what was in doubt with them.
            doubts.over(turn.key(), token);
            return Ok(answer);
        }
        match release(shared, turn, Some(token), limits).await {
            // Any answer will do, a refusal too.
            Err(failed) if !failed.lease_is_over() => return Err(failed),
            _ => {}
        }
    }
}

/// The end of an acquisition that nobody waits for.
pub(super) fn gone_away() -> Failed {
    ClientError::internal("the caller is gone").into()
}

struct Acquisition {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
    request: wire::AcquireRequest,
    /// Until when to wait in line.
    until: Option<Instant>,
}

impl Acquisition {
    async fn run(self, gone: CancellationToken) -> Result<LockGuard, ClientError> {
        let Some(until) = self.until else { return self.run_at_once(gone).await };
        let (shared, owner, request) = (&*self.shared, &*self.owner, &self.request);
        let waited = Box::pin(Wait { shared, owner, request, until }.obtain(&gone)).await;
        let _together = waited.together;
        self.answered(waited.turn, waited.outcome).await
    }

    async fn run_at_once(self, gone: CancellationToken) -> Result<LockGuard, ClientError> {
        let key = Key::of(&self.request);
        let turn = tokio::select! {
            biased;
            () = gone.cancelled() => return Err(gone_away().error),
            turn = self.shared.holds.turn(key) => turn,
        };
        let _together = self.owner.together().await;
        let outcome = obtain(&self.shared, &turn, &self.request).await;
        self.answered(turn, outcome).await
    }

    async fn answered(
        &self,
        turn: Turn,
        outcome: Result<Answer<wire::AcquireResponse>, Failed>,
    ) -> Result<LockGuard, ClientError> {
        match outcome {
            Ok(answer) => self.granted(&turn, answer).await,
            Err(failed) => {
                self.refused(&turn, &failed.error).await;
                if self.may_have_been_granted(&turn, &failed) {
                    take_back(self.shared.clone(), turn, self.until.is_some());
                }
                Err(failed.error)
            }
        }
    }

    /// Whether there may be a lease that nobody knows of, and that is nobody
    /// else's.
    fn may_have_been_granted(&self, turn: &Turn, failed: &Failed) -> bool {
        let held = turn.hold().is_some_and(|hold| hold.check().is_ok());
        let anothers = matches!(failed.error, ClientError::Conflict(_));
        // A grant is theirs as much as it was to be this one's.
        let others = turn.others_in_line();
        failed.unsettled && self.owner.is_own() && !held && !anothers && !others
    }

    /// One more guard on the hold that this owner has, or the first on a new one.
    async fn granted(
        &self,
        turn: &Turn,
        answer: Answer<wire::AcquireResponse>,
    ) -> Result<LockGuard, ClientError> {
        let lock = answer.message.lock.map(Lock::from).filter(|lock| lock.fencing_token > 0);
        let lock = lock.ok_or_else(|| ClientError::internal("the answer holds no lock"))?;
        let origin = Origin { reentrant: answer.message.reentrant, retried: answer.retried };
        if let Some(hold) = turn.hold() {
            if hold.fencing_token() == lock.fencing_token
                && hold.confirm(answer.sent_at, lock.remaining, lock.ttl)
            {
                self.shared.keep_alive.keep(hold.clone());
                return Ok(LockGuard::enter(self.shared.clone(), hold, origin));
            }
            let message = format!("granted anew with token {}", lock.fencing_token);
            let _ = hold.end(Ending::new(LostReason::NotHeld, message));
            self.shared.keep_alive.stop(vec![hold.id()]).await;
        }
        let hold = Hold::new(turn.key().clone(), &lock, answer.sent_at);
        turn.put(hold.clone());
        let guard = LockGuard::enter(self.shared.clone(), hold.clone(), origin);
        // An answer that was longer under way than the lease lasts is no lock.
        guard.check()?;
        self.shared.keep_alive.keep(hold);
        Ok(guard)
    }

    /// A hold of our own is over if the server names another holder.
    async fn refused(&self, turn: &Turn, error: &ClientError) {
        let (ClientError::Conflict(conflict), Some(hold)) = (error, turn.hold()) else { return };
        let ending = Ending::new(LostReason::NotHeld, conflict.to_string());
        let _ = hold.end(ending.held_by(Some(conflict.holder.clone())));
        self.shared.keep_alive.stop(vec![hold.id()]).await;
    }
}
