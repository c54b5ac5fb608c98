//! The values of flags: each parser says what is wrong and what would be
//! right.

pub(super) use service_kit::cli::value::{limit, span, wait};

/// The value of one parameter.
pub(super) fn argument(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write an argument as KEY=VALUE, such as from=colour".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_splits_at_the_first_equals_sign() {
        assert_eq!(argument("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(argument("a="), Ok(("a".to_owned(), String::new())));
        for text in ["", "a", "=b"] {
            assert!(argument(text).unwrap_err().contains("KEY=VALUE"), "{text:?}");
        }
    }
}
