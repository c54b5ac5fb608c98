//! The clock that leases are measured with across processes.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment on `CLOCK_BOOTTIME`, in nanoseconds.
///
/// All processes of a machine share this clock, and it goes on while the machine
/// sleeps, as the lock server's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deadline(u64);

impl Deadline {
    /// The moment at which this much more time has passed.
    pub fn after(from_now: Duration) -> Self {
        Self::now().plus(from_now)
    }

    /// How long it is until then; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.since(Self::now())
    }

    /// This moment.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux has this clock");
        Self(0).plus(now.into())
    }

    /// Later by this much.
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_nanos().try_into().unwrap_or(u64::MAX)))
    }

    /// Earlier by this much.
    pub(crate) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_nanos().try_into().unwrap_or(u64::MAX)))
    }

    /// How much later it is than the other; zero when it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long after the machine's start it is.
    pub(crate) fn since_boot(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_nearer_and_never_goes_below_zero() {
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(deadline.remaining() <= Duration::from_secs(60));
        assert!(deadline.remaining() > Duration::from_secs(30));
        assert_eq!(Deadline(1).remaining(), Duration::ZERO);
        assert!(deadline > Deadline::now());
    }

    #[test]
    fn the_farthest_moment_is_still_one() {
        let never = Deadline::after(Duration::MAX);
        assert!(never.remaining() > Duration::from_secs(100 * 365 * 24 * 60 * 60));
        assert_eq!(never.plus(Duration::MAX), never);
        assert_eq!(Deadline(5).minus(Duration::MAX), Deadline(0));
    }
}
