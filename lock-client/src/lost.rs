//! How a lease ended for those who counted on it.

use std::fmt;

use crate::Resource;

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
    /// The same for people.
    pub message: String,
}

/// Why a lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The server says that it ran out before a renewal came.
    Expired,
    /// The server says that it is not this owner's under this token any more:
    /// released, purged or taken over.
    NotHeld,
    /// No renewal was confirmed in time. The server may still count it as
    /// held, and this client does not.
    Unconfirmed,
    /// This client gave it back: the last guard went, or
    /// [`LockClient::release_all`](crate::LockClient::release_all) was called.
    Released,
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
            message: "no renewal was confirmed in time".to_owned(),
        };
        assert_eq!(lost.to_string(), "lost plan/42 (token 7): no renewal was confirmed in time");
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
