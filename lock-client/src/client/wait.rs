//! Waiting in line for a lock.
//!
//! # Order
//!
//! Acquisitions and releases of one resource by one owner take turns
//! (`client/acquire.rs`). A wait may take an hour, and must keep nobody: so it
//! begins in a turn, when nothing else is under way, gives that up while it is in
//! line at the server, and takes another one for what was granted. If others had
//! a turn between the two, they may have been granted the same lease and have
//! ended it; then the server is asked whether it is there, by a renewal.
//!
//! For the same reason it does not hold `release_all` up, which ends it: no call
//! of it is under way any more when the release is sent, and a grant that was
//! made all the same goes back.
//!
//! # Trust window
//!
//! A lease is believed in from before its request was sent, and after a long wait
//! there would be nothing left of that. So a grant that took long is renewed
//! before anybody hears of it, and believed in from before the renewal was sent.
//! It needs no time to live of its own: that is the lock's. If the renewal is
//! refused, the lease has run out before it was known here, or somebody has
//! ended it: there was no grant, and what is left of the wait goes on; that is the
//! error if nothing is. If it is not answered, what
//! the grant itself said is all that is known, which may be a lease that is over.
//!
//! # Cancel safety
//!
//! When the caller has gone, the call is dropped, and the server gives the place
//! in line up. It may have granted the lock at that moment and believe that
//! somebody knows: `client/take_back.rs` looks after that, where the owner id was
//! made by this client. Once the answer is there, it is carried on with to its
//! end, and the guard goes the way of every dropped guard.

use proto::lock::v1 as wire;
use tokio::{sync::RwLockReadGuard, time::Instant};
use tokio_util::sync::CancellationToken;

use super::acquire::gone_away;
use crate::{
    ClientError,
    call::{self, Answer, Failed},
    hold::Key,
    holds::{Owner, Turn},
    lock::span,
    release::release,
    shared::Shared,
    trust,
};

/// An acquisition that may wait in line.
pub(super) struct Wait<'a> {
    pub(super) shared: &'a Shared,
    pub(super) owner: &'a Owner,
    pub(super) request: &'a wire::AcquireRequest,
    /// Until when.
    pub(super) until: Instant,
}

/// What came of it, and the turn to do something about it.
pub(super) struct Waited<'a> {
    pub(super) turn: Turn,
    pub(super) together: RwLockReadGuard<'a, ()>,
    pub(super) outcome: Result<Answer<wire::AcquireResponse>, Failed>,
}

/// Whether a conflict is no longer true, because this owner holds the lock.
fn held_after(turn: &Turn, failed: &Failed) -> bool {
    matches!(failed.error, ClientError::Conflict(_))
        && turn.hold().is_some_and(|hold| hold.check().is_ok())
}

impl<'a> Wait<'a> {
    /// Asks for the lock until it is granted for good, or refused, or the caller
    /// has gone. Must run in the runtime that does the network work.
    pub(super) async fn obtain(self, gone: &CancellationToken) -> Waited<'a> {
        let mut turn = self.shared.holds.turn(Key::of(self.request)).await;
        let mut together = self.owner.together().await;
        loop {
            if gone.is_cancelled() {
                return Waited { turn, together, outcome: Err(gone_away()) };
            }
            let mut releases = self.owner.releases();
            drop(together);
            let in_line = turn.wait_in_line();
            let shared = self.shared;
            let answer = tokio::select! {
                biased;
                // What becomes of it is looked at below.
                _ = releases.changed() => Err(self.cancelled()),
                // It may have been granted at this moment.
                () = gone.cancelled() => Err(Failed { unsettled: true, ..gone_away() }),
                answer = call::wait(&shared.endpoints, shared.limits, self.request, self.until) => answer,
            };
            let answered_at = Instant::now();
            let alone;
            (turn, alone) = in_line.over().await;
            together = self.owner.together().await;
            let released = releases.has_changed().unwrap_or(true);
            let outcome = match answer {
                // In boxes: so a wait takes no more memory than its call.
                Ok(answer) if released => Box::pin(self.give_back(&turn, answer)).await,
                Ok(answer) => {
                    match Box::pin(self.settle(&turn, answer, alone, answered_at)).await {
                        Some(outcome) => outcome,
                        None => continue,
                    }
                }
                // Of another call of this owner's, made after that was said.
                Err(failed) if !alone && held_after(&turn, &failed) => continue,
                Err(failed) => Err(failed),
            };
            return Waited { turn, together, outcome };
        }
    }

    /// What a grant is worth. None: there is no such lease, and another one is
    /// to be asked for.
    async fn settle(
        &self,
        turn: &Turn,
        answer: Answer<wire::AcquireResponse>,
        alone: bool,
        answered_at: Instant,
    ) -> Option<Result<Answer<wire::AcquireResponse>, Failed>> {
        let Some(lock) = &answer.message.lock else { return Some(Ok(answer)) };
        let (doubts, token) = (&self.shared.holds.doubts, lock.fencing_token);
        if doubts.has(turn.key(), token) {
            // As for who does not wait: any answer will do, a refusal too.
            return match release(self.shared, turn, Some(token), self.shared.limits).await {
                Err(failed) if !failed.lease_is_over() => Some(Err(failed)),
                _ => None,
            };
        }
        doubts.over(turn.key(), token);
        let took = answered_at - answer.sent_at;
        if alone && !trust::took_too_long(took, span(lock.remaining)) {
            return Some(Ok(answer));
        }
        let renewal = wire::RenewRequest {
            resource: self.request.resource.clone(),
            owner_id: self.request.owner_id.clone(),
            fencing_token: token,
            ttl: None,
        };
        let renewed = call::command(&self.shared.endpoints, self.shared.limits, &renewal).await;
        match renewed {
            Ok(Answer { message: wire::RenewResponse { lock: Some(lock) }, sent_at, .. }) => {
                let message = wire::AcquireResponse { lock: Some(lock), ..answer.message };
                Some(Ok(Answer { message, sent_at, ..answer }))
            }
            Err(failed) if failed.lease_is_over() && Instant::now() < self.until => {
                tracing::debug!(
                    lock.resource = %turn.key().resource,
                    lock.token = token,
                    error = %failed.error,
                    "a grant was over before it was known"
                );
                None
            }
            Err(failed) if !alone || failed.lease_is_over() => {
                Some(Err(Failed { unsettled: true, ..failed }))
            }
            _ => Some(Ok(answer)),
        }
    }

    /// What was granted while everything of the owner was released.
    async fn give_back(
        &self,
        turn: &Turn,
        answer: Answer<wire::AcquireResponse>,
    ) -> Result<Answer<wire::AcquireResponse>, Failed> {
        if let Some(lock) = answer.message.lock {
            // It runs out if nobody answers.
            let token = Some(lock.fencing_token);
            let _ = release(self.shared, turn, token, self.shared.limits.of_one_attempt()).await;
        }
        Err(self.cancelled())
    }

    fn cancelled(&self) -> Failed {
        let resource = self.request.resource.clone().unwrap_or_default();
        let message =
            format!("the wait for {resource} is over: everything of its owner was released");
        ClientError::WaitCancelled { resource, message }.into()
    }
}
