//! The values of flags: each parser says what is wrong and what would be
//! right.

use std::time::Duration;

use clap::builder::{RangedU64ValueParser, TypedValueParser};

/// A span above zero.
pub fn span(text: &str) -> Result<Duration, String> {
    match span_or_zero(text)? {
        Duration::ZERO => Err("a span must be above zero, such as 30s".to_owned()),
        span => Ok(span),
    }
}

/// A span that may be zero.
pub fn span_or_zero(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a span as 500ms, 30s, 5m or 1h"))
}

/// How long to wait in line.
pub fn wait(text: &str) -> Result<Duration, String> {
    if text.trim_start().starts_with('-') {
        return Err("a wait cannot be negative: write it as 500ms, 30s, 5m or 1h, or 0s for none"
            .to_owned());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a wait as 500ms, 30s, 5m or 1h, or 0s for none"))
}

/// How many at most.
pub fn limit() -> impl TypedValueParser<Value = u64> {
    RangedU64ValueParser::<u64>::new().range(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_with_their_unit() {
        assert_eq!(span("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(span_or_zero("0s"), Ok(Duration::ZERO));
        assert!(span("0s").unwrap_err().contains("above zero"));
        for text in ["", "30", "soon", "-5s"] {
            assert!(span(text).unwrap_err().contains("30s"), "{text:?}");
        }
    }

    #[test]
    fn a_wait_may_be_none_and_says_what_is_right() {
        assert_eq!(wait("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(wait("0s"), Ok(Duration::ZERO));
        for text in ["", "30", "long", "-5s", "-", "99999999999999999999h"] {
            assert!(wait(text).unwrap_err().contains("30s"), "{text:?}");
        }
        assert!(wait("-5s").unwrap_err().contains("negative"));
    }
}
