//! Names and ids, checked when they are made: whoever has one need not look
//! again, and none can lead out of a folder or be read as an option.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most characters of a name.
const MOST: usize = 63;

/// A text is not the name or id that it should be: what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(&'static str);

/// The name of a project, or of a step: `[a-z][a-z0-9_-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The name of an action: `namespace/name`, each as a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActionName(String);

/// The id of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(Uuid);

/// The id of a changeset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangesetId(Uuid);

/// The id of a git object, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && text.len() <= MOST
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// When it is none; says what would be right.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(
                "is not a name: write a lower-case letter, then up to 62 of a-z, 0-9, _ and -",
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ActionName {
    /// Checks a text.
    ///
    /// # Errors
    /// When it is none; says what would be right.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError(
                "is not an action's name: write NAMESPACE/NAME, each a lower-case letter, then up \
                 to 62 of a-z, 0-9, _ and -",
            )),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

impl PlanId {
    /// A new one, greater than those before.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Checks a text.
    ///
    /// # Errors
    /// When it is none; says what would be right.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const WRONG: NameError = NameError(
            "is not a plan's id: write a UUID in its lower-case form with hyphens, such as \
             019378f2-5a00-7000-8000-000000000000",
        );
        let uuid = Uuid::try_parse(text).map_err(|_| WRONG)?;
        // One way to write it: the id stands in locks, branches and folders.
        if uuid.hyphenated().to_string() == text { Ok(Self(uuid)) } else { Err(WRONG) }
    }
}

impl Default for PlanId {
    fn default() -> Self {
        Self::new()
    }
}

impl ChangesetId {
    /// A new one, greater than those before.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Checks a text.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |_| NameError("is not a changeset's id: a UUID");
        Uuid::try_parse(text).map(Self).map_err(wrong)
    }
}

impl Default for ChangesetId {
    fn default() -> Self {
        Self::new()
    }
}

impl Oid {
    /// Checks a text.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if matches!(text.len(), 40 | 64) && text.chars().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("is not the id of a git object: 40 or 64 hexadecimal digits"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    )*};
}

text!(Name, ActionName, PlanId, ChangesetId, Oid);

macro_rules! stored {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )*};
}

stored!(Name, ActionName, Oid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for wrong in ["", "A", "1a", "-a", "a b", "../a", "a/b", "a.b", "ä", &"a".repeat(64)] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
        for right in ["a", "a-b_9", &"a".repeat(63)] {
            assert_eq!(Name::parse(right).unwrap().as_str(), right);
        }
    }

    #[test]
    fn an_action_has_a_namespace_and_a_name() {
        for wrong in ["a", "a/", "/a", "a/b/c", "../a", "a/..", "A/b"] {
            assert!(ActionName::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(ActionName::parse("fmt/rust").unwrap().namespace(), "fmt");
    }

    #[test]
    fn a_plan_id_is_written_in_one_way() {
        let id = PlanId::new();
        assert_eq!(PlanId::parse(&id.to_string()), Ok(id));
        let shouted = id.to_string().to_uppercase();
        let bare = id.to_string().replace('-', "");
        for wrong in ["", "../x", "plan", &shouted, &bare, &format!("{{{id}}}")] {
            assert!(PlanId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_git_id_is_hexadecimal() {
        assert!(Oid::parse(&"0a".repeat(20)).is_ok());
        for wrong in ["", "HEAD", &"0A".repeat(20), "--all", &"0".repeat(41)] {
            assert!(Oid::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
