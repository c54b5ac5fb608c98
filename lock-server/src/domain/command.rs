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
    /// Stop waiting for it.
    Leave(Leave),
    /// Give it to who waits for it, where its lease has run out.
    HandOn(HandOn),
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
    /// Whether to wait in line where another owner holds it.
    pub wait: Option<Wait>,
}

/// How an acquire waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For how long from now.
    pub time: Span,
    /// Whether this very call has a place in line already, as far as it knows.
    pub again: bool,
}

/// Gives up a place in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// What was waited for.
    pub resource: Resource,
    /// By whom.
    pub owner: OwnerId,
    /// Who is there for what was granted to the place.
    pub there: There,
}

/// Who is there for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// The caller: what was granted meanwhile is taken, and told.
    Caller,
    /// Nobody: what was granted meanwhile ends and is handed on, unless its owner
    /// has been heard of since.
    Nobody,
    /// Nobody, and it was taken before: so with what was granted under this token.
    NobodyFor(FencingToken),
}

/// Grants a resource whose lease has run out to the first in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOn {
    /// What is waited for.
    pub resource: Resource,
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
    /// Acquire: the caller is in line. The store tells by a
    /// [`Wake`](crate::store::Wake) when there is news.
    Waiting {
        /// The lock that it waits for, as it stands.
        holder: Lock,
        /// Its place: the greater, the younger.
        place: i64,
        /// The owner holds what others wait for: it may be waiting in a circle.
        may_close_circle: bool,
    },
    /// Acquire: so many wait for the resource that no more may.
    QueueFull {
        /// How many.
        most: u32,
    },
    /// Acquire: the caller's place in line was granted.
    Claimed {
        /// The lock as it is now.
        lock: Lock,
        /// The place that it had.
        place: i64,
    },
    /// Acquire, again: `ReleaseAll` has taken the caller out of line.
    Cancelled {
        /// The place that it had.
        place: i64,
    },
    /// Acquire, again: the caller is not in line any more. What became of its
    /// place has been told elsewhere, or is not known.
    NotInLine {
        /// Its owner holds the lock.
        holds: bool,
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
    /// Leave: the caller is not in line any more.
    Left {
        /// What was granted to it meanwhile, and is its own now.
        granted: Option<Lock>,
    },
    /// Hand on: done, where there was something to be done.
    HandedOn {
        /// The lock as it stands, live or stale; none when the resource is free.
        lock: Option<Lock>,
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
    pub const KINDS: usize = 5;

    /// Which kind this is: a number below [`Self::KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::Acquire(_) => 0,
            Self::Renew(_) => 1,
            Self::Release(_) => 2,
            Self::Leave(_) => 3,
            Self::HandOn(_) => 4,
        }
    }

    /// The hold that the command needs, where it names one by its token.
    pub fn hold(&self) -> Option<(&OwnerId, FencingToken)> {
        match self {
            Self::Acquire(_) | Self::Leave(_) | Self::HandOn(_) => None,
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
            Self::Leave(leave) => &leave.resource,
            Self::HandOn(hand_on) => &hand_on.resource,
        }
    }
}
