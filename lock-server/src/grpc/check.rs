//! Checks a request field by field and notes everything that is wrong with it,
//! so that a caller hears of it all at once.

use std::{collections::HashMap, fmt::Display};

use proto::lock::v1 as wire;

use crate::{
    domain::{
        FencingToken, IdPrefix, Metadata, OwnerId, Reason, Resource, ResourceType, Span, Timestamp,
        TtlLimits, Wait,
    },
    error::{LockError, Violation},
};

/// The most seconds in a `google.protobuf.Duration`: 10,000 years.
const MOST_SECONDS: i64 = 315_576_000_000;

/// What is wrong with a request so far. A method that finds something wrong
/// notes it and returns `None`.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// Ends the check.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), LockError> {
        if self.violations.is_empty() { Ok(()) } else { Err(LockError::Invalid(self.violations)) }
    }

    /// The value, once the check has ended well.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish_with<T>(self, value: Option<T>) -> Result<T, LockError> {
        self.finish()?;
        Ok(value.expect("a value that is missing was noted as wrong"))
    }

    /// Notes that a field is wrong.
    pub(super) fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation { field: field.into(), description: description.into() });
    }

    /// The field's name is written out only when something is wrong with it.
    fn noted<T>(&mut self, field: impl Display, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|description| self.wrong(field.to_string(), description)).ok()
    }

    /// A resource that must be there.
    pub(super) fn resource(
        &mut self,
        field: impl Display + Copy,
        resource: Option<&wire::Resource>,
    ) -> Option<Resource> {
        let Some(wire::Resource { r#type, id }) = resource else {
            self.wrong(field.to_string(), "is missing; a resource has a type and an id");
            return None;
        };
        let kind = self.noted(format_args!("{field}.type"), ResourceType::parse(r#type));
        // The id is checked even when the type is wrong: all at once.
        let any = || ResourceType::stored(String::new());
        let resource = self.noted(
            format_args!("{field}.id"),
            Resource::parse_id(kind.clone().unwrap_or_else(any), id),
        );
        kind.and(resource)
    }

    /// An owner that must be there.
    pub(super) fn owner(&mut self, field: impl Display, owner: &str) -> Option<OwnerId> {
        self.noted(field, OwnerId::parse(owner))
    }

    /// A token that must be there.
    pub(super) fn token(&mut self, field: impl Display, token: u64) -> Option<FencingToken> {
        let checked =
            FencingToken::new(token).ok_or("is 0; a token is the number that the grant came with");
        self.noted(field, checked.map_err(str::to_owned))
    }

    /// Why an operator does something.
    pub(super) fn reason(&mut self, field: &str, reason: &str) -> Option<Reason> {
        self.noted(field, Reason::parse(reason))
    }

    /// A bound in time, where one is given.
    pub(super) fn moment(
        &mut self,
        field: &str,
        moment_: Option<&prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        self.noted(field, moment(moment_?))
    }

    /// A time to live, where one is given.
    pub(super) fn ttl(
        &mut self,
        field: &str,
        ttl: Option<&prost_types::Duration>,
        limits: TtlLimits,
    ) -> Option<Span> {
        let span = self.noted(field, span(ttl?))?;
        self.noted(field, limits.check(span))
    }

    /// A span, where one is given; none is no time at all.
    pub(super) fn span(&mut self, field: &str, span_: Option<&prost_types::Duration>) -> Span {
        span_.and_then(|given| self.noted(field, span(given))).unwrap_or_default()
    }

    /// How long to wait in line; none and no time at all mean that the caller does
    /// not wait.
    pub(super) fn wait(
        &mut self,
        field: &str,
        wait: Option<&prost_types::Duration>,
        most: Span,
    ) -> Option<Wait> {
        let time = self.noted(field, span(wait?))?;
        if time > most {
            let problem = format!("is {time}; this server allows at most {most} (--max-wait)");
            self.wrong(field, problem);
            return None;
        }
        (time > Span::ZERO).then_some(Wait { time, again: false })
    }

    /// The owner's metadata.
    pub(super) fn metadata(&mut self, metadata: HashMap<String, String>) -> Option<Metadata> {
        match Metadata::parse(metadata) {
            Ok(metadata) => Some(metadata),
            Err(wrong) => {
                for (path, description) in wrong {
                    self.wrong(format!("metadata{path}"), description);
                }
                None
            }
        }
    }

    /// A resource type to filter by, where one is given.
    pub(super) fn kind(&mut self, kind: Option<&str>) -> Option<ResourceType> {
        self.noted("resource_type", ResourceType::parse(kind?))
    }

    /// An id prefix to filter by.
    pub(super) fn id_prefix(&mut self, prefix: Option<&str>) -> IdPrefix {
        self.noted("id_prefix", IdPrefix::parse(prefix.unwrap_or_default())).unwrap_or_default()
    }

    /// How many entries a page may have.
    pub(super) fn page_size(&mut self, size: i32) -> u32 {
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
}

/// A well-formed span that is not negative.
fn span(span: &prost_types::Duration) -> Result<Span, String> {
    const MOST_NANOS: i32 = 999_999_999;
    let prost_types::Duration { seconds, nanos } = *span;
    if !(-MOST_NANOS..=MOST_NANOS).contains(&nanos) {
        return Err(format!("has {nanos} nanos; 0 to {MOST_NANOS} are right"));
    }
    if seconds.abs_diff(0) > MOST_SECONDS.unsigned_abs() {
        return Err(format!("has {seconds} seconds; at most {MOST_SECONDS} are right"));
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Err(format!("mixes signs: {seconds} seconds and {nanos} nanos"));
    }
    if seconds < 0 || nanos < 0 {
        return Err("is negative; a span of time is not".to_owned());
    }
    Ok(Span::from_micros(seconds * 1_000_000 + i64::from(nanos) / 1_000))
}

/// A well-formed moment, rounded up to whole microseconds, which is what events
/// have: as a first and as a last bound it then means what it says.
fn moment(moment: &prost_types::Timestamp) -> Result<Timestamp, String> {
    // The years 1 to 9999, which is what the message can hold.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    const MOST_NANOS: i32 = 999_999_999;
    let prost_types::Timestamp { seconds, nanos } = *moment;
    if !(0..=MOST_NANOS).contains(&nanos) {
        return Err(format!("has {nanos} nanos; 0 to {MOST_NANOS} are right"));
    }
    if !SECONDS.contains(&seconds) {
        return Err(format!("has {seconds} seconds; the years 1 to 9999 are right"));
    }
    // No later than what the databases know.
    let most = *SECONDS.end() * 1_000_000 + 999_999;
    let micros = seconds * 1_000_000 + (i64::from(nanos) + 999) / 1_000;
    Ok(Timestamp::from_micros(micros.min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_well_formed() {
        let at = |seconds, nanos| moment(&prost_types::Timestamp { seconds, nanos });
        assert_eq!(at(1, 1_000), Ok(Timestamp::from_micros(1_000_001)));
        assert_eq!(at(1, 1_001), Ok(Timestamp::from_micros(1_000_002)));
        assert_eq!(at(-1, 999_999_999), Ok(Timestamp::from_micros(0)));
        let last = 253_402_300_799;
        assert_eq!(at(last, 999_999_999), Ok(Timestamp::from_micros(last * 1_000_000 + 999_999)));
        assert!(at(0, -1).unwrap_err().contains("nanos"));
        assert!(at(i64::MAX, 0).unwrap_err().contains("seconds"));
        assert!(at(253_402_300_800, 0).unwrap_err().contains("years"));
    }

    fn duration(seconds: i64, nanos: i32) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos }
    }

    #[test]
    fn spans_are_well_formed_and_not_negative() {
        assert_eq!(span(&duration(5, 1_999)), Ok(Span::from_micros(5_000_001)));
        assert_eq!(span(&duration(0, 0)), Ok(Span::ZERO));
        for (wrong, word) in [
            (duration(-1, 0), "negative"),
            (duration(0, -1), "negative"),
            (duration(1, -1), "mixes signs"),
            (duration(-1, 1), "mixes signs"),
            (duration(1, 1_000_000_000), "nanos"),
            (duration(i64::MAX, 0), "seconds"),
            (duration(i64::MIN, 0), "seconds"),
        ] {
            let problem = span(&wrong).unwrap_err();
            assert!(problem.contains(word), "{wrong:?}: {problem}");
        }
    }

    #[test]
    fn notes_everything_at_once() {
        let mut check = Check::default();
        let wrong = wire::Resource { r#type: "Plan".into(), id: String::new() };
        assert_eq!(check.resource("leases[3].resource", Some(&wrong)), None);
        assert_eq!(check.owner("leases[3].owner_id", ""), None);
        assert_eq!(check.token("leases[3].fencing_token", 0), None);
        assert_eq!(check.resource("resource", None), None);
        check.page_size(-1);
        let LockError::Invalid(violations) = check.finish().unwrap_err() else {
            panic!("not an invalid request");
        };
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "leases[3].resource.type",
                "leases[3].resource.id",
                "leases[3].owner_id",
                "leases[3].fencing_token",
                "resource",
                "page_size",
            ]
        );
    }

    #[test]
    fn page_sizes_have_a_default_and_a_limit() {
        let mut check = Check::default();
        assert_eq!(check.page_size(0), 100);
        assert_eq!(check.page_size(7), 7);
        assert_eq!(check.page_size(i32::MAX), 1_000);
        assert!(check.finish().is_ok());
    }
}
