//! The values of flags: each parser says what is wrong and what would be
//! right.

use std::time::Duration;

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use lock_client::Timestamp;

/// A span above zero.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match span_or_zero(text)? {
        Duration::ZERO => Err("a span must be above zero, such as 30s".to_owned()),
        span => Ok(span),
    }
}

/// A span that may be zero.
pub(super) fn span_or_zero(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a span as 500ms, 30s, 5m or 1h"))
}

/// How long to wait in line.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    if text.trim_start().starts_with('-') {
        return Err("a wait cannot be negative: write it as 500ms, 30s, 5m or 1h, or 0s for none"
            .to_owned());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a wait as 500ms, 30s, 5m or 1h, or 0s for none"))
}

/// A moment. The library would take one without a zone for UTC, and whoever
/// wrote it may have meant another.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let offset = text.len().checked_sub("+00:00".len()).and_then(|start| text.get(start..));
    let zoned = text.ends_with(['Z', 'z'])
        || text.contains(['T', 't', ' '])
            && offset.is_some_and(|offset| offset.starts_with(['+', '-']));
    text.parse().ok().filter(|_| zoned).ok_or_else(|| {
        "write a time with its zone, as 2026-01-02T15:04:05Z or 2026-01-02T16:04:05+01:00"
            .to_owned()
    })
}

/// One entry of metadata.
pub(super) fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write metadata as KEY=VALUE, such as task=import".to_owned()),
    }
}

/// A fencing token.
pub(super) fn token() -> impl TypedValueParser<Value = u64> {
    RangedU64ValueParser::<u64>::new().range(1..)
}

/// How many at most.
pub(super) fn limit() -> impl TypedValueParser<Value = u64> {
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

    #[test]
    fn times_are_written_with_their_zone() {
        let moment = Timestamp { seconds: 1_767_366_245, nanos: 0 };
        for text in ["2026-01-02T15:04:05Z", "2026-01-02T16:04:05+01:00", "2026-01-02 15:04:05Z"] {
            assert_eq!(time(text), Ok(moment), "{text:?}");
        }
        assert_eq!(time("2026-01-02T15:04:05.5Z"), Ok(Timestamp { nanos: 500_000_000, ..moment }));
        for text in [
            "",
            "now",
            "2h",
            "2026-01-02",
            "2026-01-02T15:04:05",
            "2026-13-02T15:04:05Z",
            "2026-01-02T25:04:05Z",
            "1767366245",
            "２026-01-02T15:04:05Z",
        ] {
            assert!(time(text).unwrap_err().contains("2026-01-02T15:04:05Z"), "{text:?}");
        }
    }

    #[test]
    fn metadata_splits_at_the_first_equals_sign() {
        assert_eq!(entry("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(entry("a="), Ok(("a".to_owned(), String::new())));
        for text in ["", "a", "=b"] {
            assert!(entry(text).unwrap_err().contains("KEY=VALUE"), "{text:?}");
        }
    }
}
