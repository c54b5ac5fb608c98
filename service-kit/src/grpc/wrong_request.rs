//! A wrong request as the details of a status.
//!
//! A status must stay under 8 KiB on the wire, or default clients drop it: the details are base64
//! there (4 bytes for 3) and the message stands twice. So what is wrong with a request is cut by
//! size as well as by count.

use tonic_types::ErrorDetails;

use crate::{check::Violation, text::cut};

/// The most violations in one answer.
const MOST_VIOLATIONS: usize = 40;
/// What a violation takes beside its words.
const FRAME_BYTES: usize = 8;

/// What is wrong with a request, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// All of it in one sentence.
    pub message: String,
    /// The first field that is wrong.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
    /// How many are wrong.
    pub count: usize,
}

/// Adds `google.rpc.BadRequest` with the first violations, shortened where they would take more
/// than so many bytes.
pub fn bad_request(
    details: &mut ErrorDetails,
    violations: &[Violation],
    most_bytes: usize,
) -> BadRequest {
    for Violation { field, description } in fitting(violations, most_bytes) {
        details.add_bad_request_violation(field, description);
    }
    let first = violations.first();
    let field = first.map(|violation| violation.field.clone()).unwrap_or_default();
    let description = first.map(|violation| violation.description.clone()).unwrap_or_default();
    let count = violations.len();
    let message = match count {
        0 | 1 => format!("1 field is wrong: {field} {description}"),
        _ => format!("{count} fields are wrong, the first: {field} {description}"),
    };
    BadRequest { message, field, description, count }
}

/// The first violations, shortened where they would not fit otherwise.
fn fitting(violations: &[Violation], most_bytes: usize) -> Vec<Violation> {
    let first = &violations[..violations.len().min(MOST_VIOLATIONS)];
    let bytes: usize =
        first.iter().map(|one| one.field.len() + one.description.len() + FRAME_BYTES).sum();
    if bytes <= most_bytes {
        return first.to_vec();
    }
    let each = most_bytes / first.len() - FRAME_BYTES;
    let shorter = |one: &Violation| {
        let field = cut(&one.field, each * 2 / 3);
        let description = cut(&one.description, each - field.len());
        Violation { field, description }
    };
    first.iter().map(shorter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(field: &str, description: &str) -> Violation {
        Violation { field: field.to_owned(), description: description.to_owned() }
    }

    #[test]
    fn tells_the_first_and_how_many() {
        let mut details = ErrorDetails::new();
        let violations = [violation("a", "is wrong"), violation("b", "is too")];
        let told = bad_request(&mut details, &violations, 1_000);
        assert_eq!(told.message, "2 fields are wrong, the first: a is wrong");
        assert_eq!(
            (told.field.as_str(), told.description.as_str(), told.count),
            ("a", "is wrong", 2)
        );
        let listed = details.bad_request().unwrap();
        assert_eq!(listed.field_violations.len(), 2);
        assert_eq!(listed.field_violations[1].field, "b");
    }

    #[test]
    fn stays_within_its_bytes() {
        let mut details = ErrorDetails::new();
        let violations = vec![violation(&"f".repeat(500), &"é".repeat(500)); 1_000];
        bad_request(&mut details, &violations, 4_400);
        let listed = &details.bad_request().unwrap().field_violations;
        assert_eq!(listed.len(), MOST_VIOLATIONS);
        let bytes: usize = listed.iter().map(|one| one.field.len() + one.description.len()).sum();
        assert!((2_000..=4_400).contains(&bytes), "{bytes}");
        assert!(
            listed.iter().all(|one| one.field.ends_with('…') && one.description.ends_with('…'))
        );
    }
}
