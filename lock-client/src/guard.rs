//! The guard: proof that a lock is held, for as long as it is believed in.
//!
//! # Overview
//!
//! A [`LockGuard`] stands on a hold, which is one lease of one resource. Guards
//! are counted: acquiring again in the same process, and cloning, add a guard,
//! and the lease is given back when the last one goes. The keep-alive renews it
//! meanwhile (`keep_alive.rs`), and whoever finds out that it is over ends the
//! hold: the keep-alive, an acquisition that was answered otherwise, or
//! [`check`](LockGuard::check) itself.
//!
//! # Trust window
//!
//! A lease is believed in until
//!
//! ```text
//! moment before the request was sent + remaining in its answer − margin
//! ```
//!
//! on this machine's monotonic clock (`trust.rs`). Counting from before the
//! request keeps a slow answer from stretching it, and the margin covers drift.
//! Past that moment the hold is over here, whatever the server thinks: so the
//! client stops believing before the server can give the resource to another.
//!
//! Not covered is a machine that is suspended, or a virtual one that is paused or
//! moved: the monotonic clock that Rust and tokio read (on Linux
//! `CLOCK_MONOTONIC`) stands still with it, and after waking a lease that ran out
//! long ago looks alive until the server's next answer. Linux has a clock that
//! goes on (`CLOCK_BOOTTIME`); this client does not read it. What protects then
//! is the fencing token, checked by what the lock protects (`fenced.rs`).
//!
//! # Failure handling
//!
//! A hold that is over stays over. Its guards say why, and releasing the last
//! of them sends nothing, except after a loss for want of confirmation: then
//! the server may still count the lease as held, and is told once, in the
//! background. The resource can be acquired again at any time, which begins a
//! new hold even while guards of the old one are about.
//!
//! Renewing stops before the release is sent; and by contract no renewal brings
//! a released lease back, so one that is under way does no harm. A release that
//! got no answer may still arrive: no later acquisition relies on the lease that
//! it names (`doubts.rs`).
//!
//! # Cancel safety
//!
//! A release goes on to its end in the background, whether its future is
//! awaited, dropped half way or never polled. [`lost`](LockGuard::lost) may be
//! dropped and asked for again at will.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use proto::lock::v1 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    ClientError, Lost, LostReason, Resource,
    call::{Answer, Failed},
    hold::Hold,
    holds::Turn,
    lost::Ending,
    release::release,
    shared::Shared,
};

/// A lock that is held and kept alive.
///
/// The lock is given back when the last guard on it goes: by
/// [`release`](Self::release), which tells what came of it, or by being
/// dropped, which does it in the background.
pub struct LockGuard {
    shared: Arc<Shared>,
    hold: Arc<Hold>,
    origin: Origin,
    left: bool,
}

/// What the acquisition of a guard was answered beside the lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) reentrant: bool,
    pub(crate) retried: bool,
}

/// What giving a guard back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The lease ended by this call.
    Released,
    /// There was no live lease to end: everything of this owner was released
    /// before, or the lease ran out just now.
    AlreadyFree,
    /// The lease is over, and whether by this call is not known: an attempt got
    /// no answer, and the next one found nothing to end. It was this call's, as
    /// good as always; another owner may hold the resource since.
    ReleasedOrFree,
    /// Other guards in this process are on the same hold, and it goes on.
    StillHeld {
        /// How many.
        guards: usize,
    },
}

impl LockGuard {
    pub(crate) fn enter(shared: Arc<Shared>, hold: Arc<Hold>, origin: Origin) -> Self {
        hold.enter();
        Self { shared, hold, origin, left: false }
    }

    /// What is locked.
    pub fn resource(&self) -> &Resource {
        &self.hold.key().resource
    }

    /// Who holds it.
    pub fn owner_id(&self) -> &str {
        &self.hold.key().owner_id
    }

    /// The number that what the lock protects must check: see
    /// [`fenced`](crate::fenced).
    pub fn fencing_token(&self) -> u64 {
        self.hold.fencing_token()
    }

    /// Whether the owner held the lock already when this guard was acquired:
    /// here, or in another process that acts in its name. If
    /// [`retried`](Self::retried), it may have been this very call. A clone says
    /// what the guard says that it was cloned from.
    pub fn reentrant(&self) -> bool {
        self.origin.reentrant
    }

    /// Whether an attempt to acquire it, before the one that was answered, may
    /// have taken effect without an answer.
    pub fn retried(&self) -> bool {
        self.origin.retried
    }

    /// For how much longer the lease is believed in, if no renewal comes. Zero
    /// once it is lost.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Until when the lease is believed in, if no renewal comes.
    pub fn trusted_until(&self) -> Instant {
        self.hold.trusted_until()
    }

    /// Whether the lease is still believed in. Costs no more than a look at the
    /// clock: call it before each side effect.
    ///
    /// What passes between this and the effect is not covered. Where that
    /// matters, the effect must carry the fencing token.
    ///
    /// # Errors
    ///
    /// [`Lost`], from the first time on that it is.
    pub fn check(&self) -> Result<(), Lost> {
        self.hold.check()
    }

    /// Resolves when the lease is lost, or given back by another way than this
    /// guard. Looks at the clock at each poll, so work that is polled after it
    /// does not go on under a lease whose time is over. Borrows nothing, so it fits into a `select!` beside anything.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + Sync + 'static {
        self.hold.clone().lost()
    }

    /// A token that is cancelled when the lease is lost or given back, for work
    /// that is spread over tasks. Cancelling it oneself ends no lease.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.hold.cancellation_token()
    }

    /// Gives this guard back, and the lock with the last one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`] when the lease was lost before;
    /// [`ClientError::NotHeld`] when the server says so; and
    /// [`ClientError::Unavailable`] when no server answered: it runs out then.
    pub async fn release(mut self) -> Result<Released, ClientError> {
        self.left = true;
        match self.hold.leave() {
            0 => finish_in_background(&self.shared, &self.hold).await?,
            guards => match self.hold.check() {
                Err(lost) if lost.reason != LostReason::Released => Err(lost.into()),
                _ => Ok(Released::StillHeld { guards }),
            },
        }
    }
}

impl Clone for LockGuard {
    /// One more guard on the same hold. Asks no server.
    fn clone(&self) -> Self {
        Self::enter(self.shared.clone(), self.hold.clone(), self.origin)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.left && self.hold.leave() == 0 {
            // Goes on by itself; `LockClient::flush` waits for it.
            drop(finish_in_background(&self.shared, &self.hold));
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("resource", &self.resource().to_string())
            .field("owner_id", &self.owner_id())
            .field("fencing_token", &self.fencing_token())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

fn finish_in_background(
    shared: &Arc<Shared>,
    hold: &Arc<Hold>,
) -> impl Future<Output = Result<Result<Released, ClientError>, ClientError>> + Send + use<> {
    let pending = shared.background.begin();
    let (owned, hold) = (shared.clone(), hold.clone());
    shared.io.run_to_the_end(async move {
        let _pending = pending;
        finish(owned, hold).await
    })
}

/// The last guard has gone: ends the hold, unless somebody has come in again
/// before it was this one's turn.
async fn finish(shared: Arc<Shared>, hold: Arc<Hold>) -> Result<Released, ClientError> {
    let turn = shared.holds.turn(hold.key().clone()).await;
    match hold.guards() {
        0 => {}
        guards => return Ok(Released::StillHeld { guards }),
    }
    // Past its time it is lost, and no release makes that undone.
    let before = match hold.check() {
        Ok(()) => hold.end(Ending::new(LostReason::Released, "the last guard was given back")),
        Err(lost) => Some(lost),
    };
    shared.keep_alive.stop(vec![hold.id()]).await;
    let was_held = turn.take(&hold);
    match before {
        None => {
            let token = Some(hold.fencing_token());
            told(release(&shared, &turn, token, shared.limits).await)
        }
        Some(lost) if lost.reason == LostReason::Released => Ok(Released::AlreadyFree),
        Some(lost) => {
            if lost.reason == LostReason::Unconfirmed && was_held {
                tell_server(shared.clone(), hold, turn);
            }
            Err(lost.into())
        }
    }
}

/// Tells the server once that a lease is not wanted any more which it may still
/// count as held. Keeps the turn, so that it cannot hit a later acquisition
/// that was given the same lease again.
fn tell_server(shared: Arc<Shared>, hold: Arc<Hold>, turn: Turn) {
    let pending = shared.background.begin();
    let limits = shared.limits.of_one_attempt();
    tokio::spawn(async move {
        let _pending = pending;
        let outcome = told(release(&shared, &turn, Some(hold.fencing_token()), limits).await);
        tracing::debug!(lock.resource = %hold.key().resource, ?outcome, "gave a lost lease back");
        drop(turn);
    });
}

/// What came of a release. The second answer to one that is asked for twice says
/// nothing of the lease that the first one ended, or of who came after, unless
/// it says that somebody broke that lease: then it was not the first one.
fn told(outcome: Result<Answer<wire::ReleaseResponse>, Failed>) -> Result<Released, ClientError> {
    match outcome {
        Ok(answer) if answer.message.released => Ok(Released::Released),
        Ok(answer) if answer.retried => Ok(Released::ReleasedOrFree),
        Ok(_) => Ok(Released::AlreadyFree),
        Err(Failed { error: ClientError::NotHeld(not_held), .. })
            if not_held.retried && not_held.forced.is_none() =>
        {
            Ok(Released::ReleasedOrFree)
        }
        Err(failed) => Err(failed.error),
    }
}
