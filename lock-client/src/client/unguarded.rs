//! Leases by name: taken, renewed and released without a guard.
//!
//! # Order
//!
//! Where this client has guards on the same lease, they must know before the
//! server does. So these calls take their turn with acquisitions and releases
//! of the resource; a release ends the guards' hold before it is sent, and a
//! renewal shortens their trust first, with the keep-alive silent until the
//! answer is there: a renewal of its own that overtook would stretch it again.
//!
//! # Cancel safety
//!
//! A release and a renewal go on to their end in the background when their
//! future is dropped, and [`LockClient::flush`] waits for them. Dropping
//! [`LockClient::acquire_unguarded`] abandons it, and gives its place in line up;
//! whether the lock was taken is then unknown.

use std::{sync::Arc, time::Duration};

use proto::lock::v1 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LockClient, acquire::obtain, calls, wait::Wait};
use crate::{
    AcquireOptions, Acquired, ClientError, Ended, IntoResource, Lock, LostReason,
    call::{self, Answer, Failed},
    hold::{Hold, Key},
    holds::Turn,
    lost::Ending,
    release::release,
    shared::Shared,
};

impl LockClient {
    /// Takes a lock without a guard: the caller renews and releases it.
    ///
    /// [`Lock::remaining`] in the answer is what was left as the server
    /// answered: count it from [`Acquired::asked_at`], not from after this call.
    ///
    /// It may wait in line, as [`acquire`](Self::acquire) does; a lease that was
    /// granted after a long wait is renewed once before it is returned.
    ///
    /// # Errors
    ///
    /// [`ClientError::Conflict`] when another owner holds it;
    /// [`ClientError::Deadlock`] and [`ClientError::WaitCancelled`] as of
    /// [`acquire`](Self::acquire);
    /// [`ClientError::Unavailable`] when no server answered, and it may have
    /// been taken all the same.
    pub async fn acquire_unguarded(
        &self,
        resource: impl IntoResource,
        options: AcquireOptions,
    ) -> Result<Acquired, ClientError> {
        let (request, until) = self.acquire_request(resource.into_resource(), options)?;
        let (shared, owner) = (self.shared.clone(), self.owner.clone());
        let answer = self.shared.io.run(async move {
            let (shared, owner, request) = (&*shared, &*owner, &request);
            match until {
                // This task ends where it stands when the caller has gone.
                Some(until) => {
                    let wait = Wait { shared, owner, request, until };
                    Box::pin(wait.obtain(&CancellationToken::new())).await.outcome
                }
                None => {
                    let turn = shared.holds.turn(Key::of(request)).await;
                    obtain(shared, &turn, request).await
                }
            }
        });
        let answer = answer.await??;
        Ok(Acquired {
            lock: calls::answered(answer.message.lock)?,
            asked_at: answer.sent_at,
            reentrant: answer.message.reentrant,
            retried: answer.retried,
        })
    }

    /// Sets the expiry of a live lease to now + `ttl` (unset: the lock's own),
    /// later or sooner.
    ///
    /// [`Lock::remaining`] in the answer is what was left as the server
    /// answered: count it from **before** this call, not from after it.
    ///
    /// A lease that a guard keeps needs no renewing. Guards of this client, and
    /// of others on the same connections, trust the lease for no longer than
    /// `ttl` from before this call is sent. If it ends without an answer, they
    /// are lost, and acquiring again gives a new token: what may yet arrive
    /// must not shorten that one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Expired`] or [`ClientError::NotHeld`] when there is no
    /// such live lease.
    pub async fn renew(
        &self,
        resource: impl IntoResource,
        owner_id: impl Into<String>,
        fencing_token: u64,
        ttl: Option<Duration>,
    ) -> Result<Lock, ClientError> {
        let key = Key { owner_id: owner_id.into(), resource: resource.into_resource() };
        let request = wire::RenewRequest {
            resource: Some(key.resource.clone()),
            owner_id: key.owner_id.clone(),
            fencing_token,
            ttl: calls::wire_span("ttl", ttl)?,
        };
        let pending = self.shared.background.begin();
        let shared = self.shared.clone();
        let answer = self.shared.io.run_to_the_end(async move {
            let _pending = pending;
            let turn = shared.holds.turn(key).await;
            renew(&shared, &turn, request, ttl).await
        });
        calls::answered(answer.await??.message.lock)
    }

    /// Ends a lease: this one, or without a token whichever the owner holds.
    ///
    /// Guards of this client on it, and of others on the same connections, are
    /// lost with the reason [`LostReason::Released`] before it is sent.
    ///
    /// Give the token where it is known. A release without one that is still
    /// under way when this ends with [`ClientError::Unavailable`], or with
    /// `retried`, may arrive later and end whatever the owner holds then.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotHeld`] when another owner or token holds it live.
    pub async fn release(
        &self,
        resource: impl IntoResource,
        owner_id: impl Into<String>,
        fencing_token: Option<u64>,
    ) -> Result<Ended, ClientError> {
        let key = Key { owner_id: owner_id.into(), resource: resource.into_resource() };
        let pending = self.shared.background.begin();
        let shared = self.shared.clone();
        let answer = self.shared.io.run_to_the_end(async move {
            let _pending = pending;
            let turn = shared.holds.turn(key).await;
            let token = end_hold(&shared, &turn, fencing_token).await;
            release(&shared, &turn, token, shared.limits).await
        });
        let answer = answer.await??;
        Ok(Ended { released: answer.message.released, retried: answer.retried })
    }
}

/// Ends the hold that is to be released. Which token to release: that of a hold
/// that was live is sure to be the one, and a late arrival of it does no harm.
async fn end_hold(shared: &Shared, turn: &Turn, token: Option<u64>) -> Option<u64> {
    let released = |hold: &Arc<Hold>| token.is_none_or(|token| token == hold.fencing_token());
    let Some(hold) = turn.hold().filter(released) else { return token };
    let live = hold.check().is_ok()
        && hold.end(Ending::new(LostReason::Released, "released by its name")).is_none();
    shared.keep_alive.stop(vec![hold.id()]).await;
    turn.take(&hold);
    token.or_else(|| live.then(|| hold.fencing_token()))
}

async fn renew(
    shared: &Shared,
    turn: &Turn,
    request: wire::RenewRequest,
    ttl: Option<Duration>,
) -> Result<Answer<wire::RenewResponse>, Failed> {
    let token = request.fencing_token;
    let call = call::command(&shared.endpoints, shared.limits, &request);
    let hold = turn.hold().filter(|hold| hold.fencing_token() == token && hold.check().is_ok());
    let outcome = match &hold {
        Some(hold) => {
            // Its timer, too: so `watched` looks after the end of trust.
            shared.keep_alive.stop(vec![hold.id()]).await;
            if let Some(ttl) = ttl {
                hold.shorten(Instant::now(), ttl);
            }
            hold.watched(call).await
        }
        None => call.await,
    };
    // Without a time to live of its own, a renewal makes no lease shorter.
    let unknown = |failed: &Failed| failed.unsettled && !failed.lease_is_over();
    let in_doubt = ttl.is_some() && outcome.as_ref().is_err_and(unknown);
    if in_doubt {
        shared.holds.doubts.set(turn.key(), token, Instant::now());
    }
    if let Some(hold) = hold {
        renewed(&hold, &outcome, in_doubt);
        if hold.check().is_ok() {
            shared.keep_alive.keep(hold);
        }
    }
    outcome
}

/// What the answer means to the guards.
fn renewed(hold: &Hold, outcome: &Result<Answer<wire::RenewResponse>, Failed>, in_doubt: bool) {
    match outcome {
        Ok(answer) => {
            if let Some(lock) = answer.message.lock.clone().map(Lock::from) {
                hold.confirm(answer.sent_at, lock.remaining, lock.ttl);
            }
        }
        Err(Failed { error: ClientError::NotHeld(not_held), .. }) => {
            let _ = hold.end(Ending::from(&**not_held));
        }
        Err(Failed { error: ClientError::Expired { message, .. }, .. }) => {
            let _ = hold.end(Ending::new(LostReason::Expired, message));
        }
        Err(_) if in_doubt => {
            let message = "a renewal that would make it shorter was not answered";
            let _ = hold.end(Ending::new(LostReason::Unconfirmed, message));
        }
        Err(_) => {}
    }
}
