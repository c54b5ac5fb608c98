//! What a store is asked to do with one resource, and what may come of it.

use super::{FencingToken, ForcedBy, Lock, Metadata, OwnerId, Resource, Span, Timestamp};

/// One thing to do with one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take it.
    Acquire(Acquire),
    /// Keep it.
    Renew(Renew),
    /// Give it back.
    Release(Release),
}

/// Takes a free or stale resource, or re-enters one's own live lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    /// What to take.
    pub resource: Resource,
    /// For whom.
    pub owner: OwnerId,
    /// For how long.
    pub ttl: Span,
    /// What to say about the hold; none leaves what a re-entered lock has.
    pub metadata: Metadata,
}

/// Sets the expiry of a live lease anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renew {
    /// What is held.
    pub resource: Resource,
    /// By whom.
    pub owner: OwnerId,
    /// Under which token.
    pub token: FencingToken,
    /// For how long from now; none means the lock's own time to live.
    pub ttl: Option<Span>,
}

/// Ends a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What is held.
    pub resource: Resource,
    /// By whom.
    pub owner: OwnerId,
    /// Under which token; none means whichever this owner holds.
    pub token: Option<FencingToken>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acquire: the caller holds it.
    Granted {
        /// The lock as it is now.
        lock: Lock,
        /// The caller held it before; nothing was granted anew.
        reentrant: bool,
    },
    /// Acquire: another owner holds it.
    Conflict {
        /// Its lock.
        holder: Lock,
    },
    /// Renew: the lease runs on.
    Renewed(Lock),
    /// Renew: the last grant was the caller's and has run out.
    Expired {
        /// When it ran out.
        expired_at: Timestamp,
    },
    /// Renew, release: the caller has no live lease under this token.
    NotHeld {
        /// Who holds it now, where another owner does.
        holder: Option<OwnerId>,
        /// By whom and why this very hold was broken, where it was.
        forced: Option<Box<ForcedBy>>,
    },
    /// Release: the resource is not the caller's any more.
    Released {
        /// A live lease ended by this command.
        ended: bool,
    },
}

impl Outcome {
    /// The caller has no live lease, and why is not known yet.
    pub fn not_held(holder: Option<OwnerId>) -> Self {
        Self::NotHeld { holder, forced: None }
    }
}

impl Command {
    /// How many kinds of commands there are.
    pub const KINDS: usize = 3;

    /// Which kind this is: a number below [`Self::KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::Acquire(_) => 0,
            Self::Renew(_) => 1,
            Self::Release(_) => 2,
        }
    }

    /// The hold that the command needs, where it names one by its token.
    pub fn hold(&self) -> Option<(&OwnerId, FencingToken)> {
        match self {
            Self::Acquire(_) => None,
            Self::Renew(renew) => Some((&renew.owner, renew.token)),
            Self::Release(release) => release.token.map(|token| (&release.owner, token)),
        }
    }

    /// What the command is about.
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Acquire(acquire) => &acquire.resource,
            Self::Renew(renew) => &renew.resource,
            Self::Release(release) => &release.resource,
        }
    }
}
