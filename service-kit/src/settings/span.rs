//! Spans of time in settings: `300s`, `5m`, `1h`, `100ms`.

use std::time::Duration;

/// A clap value parser for a span of time. A bare number is refused: nobody can see its unit.
pub fn span(text: &str) -> Result<Duration, String> {
    let hint = "write a span such as 300s, 5m or 1h";
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!("a number without a unit; {hint}"));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(span("300s"), Ok(Duration::from_secs(300)));
        assert_eq!(span("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(span("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(span("100ms"), Ok(Duration::from_millis(100)));
    }

    #[test]
    fn anything_else_is_told_the_right_form() {
        for wrong in ["300", "0", "1.5", "", "5 parsecs", "-5s", "soon"] {
            let error = span(wrong).unwrap_err();
            assert!(error.contains("write a span such as 300s, 5m or 1h"), "{wrong}: {error}");
        }
    }
}
