//! When the commands of an open loop are due: at even distances, whatever the answers take.

use std::time::{Duration, Instant};

/// A fixed schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: Instant,
    interval: f64,
    count: u64,
}

impl Schedule {
    /// So many commands a second, for so long.
    pub(super) fn new(start: Instant, per_second: f64, time: Duration) -> Self {
        let interval = 1.0 / per_second;
        Self { start, interval, count: (time.as_secs_f64() * per_second) as u64 }
    }

    /// How many commands there are.
    pub(super) fn count(self) -> u64 {
        self.count
    }

    /// When one of them is due.
    pub(super) fn due(self, number: u64) -> Instant {
        // From the start each time, so that no error adds up.
        self.start + Duration::from_secs_f64(self.interval * number as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_spread_evenly_over_the_time() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 40_000.0, Duration::from_millis(500));
        assert_eq!(schedule.count(), 20_000);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(40_000) - start, Duration::from_secs(1));
        let step = schedule.due(11) - schedule.due(10);
        assert!(step.abs_diff(Duration::from_micros(25)) < Duration::from_nanos(10), "{step:?}");
    }

    #[test]
    fn a_rate_below_one_a_second_has_commands_too() {
        let schedule = Schedule::new(Instant::now(), 0.5, Duration::from_secs(10));
        assert_eq!(schedule.count(), 5);
    }
}
