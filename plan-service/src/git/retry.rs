//! Trying again what another process was in the way of.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Git, GitError};

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Tries, with growing pauses between them, and an end.
#[derive(Debug)]
pub(super) struct Tries {
    pause: Duration,
    deadline: Instant,
}

impl Tries {
    pub(super) fn new(git: &Git) -> Self {
        Self { pause: PAUSES.0, deadline: Instant::now() + git.lock_wait }
    }

    /// Waits a little; false when it was long enough.
    pub(super) async fn again(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        true
    }

    /// Waits a little if the error is a lock that another process has, and
    /// gives back any other one, and that one when it was long enough.
    pub(super) async fn after(&mut self, error: GitError) -> Result<(), GitError> {
        if !error.is_lock() {
            return Err(error);
        }
        if self.again().await { Ok(()) } else { Err(error.still_locked()) }
    }
}
