//! A resource as people write it: `type/id`, split at the first slash, so that
//! an id may hold slashes of its own.

use std::{fmt, str::FromStr};

use crate::lock::v1::Resource;

/// The text is not a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseResourceError {
    text: String,
}

impl fmt::Display for ParseResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a resource: write TYPE/ID, such as plan/42", self.text)
    }
}

impl std::error::Error for ParseResourceError {}

impl Resource {
    /// The resource with this type and id, as they are: the server checks them.
    pub fn new(r#type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { r#type: r#type.into(), id: id.into() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.r#type, self.id)
    }
}

impl FromStr for Resource {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((r#type, id)) if !r#type.is_empty() && !id.is_empty() => Ok(Self::new(r#type, id)),
            _ => Err(ParseResourceError { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_slash_only() {
        let resource: Resource = "plan/a/b".parse().unwrap();
        assert_eq!(resource, Resource::new("plan", "a/b"));
        assert_eq!(resource.to_string(), "plan/a/b");
    }

    #[test]
    fn refuses_what_has_no_type_or_no_id() {
        for text in ["", "plan", "plan/", "/42"] {
            let error = text.parse::<Resource>().unwrap_err();
            assert!(error.to_string().contains("write TYPE/ID"), "{text:?}: {error}");
        }
    }
}
