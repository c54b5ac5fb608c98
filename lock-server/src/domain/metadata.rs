//! What an owner says about its hold, for others to read in a conflict.

use std::collections::BTreeMap;

use super::{name::check_text, quote};

/// The most entries.
const MAX_ENTRIES: usize = 16;
/// The most bytes in a key.
const MAX_KEY_BYTES: usize = 63;
/// The most bytes in a value.
const MAX_VALUE_BYTES: usize = 256;
/// The most bytes in all keys and values together.
const MAX_TOTAL_BYTES: usize = 1024;

/// Checked metadata, ordered by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Checks the entries.
    ///
    /// # Errors
    /// Each thing that is wrong: the path below `metadata` (empty for the whole)
    /// and what would be right.
    pub fn parse<I>(entries: I) -> Result<Self, Vec<(String, String)>>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let mut wrong = Vec::new();
        if entries.len() > MAX_ENTRIES {
            let count = entries.len();
            wrong.push((
                String::new(),
                format!("has {count} entries; at most {MAX_ENTRIES} are allowed"),
            ));
        }
        let total: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        if total > MAX_TOTAL_BYTES {
            wrong.push((
                String::new(),
                format!("has {total} bytes in all; at most {MAX_TOTAL_BYTES} are allowed"),
            ));
        }
        for (key, value) in &entries {
            let path = format!("[{}]", quote(key));
            if !is_key(key) {
                wrong.push((path.clone(), "a key matches [a-z][a-z0-9._-]{0,62}".to_owned()));
            }
            if let Err(problem) = check_text(value, 0, MAX_VALUE_BYTES) {
                wrong.push((path, format!("the value {problem}")));
            }
        }
        if wrong.is_empty() { Ok(Self(entries)) } else { Err(wrong) }
    }

    /// Metadata that has been checked before it was stored.
    pub(crate) fn stored(entries: BTreeMap<String, String>) -> Self {
        Self(entries)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, ordered by key.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    key.len() <= MAX_KEY_BYTES
        && matches!(bytes.next(), Some(b'a'..=b'z'))
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<Metadata, Vec<(String, String)>> {
        Metadata::parse(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn takes_what_is_within_the_limits() {
        let metadata = parse(&[("host", "a"), ("b.c-d_9", "")]).unwrap();
        assert_eq!(metadata.entries().len(), 2);
        assert!(parse(&[]).unwrap().is_empty());
        assert!(parse(&[("a", &"x".repeat(256))]).is_ok());
    }

    #[test]
    fn names_every_entry_that_is_wrong() {
        let wrong =
            parse(&[("Host", "a"), ("ok", "tab\t"), ("long", &"x".repeat(257))]).unwrap_err();
        let paths: Vec<_> = wrong.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["[\"Host\"]", "[\"long\"]", "[\"ok\"]"]);
        assert!(wrong[1].1.contains("257 bytes"));
        assert!(wrong[2].1.contains("U+0009"));
    }

    #[test]
    fn limits_the_whole() {
        let many: Vec<_> = (0..17).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(Metadata::parse(many).unwrap_err()[0].1.contains("17 entries"));
        let big: Vec<_> = (0..5).map(|n| (format!("k{n}"), "x".repeat(205))).collect();
        assert!(Metadata::parse(big).unwrap_err()[0].1.contains("1035 bytes in all"));
        let full: Vec<_> = (0..4).map(|n| (format!("k{n}"), "x".repeat(254))).collect();
        assert!(Metadata::parse(full).is_ok());
    }
}
