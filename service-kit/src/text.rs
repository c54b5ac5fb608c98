//! Text of others in messages and logs: short and harmless; and errors with their causes.

mod quote;

pub use quote::quote;

/// The text, cut to so many bytes with an ellipsis where it is longer.
pub fn cut(text: &str, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// An error with all its causes, for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some errors say their cause themselves.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "lo…");
        assert_eq!(cut("ééé", 5), "é…");
    }

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("cannot start")]
        Plain(#[source] io::Error),
        #[error("cannot start: {0}")]
        Told(#[source] io::Error),
    }

    #[test]
    fn every_cause_is_told_once() {
        let cause = || io::Error::other("no room");
        assert_eq!(chain(&Failed::Plain(cause())), "cannot start: no room");
        assert_eq!(chain(&Failed::Told(cause())), "cannot start: no room");
    }
}
