//! Filters and pages of locks.

use super::{IdPrefix, Lock, OwnerId, Resource, ResourceType, Span, Timestamp};

/// Which live locks to list. What is set must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only of this type.
    pub kind: Option<ResourceType>,
    /// Only ids that begin like this.
    pub id_prefix: IdPrefix,
    /// Only of this owner.
    pub owner: Option<OwnerId>,
}

/// Which stale locks are meant. What is set must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StaleFilter {
    /// Only of this type.
    pub kind: Option<ResourceType>,
    /// Only those that ran out at least this long ago.
    pub older_than: Span,
}

/// A page of live locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockPage {
    /// Ordered by resource.
    pub locks: Vec<Lock>,
    /// After which resource to go on; none on the last page.
    pub next: Option<Resource>,
}

/// A page of stale locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StalePage {
    /// Ordered by expiry, then by resource.
    pub locks: Vec<Lock>,
    /// After which expiry and resource to go on; none on the last page.
    pub next: Option<(Timestamp, Resource)>,
    /// How many match, on all pages.
    pub total: u64,
}

impl LockPage {
    /// A page of at most `size` out of what was read with one more than that.
    pub fn cut(mut locks: Vec<Lock>, size: usize) -> Self {
        let more = locks.len() > size;
        locks.truncate(size);
        let next = locks.last().filter(|_| more).map(|lock| lock.resource.clone());
        Self { locks, next }
    }
}

impl StalePage {
    /// A page of at most `size` out of what was read with one more than that.
    pub fn cut(mut locks: Vec<Lock>, size: usize, total: u64) -> Self {
        let more = locks.len() > size;
        locks.truncate(size);
        let next =
            locks.last().filter(|_| more).map(|lock| (lock.expires_at, lock.resource.clone()));
        Self { locks, next, total }
    }
}
