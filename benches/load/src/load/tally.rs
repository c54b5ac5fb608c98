//! What a caller counts.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::trouble::Trouble;

/// What one caller has counted, or all of them together.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// What the rate is made of: pairs, attempts, renewals or commands, by the script.
    pub(crate) steps: u64,
    /// Attempts that were granted.
    pub(crate) grants: u64,
    /// Attempts that found another holder.
    pub(crate) conflicts: u64,
    /// What went wrong, in and outside of the time that counts.
    pub(crate) errors: u64,
    /// The first of those.
    pub(crate) first_error: Option<String>,
    /// Nanoseconds from the command to its answer.
    pub(crate) latency: Histogram<u32>,
}

/// For nanoseconds, with three digits. A minute is more than any target takes for a command.
#[expect(clippy::expect_used, reason = "the bounds are constants, and right")]
pub(crate) fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(500, 60_000_000_000, 3).expect("right bounds")
}

/// A quantile of latencies in microseconds.
pub(crate) fn micros(latency: &Histogram<u32>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            steps: 0,
            grants: 0,
            conflicts: 0,
            errors: 0,
            first_error: None,
            latency: histogram(),
        }
    }
}

impl Tally {
    /// Counts an error.
    pub(crate) fn fail(&mut self, trouble: &Trouble) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| trouble.to_string());
    }

    /// Counts a command's time.
    pub(crate) fn took(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanos);
    }

    /// Adds what another caller counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.grants += other.grants;
        self.conflicts += other.conflicts;
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        // All histograms have the same bounds.
        let _ = self.latency.add(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_keep_the_first_error() {
        let mut all = Tally::default();
        for error in ["first", "second"] {
            let mut one = Tally { steps: 2, ..Tally::default() };
            one.fail(&Trouble::failed(error));
            one.took(Duration::from_micros(250));
            all.add(&one);
        }
        assert_eq!((all.steps, all.errors, all.latency.len()), (4, 2, 2));
        assert_eq!(all.first_error.as_deref(), Some("first"));
        assert!((micros(&all.latency, 0.5) - 250.0).abs() < 0.5);
    }

    #[test]
    fn a_time_out_of_bounds_counts_as_the_longest() {
        let mut tally = Tally::default();
        tally.took(Duration::from_secs(3600));
        assert!(micros(&tally.latency, 1.0) >= 60e6);
    }
}
