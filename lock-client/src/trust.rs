//! The arithmetic of trust: for how long a lease is believed in, when it is
//! renewed, and how long one attempt at that may take.
//!
//! Pure: no clock is read here. The margin covers what the two monotonic
//! clocks, the server's database's and ours, may drift apart during one lease,
//! and the time that it takes to act on a loss. A tenth of the time to live is
//! far more than clocks drift; the cap keeps long leases from losing minutes to
//! it (2 s in an hour is a drift of 555 ppm, some five times that of a bad
//! quartz), and the floor covers the wake-up of a timer.

use std::time::Duration;

use tokio::time::Instant;

const MARGIN_FLOOR: Duration = Duration::from_millis(20);
const MARGIN_CAP: Duration = Duration::from_secs(2);

/// The longest attempt to renew, whatever the time to live.
const ATTEMPT_CAP: Duration = Duration::from_secs(5);

/// Nothing is done more often than this, so that a server that speaks of no time
/// at all cannot keep a client spinning.
const SHORTEST: Duration = Duration::from_millis(10);

/// No lease is believed in for longer without word from the server, whatever
/// the server says: it keeps sums of instants in range.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The part of a lease that is not believed in.
pub(crate) fn margin(ttl: Duration) -> Duration {
    (ttl / 10).clamp(MARGIN_FLOOR, MARGIN_CAP)
}

/// Until when a lease is believed in that had this much time left in an answer
/// to a request sent at this moment.
pub(crate) fn trusted_until(sent_at: Instant, remaining: Duration, ttl: Duration) -> Instant {
    sent_at + remaining.min(LONGEST).saturating_sub(margin(ttl))
}

/// Whether an answer with this much time left was under way for so long that
/// counting from before its request wastes more of the lease than a renewal
/// costs. So it is for who waited in line.
pub(crate) fn took_too_long(took: Duration, remaining: Duration) -> bool {
    took > remaining / 10
}

/// When to renew it: at a third of the time to live, or of what was left if
/// that is less, ten per cent sooner or later. `random` is in `0.0..1.0`.
pub(crate) fn renewal_due(
    sent_at: Instant,
    remaining: Duration,
    ttl: Duration,
    random: f64,
) -> Instant {
    let third = remaining.min(ttl).min(LONGEST) / 3;
    sent_at + third.mul_f64(0.9 + 0.2 * random).max(SHORTEST)
}

/// How long an attempt may take that renews leases of which the shortest has
/// this time to live. A second one that is as slow still fits in before the
/// lease is given up.
pub(crate) fn attempt_limit(shortest_ttl: Duration) -> Duration {
    (shortest_ttl / 5).clamp(SHORTEST, ATTEMPT_CAP)
}

/// The longest pause before a lease of this time to live is tried again.
pub(crate) fn longest_pause(ttl: Duration) -> Duration {
    (ttl / 10).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_margin_is_a_tenth_within_its_bounds() {
        assert_eq!(margin(ms(100)), ms(20));
        assert_eq!(margin(ms(5_000)), ms(500));
        assert_eq!(margin(ms(300_000)), ms(2_000));
    }

    #[test]
    fn trust_counts_from_before_the_request_and_ends_before_the_lease() {
        let sent_at = Instant::now();
        assert_eq!(trusted_until(sent_at, ms(5_000), ms(5_000)) - sent_at, ms(4_500));
        assert_eq!(trusted_until(sent_at, ms(100), ms(5_000)), sent_at);
        assert!(trusted_until(sent_at, Duration::MAX, Duration::MAX) <= sent_at + LONGEST);
    }

    #[test]
    fn an_answer_is_asked_for_again_when_it_took_a_tenth_of_the_lease() {
        assert!(!took_too_long(ms(500), ms(5_000)));
        assert!(took_too_long(ms(501), ms(5_000)));
        assert!(took_too_long(ms(1), ms(0)));
    }

    #[test]
    fn renewal_comes_at_a_third_ten_per_cent_sooner_or_later() {
        let sent_at = Instant::now();
        let due = |random| renewal_due(sent_at, ms(300_000), ms(300_000), random) - sent_at;
        assert_eq!(due(0.0), ms(90_000));
        assert_eq!(due(0.5), ms(100_000));
        assert!(due(1.0) <= ms(110_001));
    }

    #[test]
    fn renewal_goes_by_what_is_left_when_that_is_less() {
        let sent_at = Instant::now();
        assert_eq!(renewal_due(sent_at, ms(3_000), ms(300_000), 0.5) - sent_at, ms(1_000));
    }

    #[test]
    fn two_attempts_and_their_pause_fit_in_before_the_end_of_trust() {
        for ttl in [ms(200), ms(1_000), ms(5_000), ms(300_000), ms(3_600_000)] {
            let sent_at = Instant::now();
            let late = renewal_due(sent_at, ttl, ttl, 1.0);
            let second_ends = late + attempt_limit(ttl) * 2 + longest_pause(ttl);
            assert!(second_ends <= trusted_until(sent_at, ttl, ttl), "{ttl:?}");
        }
    }

    #[test]
    fn no_time_at_all_is_no_reason_to_spin() {
        let sent_at = Instant::now();
        assert_eq!(renewal_due(sent_at, ms(0), ms(0), 0.0) - sent_at, SHORTEST);
        assert_eq!((attempt_limit(ms(0)), longest_pause(ms(0))), (SHORTEST, SHORTEST));
    }
}
