//! What becomes of the lock when the command is done.
//!
//! The command's own exit code stands whatever comes of this, so what went
//! wrong is a warning. A lock that is not given back runs out by itself.

use std::pin::pin;

use lock_client::{ClientError, ForcedRelease, LockGuard, Released};
use tokio::time::timeout;

use super::{
    FAREWELL,
    signals::{Signals, asked_to_end},
};
use crate::{
    escape::{escaped, shell_word},
    failure::{Failure, broken, with_forced},
    output::Output,
};

/// Gives the lock back. Who asks to end meanwhile is not kept waiting for a
/// server that does not answer.
///
/// A signal shortens the wait and does not end it: one that was sent to the
/// command and to `lockctl` alike, as a service manager does, may come to hand
/// only here, and the lock goes back all the same if the server is there.
pub(super) async fn give_back(guard: LockGuard, signals: &mut Signals, output: Output) {
    let lock = Named::of(&guard);
    let mut release = pin!(guard.release());
    let released = tokio::select! {
        biased;
        released = &mut release => released,
        _ = asked_to_end(signals) => match timeout(FAREWELL, release).await {
            Ok(released) => released,
            Err(_) => return output.warning(&lock.interrupted()),
        },
    };
    match released {
        Ok(Released::AlreadyFree) => output.warning(&lock.free_before()),
        // An attempt without an answer may have done what the last found done.
        Ok(_) => {}
        Err(error) => output.warning(&match error.forced() {
            Some(forced) => lock.broken_before(forced),
            None => lock.not_given_back(error),
        }),
    }
}

/// Does not give the lock back, because somebody still works under it.
pub(super) fn keep(guard: LockGuard, output: Output) {
    output.warning(&Named::of(&guard).still_used());
    std::mem::forget(guard);
}

/// Which lock, for when its guard has gone.
struct Named {
    resource: String,
    owner: String,
    token: u64,
}

impl Named {
    fn of(guard: &LockGuard) -> Self {
        Self {
            resource: guard.resource().to_string(),
            owner: guard.owner_id().to_owned(),
            token: guard.fencing_token(),
        }
    }

    fn still_used(&self) -> Failure {
        let message = "is not given back and runs out in a while: processes of the command cannot \
                       be ended";
        self.warning("NOT_GIVEN_BACK", message)
    }

    fn interrupted(&self) -> Failure {
        let message = "may not have been given back, for want of an answer before the end that a \
                       signal asks for: it runs out by itself";
        self.warning("NOT_GIVEN_BACK", message)
    }

    fn free_before(&self) -> Failure {
        let events = format!("`lockctl events {}`", shell_word(&self.resource));
        let message = format!(
            "was no longer held when it was given back: somebody else released it, by force if \
             {events} says so, or the lease ran out just now"
        );
        self.warning("FREE_BEFORE", &message)
    }

    fn broken_before(&self, forced: &ForcedRelease) -> Failure {
        let message =
            format!("was no longer held when it was given back: {}", broken(forced, None));
        with_forced(self.warning(proto::reason::LOCK_NOT_HELD, &message), Some(forced))
    }

    fn not_given_back(&self, error: ClientError) -> Failure {
        let message = format!("cannot be given back and runs out by itself: {error}");
        self.warning(error.reason().unwrap_or("NOT_GIVEN_BACK"), &message)
    }

    fn warning(&self, reason: &str, message: &str) -> Failure {
        Failure::new(reason, format!("{} {message}", escaped(&self.resource)))
            .with("resource", &self.resource)
            .with("owner_id", &self.owner)
            .with("fencing_token", self.token.to_string())
    }
}
