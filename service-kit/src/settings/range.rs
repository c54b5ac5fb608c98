//! Settings that must be within a range, and what is said of one that is not.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

/// A setting is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} {problem}")]
pub struct RangeError {
    /// Its name.
    pub flag: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl RangeError {
    /// What is wrong with a flag.
    pub fn new(flag: &'static str, problem: impl Into<String>) -> Self {
        Self { flag, problem: problem.into() }
    }
}

/// Checks a flag's number.
///
/// # Errors
///
/// When it is out of range.
pub fn check_count<N: PartialOrd + Display>(
    flag: &'static str,
    given: N,
    right: RangeInclusive<N>,
) -> Result<(), RangeError> {
    if right.contains(&given) {
        return Ok(());
    }
    let (least, most) = right.into_inner();
    Err(RangeError::new(flag, format!("is {given}; {least} to {most} are right")))
}

/// Checks a flag's span.
///
/// # Errors
///
/// When it is out of range.
pub fn check_span(
    flag: &'static str,
    given: Duration,
    right: RangeInclusive<Duration>,
) -> Result<(), RangeError> {
    if right.contains(&given) {
        return Ok(());
    }
    let [given, least, most] =
        [given, *right.start(), *right.end()].map(humantime::format_duration);
    Err(RangeError::new(flag, format!("is {given}; {least} to {most} are right")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_right_and_what_is_beyond_them_is_told() {
        for right in [1, 64] {
            check_count("runs", right, 1..=64).unwrap();
        }
        for (wrong, told) in [(0, "--runs is 0; 1 to 64"), (65, "--runs is 65; 1 to 64")] {
            let problem = check_count("runs", wrong, 1..=64).unwrap_err().to_string();
            assert_eq!(problem, format!("{told} are right"));
        }
        let right = Duration::from_millis(10)..=Duration::from_secs(60);
        for given in [*right.start(), *right.end()] {
            check_span("wait", given, right.clone()).unwrap();
        }
        let problem = check_span("wait", Duration::from_millis(61_500), right).unwrap_err();
        assert_eq!(problem.to_string(), "--wait is 1m 1s 500ms; 10ms to 1m are right");
    }
}
