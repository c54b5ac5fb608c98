//! Checks a request field by field and notes everything that is wrong with it,
//! so that a caller hears of it all at once.

use std::{collections::HashMap, fmt::Display};

use proto::lock::v1 as wire;
use service_kit::{
    check::Violations,
    grpc::{self, PageTokens},
};

use crate::{
    domain::{
        FencingToken, IdPrefix, Metadata, OwnerId, Reason, Resource, ResourceType, Span, Timestamp,
        TtlLimits, Wait,
    },
    error::LockError,
};

/// Where lists go on.
pub(super) const TOKENS: PageTokens = PageTokens::new("lock.v1/page/1");

/// What is wrong with a request so far. A method that finds something wrong
/// notes it and returns `None`.
#[derive(Debug, Default)]
pub(super) struct Check {
    found: Violations,
}

impl Check {
    /// Ends the check.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), LockError> {
        self.found.finish().map_err(LockError::Invalid)
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
        self.found.wrong(field, description);
    }

    fn noted<T>(&mut self, field: impl Display, checked: Result<T, String>) -> Option<T> {
        self.found.noted(field, checked)
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
        self.found.page_size(size)
    }

    /// Where a list goes on, from the field `page_token`.
    pub(super) fn page_token<const PARTS: usize, C>(
        &mut self,
        filters: &[&str],
        token: &str,
        read: impl FnOnce([String; PARTS]) -> Option<C>,
    ) -> Option<C> {
        TOKENS.decode(&mut self.found, filters, token, read)
    }
}

/// A well-formed span that is not negative, cut to whole microseconds.
fn span(span: &prost_types::Duration) -> Result<Span, String> {
    grpc::duration(span).map(Span::from)
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

    #[test]
    fn spans_are_cut_to_what_the_databases_keep() {
        let given = |seconds, nanos| span(&prost_types::Duration { seconds, nanos });
        assert_eq!(given(5, 1_999), Ok(Span::from_micros(5_000_001)));
        let longest = 315_576_000_000;
        assert_eq!(given(longest, 0), Ok(Span::from_micros(longest * 1_000_000)));
        assert!(given(-1, 0).unwrap_err().contains("negative"));
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
}
