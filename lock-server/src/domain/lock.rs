//! A lock as it stands in the table.

use std::{fmt, num::NonZeroU64};

use super::{Metadata, OwnerId, Resource, Span};

/// A moment by the database's clock, in microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// Handed out with each grant; for one resource it only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(NonZeroU64);

/// A lock that is held or stale, and the moment at which it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What is locked.
    pub resource: Resource,
    /// Who holds it.
    pub owner: OwnerId,
    /// The token of this hold.
    pub token: FencingToken,
    /// When this hold began.
    pub acquired_at: Timestamp,
    /// When the lease was last extended.
    pub renewed_at: Timestamp,
    /// When the lease runs out.
    pub expires_at: Timestamp,
    /// The time to live as last granted.
    pub ttl: Span,
    /// What the owner says about its hold.
    pub metadata: Metadata,
    /// The database's clock as this was read.
    pub now: Timestamp,
    /// How many waited for the resource then.
    pub waiters: u64,
}

// === impl Timestamp ===

impl Timestamp {
    /// The moment this many microseconds after 1970 in UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970 in UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This moment and a span later.
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.micros()))
    }

    /// From an earlier moment to this one; none if it is not earlier.
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

// === impl FencingToken ===

impl FencingToken {
    /// A token, unless it is 0.
    pub fn new(token: u64) -> Option<Self> {
        NonZeroU64::new(token).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// A token that has been checked before it was stored.
    pub(crate) fn stored(token: i64) -> Self {
        let token = u64::try_from(token).ok().and_then(NonZeroU64::new);
        Self(token.expect("the table's constraint keeps tokens above 0"))
    }

    /// The number as the audit trail keeps it, bit for bit: what was asked for
    /// may be any number.
    pub(crate) fn for_trail(self) -> i64 {
        self.get().cast_signed()
    }

    /// The number that the audit trail has so.
    pub(crate) fn from_trail(token: i64) -> Option<Self> {
        Self::new(token.cast_unsigned())
    }

    /// The number as the table keeps it. A number beyond its range matches no
    /// stored token, and so does what this gives for it.
    pub(crate) fn for_table(self) -> i64 {
        i64::try_from(self.get()).unwrap_or(0)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Lock ===

impl Lock {
    /// Whether the lease had not run out when this was looked at.
    pub fn is_live(&self) -> bool {
        self.expires_at > self.now
    }

    /// What was left of the lease when this was looked at.
    pub fn remaining(&self) -> Span {
        self.expires_at.since(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans_add_up() {
        let moment = Timestamp::from_micros(10);
        assert_eq!(moment.plus(Span::from_micros(5)).since(moment), Span::from_micros(5));
        assert_eq!(moment.since(moment.plus(Span::from_micros(5))), Span::ZERO);
    }

    #[test]
    fn a_token_beyond_the_table_matches_nothing_there() {
        assert_eq!(FencingToken::new(0), None);
        assert_eq!(FencingToken::new(7).unwrap().for_table(), 7);
        assert_eq!(FencingToken::new(u64::MAX).unwrap().for_table(), 0);
    }
}
