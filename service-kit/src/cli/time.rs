//! Moments as people read them, and what lies between two of them.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// To the second: what a table has room for.
pub fn seconds(time: Timestamp) -> String {
    Timestamp { nanos: 0, ..time }.to_string()
}

/// From one moment to a later one; zero if it is not later.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    let nanos = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let span = u64::try_from(nanos(to) - nanos(from)).unwrap_or(0);
    Duration::from_nanos(span)
}

/// How long ago that was, by this machine's clock. Nothing but what people read
/// rests on this.
pub fn since(time: Timestamp) -> Duration {
    between(time, now())
}

/// How far off that is, by this machine's clock.
pub fn until(time: Timestamp) -> Duration {
    between(now(), time)
}

#[expect(clippy::disallowed_methods, reason = "only shown; decides nothing")]
fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_between_times_are_never_negative() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(between(time(1, 999_999_999), time(3, 0)), Duration::new(1, 1));
        assert_eq!(between(time(3, 0), time(1, 0)), Duration::ZERO);
    }

    #[test]
    fn what_is_past_is_not_to_come() {
        let long_ago = Timestamp { seconds: 0, nanos: 0 };
        assert!(since(long_ago) > Duration::from_secs(1_000_000_000));
        assert_eq!(until(long_ago), Duration::ZERO);
    }

    #[test]
    fn tables_show_times_to_the_second() {
        assert_eq!(seconds(Timestamp { seconds: 0, nanos: 5 }), "1970-01-01T00:00:00Z");
    }
}
