//! The hold that is in the way of somebody, as lines under what went wrong.

use std::{collections::BTreeMap, time::Duration};

use super::{escape::escaped, span};

/// What is known of a hold. Times are texts: nothing is reckoned with them.
#[derive(Debug, Clone, Default)]
pub struct Hold {
    /// Since when, in RFC 3339.
    pub since: Option<String>,
    /// Until when unless it is renewed, in RFC 3339.
    pub expires: Option<String>,
    /// What was left of it as the server answered.
    pub remaining: Duration,
    /// How many others wait.
    pub queue_length: u64,
    /// What the holder says of it.
    pub metadata: BTreeMap<String, String>,
}

impl Hold {
    /// A line for each thing that is known.
    pub fn lines(&self) -> String {
        let mut lines = Vec::new();
        if let Some(since) = &self.since {
            lines.push(format!("  since     {}", escaped(since)));
        }
        let left = span::human(self.remaining);
        lines.push(match &self.expires {
            Some(expires) => format!("  expires   {} (in {left})", escaped(expires)),
            None => format!("  expires   in {left}"),
        });
        if self.queue_length > 0 {
            lines.push(format!("  waiting   {}", self.queue_length));
        }
        if !self.metadata.is_empty() {
            lines.push(format!("  metadata  {}", words(&self.metadata)));
        }
        lines.join("\n")
    }
}

/// `key=value` for each entry; a value that could be taken for more than one
/// word is quoted.
pub fn words(entries: &BTreeMap<String, String>) -> String {
    let word = |(key, value): (&String, &String)| {
        let value = escaped(value);
        if value.is_empty() || value.contains([' ', '"', '=']) {
            format!("{}=\"{}\"", escaped(key), value.replace('"', "\\\""))
        } else {
            format!("{}={value}", escaped(key))
        }
    };
    entries.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_as_words() {
        let metadata =
            [("a", "1"), ("b", "two words"), ("c", ""), ("d", "say \"x\""), ("e", "\u{202e}")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            words(&metadata.into()),
            "a=1 b=\"two words\" c=\"\" d=\"say \\\"x\\\"\" e=\\u{202e}",
        );
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        let hold = Hold { remaining: Duration::from_secs(90), ..Hold::default() };
        assert_eq!(hold.lines(), "  expires   in 1m 30s");
        let hold = Hold {
            since: Some("2026-01-02T03:04:05Z".to_owned()),
            expires: Some("2026-01-02T03:09:05Z".to_owned()),
            queue_length: 2,
            metadata: [("job".to_owned(), "x".to_owned())].into(),
            ..hold
        };
        assert_eq!(
            hold.lines(),
            "  since     2026-01-02T03:04:05Z\n  \
             expires   2026-01-02T03:09:05Z (in 1m 30s)\n  \
             waiting   2\n  \
             metadata  job=x",
        );
    }
}
