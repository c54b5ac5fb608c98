//! Names that callers choose: resource types, resource ids, owner ids. A value
//! of these types has been checked.

use std::fmt;

use super::quote;

/// The most bytes in a resource type.
const MAX_TYPE_BYTES: usize = 63;
/// The most bytes in a resource id.
const MAX_ID_BYTES: usize = 512;
/// The most bytes in an owner id.
const MAX_OWNER_BYTES: usize = 256;

/// What kind of thing is locked: `[a-z][a-z0-9_-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceType(String);

/// What is locked: a type and an id, compared and ordered byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    kind: ResourceType,
    id: String,
}

/// Who holds a lock: an id that the caller chose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(String);

/// The beginning of resource ids; empty for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdPrefix(String);

// === impl ResourceType ===

impl ResourceType {
    /// Checks the text.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let rest_is_fine = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        match bytes.next() {
            None => Err(format!("is empty; {}", Self::RULE)),
            Some(b'a'..=b'z') if text.len() <= MAX_TYPE_BYTES && bytes.all(rest_is_fine) => {
                Ok(Self(text.to_owned()))
            }
            Some(_) => Err(format!("is {}; {}", quote(text), Self::RULE)),
        }
    }

    const RULE: &str = "a type matches [a-z][a-z0-9_-]{0,62}";

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A type that has been checked before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

// === impl Resource ===

impl Resource {
    /// A resource with a checked type and id.
    ///
    /// # Errors
    /// What is wrong with the id, and what would be right.
    pub fn parse_id(kind: ResourceType, id: &str) -> Result<Self, String> {
        check_text(id, 1, MAX_ID_BYTES)?;
        Ok(Self { kind, id: id.to_owned() })
    }

    /// A resource that has been checked before it was stored.
    pub(crate) fn stored(kind: String, id: String) -> Self {
        Self { kind: ResourceType::stored(kind), id }
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> &ResourceType {
        &self.kind
    }

    /// Which one it is.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.0, self.id)
    }
}

// === impl OwnerId ===

impl OwnerId {
    /// Checks the text.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_text(text, 1, MAX_OWNER_BYTES)?;
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An owner that has been checked before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

// === impl IdPrefix ===

impl IdPrefix {
    /// That of every id.
    pub const ALL: Self = Self(String::new());

    /// Checks the text.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_text(text, 0, MAX_ID_BYTES)?;
        Ok(Self(text.to_owned()))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the length in bytes and that there is no control character.
pub(super) fn check_text(text: &str, least: usize, most: usize) -> Result<(), String> {
    if text.len() < least {
        return Err(format!("is empty; {least} to {most} bytes of UTF-8 are needed"));
    }
    if text.len() > most {
        return Err(format!("has {} bytes; at most {most} are allowed", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(control) => Err(format!(
            "holds the control character U+{:04X}; none is allowed",
            u32::from(control)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_plain_identifiers() {
        for text in ["plan", "p", "a-b_c9", &"a".repeat(63)] {
            assert_eq!(ResourceType::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "Plan", "9a", "-a", "_a", "a b", "é", "a\n", &"a".repeat(64)] {
            let wrong = ResourceType::parse(text).unwrap_err();
            assert!(wrong.contains("[a-z][a-z0-9_-]{0,62}"), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn ids_may_hold_anything_but_control_characters() {
        let plan = || ResourceType::parse("plan").unwrap();
        for id in ["42", "'; DROP TABLE locks; --", "🔒/\\\"%_", "\u{202e}rtl", &"x".repeat(512)]
        {
            assert_eq!(Resource::parse_id(plan(), id).unwrap().id(), id);
        }
        assert!(Resource::parse_id(plan(), "").unwrap_err().contains("is empty"));
        assert!(Resource::parse_id(plan(), &"x".repeat(513)).unwrap_err().contains("513 bytes"));
        assert!(Resource::parse_id(plan(), "a\u{85}b").unwrap_err().contains("U+0085"));
        assert!(Resource::parse_id(plan(), "a\0b").unwrap_err().contains("U+0000"));
    }

    #[test]
    fn the_length_of_an_owner_counts_bytes() {
        assert!(OwnerId::parse(&"é".repeat(128)).is_ok());
        assert!(OwnerId::parse(&"é".repeat(129)).unwrap_err().contains("258 bytes"));
    }

    #[test]
    fn an_empty_prefix_means_all() {
        assert_eq!(IdPrefix::parse("").unwrap().as_str(), "");
        assert!(IdPrefix::parse("a\tb").is_err());
    }
}
