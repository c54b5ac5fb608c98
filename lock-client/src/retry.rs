//! How long to wait before another attempt: exponential, with full jitter, so
//! that clients which failed together do not come back together.
//!
//! Pure arithmetic: the caller brings the random number and does the waiting.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Counts attempts that failed in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How many attempts have failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt went well: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure, and says how long to wait. Not at all while there is a
    /// server that has not been asked in this round; after that, for as long as
    /// the server `asked` and up to twice as long a while from round to round.
    /// `random` is in `0.0..1.0`.
    pub(crate) fn failed(
        &mut self,
        servers: usize,
        asked: Option<Duration>,
        random: f64,
    ) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let servers = u32::try_from(servers).unwrap_or(u32::MAX).max(1);
        if !self.failures.is_multiple_of(servers) {
            return Duration::ZERO;
        }
        let round = self.failures / servers - 1;
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(round)).min(LONGEST);
        asked.unwrap_or_default().saturating_add(ceiling.mul_f64(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALMOST_ONE: f64 = 1.0 - f64::EPSILON;

    #[test]
    fn doubles_from_failure_to_failure_up_to_a_longest_wait() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> =
            (0..8).map(|_| backoff.failed(1, None, ALMOST_ONE).as_secs_f64()).collect();
        let expected = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0];
        for (wait, expected) in waits.iter().zip(expected) {
            assert!((wait - expected).abs() < 1e-6, "{waits:?}");
        }
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(Backoff { failures: 9 }.failed(1, None, 0.0), Duration::ZERO);
        assert_eq!(Backoff { failures: 9 }.failed(1, None, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn another_server_is_asked_at_once_and_a_round_is_waited_after() {
        let mut backoff = Backoff::default();
        let asked = Some(Duration::from_secs(1));
        assert_eq!(backoff.failed(3, asked, ALMOST_ONE), Duration::ZERO);
        assert_eq!(backoff.failed(3, asked, ALMOST_ONE), Duration::ZERO);
        assert!(backoff.failed(3, asked, ALMOST_ONE) >= Duration::from_secs(1));
    }

    #[test]
    fn waits_at_least_as_long_as_the_server_asks() {
        let asked = Duration::from_secs(7);
        assert_eq!(Backoff::default().failed(1, Some(asked), 0.0), asked);
    }

    #[test]
    fn begins_anew_after_a_success_and_never_overflows() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert!(backoff.failed(1, None, ALMOST_ONE) <= LONGEST);
        backoff.reset();
        assert!(backoff.failed(1, None, ALMOST_ONE) <= FIRST);
        assert_eq!(backoff.failures(), 1);
    }
}
