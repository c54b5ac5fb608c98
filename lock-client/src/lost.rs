//! How a lease ended for those who counted on it.

use std::fmt;

use crate::{NotHeld, Resource};

/// A lease that is no longer to be counted on. Whatever it protected must
/// stop; the resource can be acquired again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lost {resource} (token {fencing_token}): {message}")]
#[non_exhaustive]
pub struct Lost {
    /// What was held.
    pub resource: Resource,
    /// The token of the hold that is over.
    pub fencing_token: u64,
    /// Why it is over.
    pub reason: LostReason,
    /// Who holds it now, where the server named somebody else.
    pub holder: Option<String>,
    /// Who ended it by force and why, where somebody did.
    pub forced: Option<Box<ForcedRelease>>,
    /// The same for people.
    pub message: String,
}

/// By whom and why a hold was broken that was somebody else's: what
/// [`LockClient::force_release`](crate::LockClient::force_release) does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForcedRelease {
    /// Who did it: the network address that the call came from.
    pub released_by: String,
    /// What they said why.
    pub release_reason: String,
}

impl ForcedRelease {
    /// None where the server speaks of no such thing: both are empty then.
    pub(crate) fn told(released_by: String, release_reason: String) -> Option<Box<Self>> {
        let told = !released_by.is_empty() || !release_reason.is_empty();
        told.then(|| Box::new(Self { released_by, release_reason }))
    }
}

/// Why a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The server says that it ran out before a renewal came.
    Expired,
    /// The server says that it is not this owner's under this token any more:
    /// released, also by force, purged or taken over.
    NotHeld,
    /// No renewal was confirmed in time. The server may still count it as
    /// held, and this client does not.
    Unconfirmed,
    /// This client gave it back: the last guard went, or
    /// [`LockClient::release_all`](crate::LockClient::release_all) was called.
    Released,
}

/// How a lease ends, as whoever finds it out tells it.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: LostReason,
    pub(crate) holder: Option<String>,
    pub(crate) forced: Option<Box<ForcedRelease>>,
    pub(crate) message: String,
}

impl Ending {
    pub(crate) fn new(reason: LostReason, message: impl Into<String>) -> Self {
        Self { reason, holder: None, forced: None, message: message.into() }
    }

    /// Somebody else holds it now.
    pub(crate) fn held_by(mut self, holder: Option<String>) -> Self {
        self.holder = holder;
        self
    }

    /// Somebody broke it.
    pub(crate) fn forced(mut self, forced: Option<Box<ForcedRelease>>) -> Self {
        self.forced = forced;
        self
    }
}

impl From<&NotHeld> for Ending {
    fn from(not_held: &NotHeld) -> Self {
        Self::new(LostReason::NotHeld, &not_held.message)
            .held_by(not_held.holder.clone())
            .forced(not_held.forced.clone())
    }
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::NotHeld => "not held",
            Self::Unconfirmed => "unconfirmed",
            Self::Released => "released",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_lost_and_why() {
        let lost = Lost {
            resource: Resource::new("plan", "42"),
            fencing_token: 7,
            reason: LostReason::Unconfirmed,
            holder: None,
            forced: None,
            message: "no renewal was confirmed in time".to_owned(),
        };
        assert_eq!(lost.to_string(), "lost plan/42 (token 7): no renewal was confirmed in time");
    }

    #[test]
    fn a_release_by_force_is_told_where_anything_is_known_of_it() {
        let told = |by: &str, why: &str| ForcedRelease::told(by.to_owned(), why.to_owned());
        assert_eq!(told("", ""), None);
        assert_eq!(told("10.0.0.7", "").unwrap().released_by, "10.0.0.7");
        assert_eq!(told("", "stuck").unwrap().release_reason, "stuck");
    }

    #[test]
    fn each_reason_has_a_word() {
        let words = [
            (LostReason::Expired, "expired"),
            (LostReason::NotHeld, "not held"),
            (LostReason::Unconfirmed, "unconfirmed"),
            (LostReason::Released, "released"),
        ];
        for (reason, word) in words {
            assert_eq!(reason.to_string(), word);
        }
    }
}
