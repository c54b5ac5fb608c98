//! How long a lease may be, and how long it is when the caller does not say.

use std::collections::BTreeMap;

use super::{ResourceType, Span};

/// The shortest and the longest time to live that a caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlLimits {
    /// The shortest.
    pub min: Span,
    /// The longest.
    pub max: Span,
}

/// Limits and defaults of the time to live.
#[derive(Debug, Clone)]
pub struct TtlPolicy {
    limits: TtlLimits,
    by_type: BTreeMap<String, Span>,
    otherwise: Span,
}

/// The settings contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TtlPolicyError {
    /// The limits leave nothing.
    #[error("--min-ttl {min} is above --max-ttl {max}; it must not be longer")]
    LimitsCross {
        /// The shortest.
        min: Span,
        /// The longest.
        max: Span,
    },
    /// A default that no caller could ask for.
    #[error("--default-ttl {kind}={default} is outside of --min-ttl {min} and --max-ttl {max}")]
    DefaultOutside {
        /// Which type.
        kind: String,
        /// Its default.
        default: Span,
        /// The shortest.
        min: Span,
        /// The longest.
        max: Span,
    },
}

impl TtlLimits {
    /// Whether a caller may ask for this.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn check(&self, ttl: Span) -> Result<Span, String> {
        let Self { min, max } = *self;
        if ttl < min {
            Err(format!("is {ttl}, shorter than the shortest of {min}; {min} to {max} are allowed"))
        } else if ttl > max {
            Err(format!("is {ttl}, longer than the longest of {max}; {min} to {max} are allowed"))
        } else {
            Ok(ttl)
        }
    }
}

impl TtlPolicy {
    /// The type that stands for every other one in [`Self::new`].
    pub const ANY: &str = "*";

    const BUILT_IN: [(&str, i64); 3] = [("plan", 300), ("project", 600), (Self::ANY, 300)];

    /// A policy with these limits. `given` are defaults by type, where
    /// [`Self::ANY`] stands for every type that is not named; they come before
    /// the built-in ones (300 s for `plan`, 600 s for `project`, 300 s for
    /// others), which are cut to the limits.
    ///
    /// # Errors
    /// When the limits cross, or a given default is outside of them.
    pub fn new(limits: TtlLimits, given: &[(String, Span)]) -> Result<Self, TtlPolicyError> {
        let TtlLimits { min, max } = limits;
        if min > max {
            return Err(TtlPolicyError::LimitsCross { min, max });
        }
        let mut by_type: BTreeMap<String, Span> = Self::BUILT_IN
            .into_iter()
            .map(|(kind, seconds)| {
                (kind.to_owned(), Span::from_micros(seconds * 1_000_000).clamp(min, max))
            })
            .collect();
        for (kind, default) in given {
            if *default < min || *default > max {
                let (kind, default) = (kind.clone(), *default);
                return Err(TtlPolicyError::DefaultOutside { kind, default, min, max });
            }
            by_type.insert(kind.clone(), *default);
        }
        let otherwise = by_type.remove(Self::ANY).unwrap_or(min);
        Ok(Self { limits, by_type, otherwise })
    }

    /// What a caller may ask for.
    pub fn limits(&self) -> TtlLimits {
        self.limits
    }

    /// What a caller gets that does not ask.
    pub fn default_for(&self, kind: &ResourceType) -> Span {
        self.by_type.get(kind.as_str()).copied().unwrap_or(self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Span {
        Span::from_micros(seconds * 1_000_000)
    }

    fn limits(min: i64, max: i64) -> TtlLimits {
        TtlLimits { min: seconds(min), max: seconds(max) }
    }

    fn default_of(policy: &TtlPolicy, kind: &str) -> Span {
        policy.default_for(&ResourceType::parse(kind).unwrap())
    }

    #[test]
    fn has_a_default_for_each_type() {
        let policy = TtlPolicy::new(limits(5, 3600), &[]).unwrap();
        assert_eq!(default_of(&policy, "plan"), seconds(300));
        assert_eq!(default_of(&policy, "project"), seconds(600));
        assert_eq!(default_of(&policy, "build"), seconds(300));
    }

    #[test]
    fn given_defaults_come_first_and_the_others_fit_the_limits() {
        let given = [("plan".to_owned(), seconds(7)), ("*".to_owned(), seconds(9))];
        let policy = TtlPolicy::new(limits(5, 60), &given).unwrap();
        assert_eq!(default_of(&policy, "plan"), seconds(7));
        assert_eq!(default_of(&policy, "project"), seconds(60));
        assert_eq!(default_of(&policy, "build"), seconds(9));
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let error = TtlPolicy::new(limits(10, 5), &[]).unwrap_err();
        assert_eq!(error.to_string(), "--min-ttl 10s is above --max-ttl 5s; it must not be longer");
        let error = TtlPolicy::new(limits(5, 60), &[("plan".to_owned(), seconds(61))]).unwrap_err();
        assert!(error.to_string().starts_with("--default-ttl plan=1m 1s is outside"), "{error}");
    }

    #[test]
    fn says_which_limit_is_broken() {
        let limits = limits(5, 60);
        assert_eq!(limits.check(seconds(5)), Ok(seconds(5)));
        assert_eq!(limits.check(seconds(60)), Ok(seconds(60)));
        assert!(limits.check(seconds(4)).unwrap_err().contains("shorter than the shortest of 5s"));
        assert!(limits.check(seconds(61)).unwrap_err().contains("longer than the longest of 1m"));
    }
}
