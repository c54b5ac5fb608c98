//! A span of time in whole microseconds: what both databases can keep.

use std::{fmt, time::Duration};

/// A span of time, not negative, in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of this many microseconds; a negative number counts as none.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    /// The span in microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The span in whole milliseconds, rounded up: "1 ms left" is not "none".
    pub const fn millis_up(self) -> i64 {
        self.0 / 1000 + (self.0 % 1000 != 0) as i64
    }
}

impl From<Duration> for Span {
    /// Cut to whole microseconds, and to what fits (292,000 years).
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Duration::from_micros(span.0.unsigned_abs())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(Duration::from(*self)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_both_ways_at_microseconds() {
        assert_eq!(Span::from(Duration::from_nanos(1_999)).micros(), 1);
        assert_eq!(Duration::from(Span::from_micros(5_000_000)), Duration::from_secs(5));
        assert_eq!(Span::from(Duration::MAX).micros(), i64::MAX);
        assert_eq!(Span::from_micros(-1), Span::ZERO);
    }

    #[test]
    fn rounds_milliseconds_up_and_reads_well() {
        assert_eq!(Span::from_micros(1).millis_up(), 1);
        assert_eq!(Span::from_micros(2_000).millis_up(), 2);
        assert_eq!(Span::ZERO.millis_up(), 0);
        assert_eq!(Span::from(Duration::from_secs(300)).to_string(), "5m");
    }
}
