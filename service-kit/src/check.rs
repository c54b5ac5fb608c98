//! What is wrong with a request, field by field, so that a caller hears of all of it at once.

use std::fmt::Display;

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `leases[3].resource.id`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub description: String,
}

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    /// The checked value, or none and a note. The field's name is written out only when something
    /// is wrong with it.
    pub fn noted<T, E: Display>(
        &mut self,
        field: impl Display,
        checked: Result<T, E>,
    ) -> Option<T> {
        checked.map_err(|problem| self.wrong(field.to_string(), problem.to_string())).ok()
    }

    /// How many entries a page may have (AIP-158), from the field `page_size`.
    pub fn page_size(&mut self, size: i32) -> u32 {
        const DEFAULT: u32 = 100;
        const MOST: u32 = 1_000;
        match u32::try_from(size) {
            Ok(0) => DEFAULT,
            Ok(size) => size.min(MOST),
            Err(_) => {
                self.wrong(
                    "page_size",
                    format!("is {size}; 0 (for {DEFAULT}) to {MOST} are right"),
                );
                DEFAULT
            }
        }
    }

    /// Adds what was found elsewhere, with a path before each field.
    pub fn extend(&mut self, path: &str, found: impl IntoIterator<Item = Violation>) {
        self.0.extend(found.into_iter().map(|one| Violation {
            field: format!("{path}{}", one.field),
            description: one.description,
        }));
    }

    /// Ends the check.
    ///
    /// # Errors
    ///
    /// All that was wrong.
    pub fn finish(self) -> Result<(), Vec<Violation>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_have_a_default_and_a_limit() {
        let mut found = Violations::default();
        assert_eq!(found.page_size(0), 100);
        assert_eq!(found.page_size(7), 7);
        assert_eq!(found.page_size(i32::MAX), 1_000);
        assert_eq!(found.finish(), Ok(()));
    }

    #[test]
    fn everything_is_told_in_the_order_in_which_it_was_found() {
        let mut found = Violations::default();
        found.page_size(-1);
        assert_eq!(found.noted("count", "7".parse::<u8>()), Some(7));
        assert_eq!(found.noted(format_args!("counts[{}]", 2), "x".parse::<u8>()), None);
        let inner = Violation { field: "name".to_owned(), description: "is no name".to_owned() };
        found.extend("action.", [inner]);
        let fields: Vec<_> =
            found.finish().unwrap_err().into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["page_size", "counts[2]", "action.name"]);
    }
}
