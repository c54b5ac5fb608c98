//! Spans of time as people and as programs read them.

use std::time::Duration;

/// For people: two units at most, `4m 59s`, `2d 3h`, `1.5s`, `350ms`.
pub fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..10 => format!("{}.{}s", seconds, span.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => two(seconds, 60, "m", 1, "s"),
        3_600..86_400 => two(seconds, 3_600, "h", 60, "m"),
        _ => two(seconds, 86_400, "d", 3_600, "h"),
    }
}

fn two(seconds: u64, large: u64, large_name: &str, small: u64, small_name: &str) -> String {
    let (whole, rest) = (seconds / large, seconds % large / small);
    if rest == 0 {
        format!("{whole}{large_name}")
    } else {
        format!("{whole}{large_name} {rest}{small_name}")
    }
}

/// For programs: as JSON writes a `google.protobuf.Duration`, seconds with 0,
/// 3, 6 or 9 digits after the point.
pub fn proto(span: Duration) -> String {
    let (seconds, nanos) = (span.as_secs(), span.subsec_nanos());
    match nanos {
        0 => format!("{seconds}s"),
        n if n % 1_000_000 == 0 => format!("{seconds}.{:03}s", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{seconds}.{:06}s", n / 1_000),
        n => format!("{seconds}.{n:09}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_two_units() {
        for (millis, expected) in [
            (0, "0ms"),
            (350, "350ms"),
            (1_000, "1.0s"),
            (9_999, "9.9s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (299_000, "4m 59s"),
            (3_600_000, "1h"),
            (5_430_000, "1h 30m"),
            (86_400_000, "1d"),
            (183_600_000, "2d 3h"),
        ] {
            assert_eq!(human(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn programs_read_seconds() {
        for (nanos, expected) in [
            (0, "0s"),
            (12_300_000_000, "12.300s"),
            (1_000_001_000, "1.000001s"),
            (1, "0.000000001s"),
        ] {
            assert_eq!(proto(Duration::from_nanos(nanos)), expected);
        }
    }
}
