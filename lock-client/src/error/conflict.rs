//! Who holds what somebody else wanted, for programs and for people.

use std::{collections::BTreeMap, fmt, time::Duration};

use prost_types::Timestamp;

use crate::Resource;

/// Another owner holds the resource.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conflict {
    /// What is held.
    pub resource: Resource,
    /// Who holds it.
    pub holder: String,
    /// When the holder's lease began, by the database's clock.
    pub acquire_time: Option<Timestamp>,
    /// When it runs out unless it is renewed, by the database's clock.
    pub expire_time: Option<Timestamp>,
    /// What was left of it as the server answered.
    pub remaining: Duration,
    /// How many others wait for the resource.
    pub queue_length: u64,
    /// What the holder says about its hold.
    pub metadata: BTreeMap<String, String>,
    /// How long the server would wait before asking again.
    pub retry_after: Option<Duration>,
    /// The server's words.
    pub message: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource.to_string();
        write!(f, "{} is held by {}", Printable(&resource), Printable(&self.holder))?;
        if let Some(since) = &self.acquire_time {
            write!(f, " since {since}")?;
        }
        if let Some(until) = &self.expire_time {
            write!(f, " until {until}")?;
        }
        // Whole tenths: "1 s left" of half a second would be twice too much.
        let tenths = self.remaining.as_millis().div_ceil(100);
        write!(f, " ({}.{} s left)", tenths / 10, tenths % 10)
    }
}

/// Text from elsewhere, safe to show: what does not print, or turns the line
/// around, is escaped.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\'' | '\\' => write!(f, "{character}")?,
                other => write!(f, "{}", other.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_is_known_and_escapes_what_would_disturb_a_terminal() {
        let conflict = Conflict {
            resource: Resource::new("plan", "it's \u{202e}42"),
            holder: "émile \u{7}".to_owned(),
            acquire_time: None,
            expire_time: None,
            remaining: Duration::from_millis(1),
            queue_length: 0,
            metadata: BTreeMap::new(),
            retry_after: None,
            message: String::new(),
        };
        let shown = "plan/it's \\u{202e}42 is held by émile \\u{7} (0.1 s left)";
        assert_eq!(conflict.to_string(), shown);
    }
}
