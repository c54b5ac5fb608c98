//! One lease that this client holds: for how long it is believed in, how many
//! guards stand on it, and how it ended.
//!
//! A hold ends once and for good. Nothing brings it back, not even a renewal
//! that was confirmed too late: somebody may have been told already.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use proto::lock::v1 as wire;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{Lock, Lost, LostReason, Resource, lost::Ending, trust};

/// What is held by whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) owner_id: String,
    pub(crate) resource: Resource,
}

impl Key {
    /// What is asked for by whom.
    pub(crate) fn of(request: &wire::AcquireRequest) -> Self {
        Self {
            owner_id: request.owner_id.clone(),
            resource: request.resource.clone().unwrap_or_default(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Hold {
    id: u64,
    key: Key,
    fencing_token: u64,
    ended: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lease: Lease,
    guards: usize,
    lost: Option<Lost>,
}

/// What the server last said.
#[derive(Debug, Clone, Copy)]
struct Lease {
    /// When it was asked.
    sent_at: Instant,
    remaining: Duration,
    ttl: Duration,
}

impl Lease {
    fn trusted_until(&self) -> Instant {
        trust::trusted_until(self.sent_at, self.remaining, self.ttl)
    }
}

impl Hold {
    /// A hold that the server granted in an answer to a request sent at this
    /// moment. It has no guard yet.
    pub(crate) fn new(key: Key, lock: &Lock, sent_at: Instant) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let lease = Lease { sent_at, remaining: lock.remaining, ttl: lock.ttl };
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            key,
            fencing_token: lock.fencing_token,
            ended: CancellationToken::new(),
            state: Mutex::new(State { lease, guards: 0, lost: None }),
        })
    }

    /// Tells holds apart, also two of the same resource and token.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn fencing_token(&self) -> u64 {
        self.fencing_token
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.state().lease.ttl
    }

    pub(crate) fn trusted_until(&self) -> Instant {
        self.state().lease.trusted_until()
    }

    /// When it is to be renewed. `random` is in `0.0..1.0`.
    pub(crate) fn renewal_due(&self, random: f64) -> Instant {
        let Lease { sent_at, remaining, ttl } = self.state().lease;
        trust::renewal_due(sent_at, remaining, ttl, random)
    }

    /// The trusted time left: none once it has ended.
    pub(crate) fn remaining(&self) -> Duration {
        let state = self.state();
        match state.lost {
            Some(_) => Duration::ZERO,
            None => state.lease.trusted_until().saturating_duration_since(Instant::now()),
        }
    }

    /// Whether it is still believed in. Asking after the trusted time is what
    /// ends it, if nothing else has.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        let mut state = self.state();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        if Instant::now() < state.lease.trusted_until() {
            return Ok(());
        }
        let message = "no renewal was confirmed in time";
        let lost = self.lost_by(Ending::new(LostReason::Unconfirmed, message));
        state.lost = Some(lost.clone());
        drop(state);
        self.tell(&lost);
        Err(lost)
    }

    /// The server confirmed the lease in an answer to a request sent at this
    /// moment. False when it has ended before that became known.
    ///
    /// Of two answers that crossed, the one to the later request counts: it
    /// alone is known to speak of all that was asked before.
    pub(crate) fn confirm(&self, sent_at: Instant, remaining: Duration, ttl: Duration) -> bool {
        if self.check().is_err() {
            return false;
        }
        let mut state = self.state();
        if sent_at >= state.lease.sent_at {
            state.lease = Lease { sent_at, remaining, ttl };
        }
        state.lost.is_none()
    }

    /// It is about to be made as short as this, by a request that is sent after
    /// this moment.
    pub(crate) fn shorten(&self, now: Instant, ttl: Duration) {
        let lease = Lease { sent_at: now, remaining: ttl, ttl };
        let mut state = self.state();
        if lease.trusted_until() < state.lease.trusted_until() {
            state.lease = lease;
        }
    }

    /// Does this, and ends the hold meanwhile when its time is over, for want of
    /// the keep-alive which does that otherwise.
    pub(crate) async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while self.check().is_ok() {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(self.trusted_until()) => {}
            }
        }
        work.await
    }

    /// Ends it. What it had ended with before, if it had.
    pub(crate) fn end(&self, ending: Ending) -> Option<Lost> {
        let mut state = self.state();
        if let Some(lost) = &state.lost {
            return Some(lost.clone());
        }
        let lost = self.lost_by(ending);
        state.lost = Some(lost.clone());
        drop(state);
        self.tell(&lost);
        None
    }

    fn lost_by(&self, ending: Ending) -> Lost {
        let Ending { reason, holder, forced, message } = ending;
        let (resource, fencing_token) = (self.key.resource.clone(), self.fencing_token);
        Lost { resource, fencing_token, reason, holder, forced, message }
    }

    /// Wakes whoever waits, and logs: without the lock, because both run code of
    /// others.
    fn tell(&self, lost: &Lost) {
        self.ended.cancel();
        if lost.reason != LostReason::Released {
            tracing::warn!(
                lock.resource = %self.key.resource,
                lock.owner = self.key.owner_id,
                lock.token = self.fencing_token,
                reason = %lost.reason,
                "lease lost: {}",
                lost.message
            );
        }
    }

    /// Resolves when it has ended, with how. Looks at the clock whenever it is
    /// polled: work that is polled beside it must not go on because a process
    /// that stood still has not run its timers yet.
    pub(crate) async fn lost(self: Arc<Self>) -> Lost {
        let mut ended = pin!(self.ended.cancelled());
        poll_fn(|context| match (self.check(), ended.as_mut().poll(context)) {
            (Err(lost), _) => Poll::Ready(lost),
            (Ok(()), Poll::Pending) => Poll::Pending,
            // Ended between the two looks.
            (Ok(()), Poll::Ready(())) => match self.check() {
                Err(lost) => Poll::Ready(lost),
                Ok(()) => Poll::Pending,
            },
        })
        .await
    }

    /// A token that is cancelled when it has ended; cancelling it ends nothing.
    pub(crate) fn cancellation_token(&self) -> CancellationToken {
        self.ended.child_token()
    }

    /// One more guard stands on it.
    pub(crate) fn enter(&self) {
        self.state().guards += 1;
    }

    /// One guard less. How many are left.
    pub(crate) fn leave(&self) -> usize {
        let mut state = self.state();
        state.guards -= 1;
        state.guards
    }

    pub(crate) fn guards(&self) -> usize {
        self.state().guards
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
