//! When a command must end so that none of it runs under a lease that may be
//! somebody else's.
//!
//! ```text
//! renewed                        TERM       KILL        the server's expiry
//!    |-----------------------------|----------|-----------------|
//!                                     grace    the client's margin
//!                                       trusted until
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How long the command has between TERM and KILL once the server has said that
/// the lease is gone: every moment of it is one too many.
pub(super) const LOST_GRACE: Duration = Duration::from_millis(200);

/// How long processes that the command left behind have between TERM and KILL.
pub(super) const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// How long the command has between TERM and KILL when its lease is not
/// renewed: a sixth of the time for which the lease is trusted, within reason,
/// and never so much of a short one that one late renewal ends the command.
fn grace(trusted_for: Duration) -> Duration {
    (trusted_for / 6).clamp(Duration::from_millis(100), Duration::from_secs(5)).min(trusted_for / 4)
}

/// How often to look at the lease. The guard tells of its end and not of its
/// renewal, which may have made it shorter.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The lease as it was last seen: from renewal to renewal another one, since
/// somebody else may have given it another time to live.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    trusted_until: Instant,
    grace: Duration,
}

impl Lease {
    /// Seen for the first time, now.
    pub(super) fn new(trusted_until: Instant, now: Instant) -> Self {
        Self { trusted_until, grace: grace(trusted_until.saturating_duration_since(now)) }
    }

    /// Seen again, now. Unless it was renewed, all stays as it was: what is
    /// left of a lease says nothing about the whole.
    pub(super) fn see(&mut self, trusted_until: Instant, now: Instant) {
        if trusted_until != self.trusted_until {
            *self = Self::new(trusted_until, now);
        }
    }

    /// When to send TERM unless a renewal comes first.
    pub(super) fn term_at(&self) -> Instant {
        // A moment before the clock began is past, and so is any other by then.
        self.trusted_until.checked_sub(self.grace).unwrap_or(self.trusted_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_fits_the_lease() {
        for (trusted_for, expected) in
            [(3_600_000, 5_000), (30_000, 5_000), (12_000, 2_000), (600, 100), (400, 100), (80, 20)]
        {
            let grace = grace(Duration::from_millis(trusted_for));
            assert_eq!(grace, Duration::from_millis(expected), "trusted for {trusted_for} ms");
        }
    }

    #[test]
    fn term_comes_before_the_lease_is_no_longer_trusted() {
        let now = Instant::now();
        let trusted_until = now + Duration::from_secs(60);
        let lease = Lease::new(trusted_until, now);
        assert_eq!(trusted_until - lease.term_at(), Duration::from_secs(5));
    }

    #[test]
    fn a_lease_that_became_shorter_has_its_own_grace() {
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (start, renewed) = (at(0), at(20));
        let mut lease = Lease::new(start + Duration::from_secs(60), start);
        let shorter = renewed + Duration::from_secs(3);
        lease.see(shorter, renewed);
        assert_eq!(shorter - lease.term_at(), Duration::from_millis(500));
        assert!(lease.term_at() > renewed);
    }

    #[test]
    fn a_lease_that_is_not_renewed_keeps_its_grace() {
        let start = Instant::now();
        let trusted_until = start + Duration::from_secs(12);
        let mut lease = Lease::new(trusted_until, start);
        lease.see(trusted_until, start + Duration::from_secs(9));
        assert_eq!(trusted_until - lease.term_at(), Duration::from_secs(2));
    }
}
