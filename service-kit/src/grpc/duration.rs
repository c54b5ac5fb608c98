//! `google.protobuf.Duration` of a request, checked.

use std::time::Duration;

/// The most seconds in the message: 10,000 years.
const MOST_SECONDS: i64 = 315_576_000_000;
const MOST_NANOS: i32 = 999_999_999;

/// A well-formed span that is not negative.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub fn duration(span: &prost_types::Duration) -> Result<Duration, String> {
    let prost_types::Duration { seconds, nanos } = *span;
    if !(-MOST_NANOS..=MOST_NANOS).contains(&nanos) {
        return Err(format!("has {nanos} nanos; 0 to {MOST_NANOS} are right"));
    }
    if seconds.unsigned_abs() > MOST_SECONDS.unsigned_abs() {
        return Err(format!("has {seconds} seconds; at most {MOST_SECONDS} are right"));
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Err(format!("mixes signs: {seconds} seconds and {nanos} nanos"));
    }
    if seconds < 0 || nanos < 0 {
        return Err("is negative; a span of time is not".to_owned());
    }
    Ok(Duration::new(seconds.unsigned_abs(), nanos.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(seconds: i64, nanos: i32) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos }
    }

    #[test]
    fn spans_are_well_formed_and_not_negative() {
        assert_eq!(duration(&given(5, 1_999)), Ok(Duration::new(5, 1_999)));
        assert_eq!(duration(&given(0, 0)), Ok(Duration::ZERO));
        for (wrong, word) in [
            (given(-1, 0), "negative"),
            (given(0, -1), "negative"),
            (given(1, -1), "mixes signs"),
            (given(-1, 1), "mixes signs"),
            (given(1, 1_000_000_000), "nanos"),
            (given(i64::MAX, 0), "seconds"),
            (given(i64::MIN, 0), "seconds"),
        ] {
            let problem = duration(&wrong).unwrap_err();
            assert!(problem.contains(word), "{wrong:?}: {problem}");
        }
    }
}
