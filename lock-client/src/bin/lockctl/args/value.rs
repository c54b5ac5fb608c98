//! The values of flags: each parser says what is wrong and what would be
//! right.

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use lock_client::Timestamp;

pub(super) use service_kit::cli::value::{limit, span, span_or_zero, wait};

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

#[cfg(test)]
mod tests {
    use super::*;

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
