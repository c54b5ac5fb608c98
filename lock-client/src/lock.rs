//! What the server says about locks, in Rust's own types.

use std::{collections::BTreeMap, time::Duration};

use prost_types::Timestamp;
use proto::lock::v1 as wire;

use crate::Resource;

/// A lock that is held or stale, as the server saw it when it answered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lock {
    /// What is locked.
    pub resource: Resource,
    /// Who holds it, or held it last when it is stale.
    pub owner_id: String,
    /// The number that grows with each grant of this resource.
    pub fencing_token: u64,
    /// When this hold began, by the database's clock. Shows as RFC 3339.
    pub acquire_time: Timestamp,
    /// When the lease was last extended, by the database's clock.
    pub renew_time: Timestamp,
    /// When the lease runs out or did, by the database's clock. For people: a
    /// program counts from `remaining`.
    pub expire_time: Timestamp,
    /// What was left as the server answered; zero when stale.
    pub remaining: Duration,
    /// The time to live as last granted.
    pub ttl: Duration,
    /// What the owner said about this hold.
    pub metadata: BTreeMap<String, String>,
    /// Its lease has run out, and nobody has taken it over or purged it yet.
    pub stale: bool,
    /// How many waited for the resource as the server answered.
    pub queue_length: u64,
}

impl From<wire::Lock> for Lock {
    /// What a server leaves out reads as zero: no time left and no token, so
    /// nothing is ever believed that was not said.
    fn from(lock: wire::Lock) -> Self {
        let stale = lock.state() == wire::LockState::Stale;
        Self {
            resource: lock.resource.unwrap_or_default(),
            owner_id: lock.owner_id,
            fencing_token: lock.fencing_token,
            acquire_time: lock.acquire_time.unwrap_or_default(),
            renew_time: lock.renew_time.unwrap_or_default(),
            expire_time: lock.expire_time.unwrap_or_default(),
            remaining: span(lock.remaining),
            ttl: span(lock.ttl),
            metadata: lock.metadata.into_iter().collect(),
            stale,
            queue_length: lock.queue_length,
        }
    }
}

/// A span of the wire, zero where it is missing or negative.
pub(crate) fn span(span: Option<prost_types::Duration>) -> Duration {
    span.and_then(|span| Duration::try_from(span).ok()).unwrap_or_default()
}

/// Which live locks to list; what is set must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this resource type.
    pub resource_type: Option<String>,
    /// Only ids that start with exactly this.
    pub id_prefix: Option<String>,
    /// Only this owner's.
    pub owner_id: Option<String>,
}

/// Which stale locks to list or purge; what is set must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaleFilter {
    /// Only this resource type.
    pub resource_type: Option<String>,
    /// Only locks that ran out at least this long ago.
    pub older_than: Option<Duration>,
}

/// A page of live locks, ordered by type and id.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The locks.
    pub locks: Vec<Lock>,
    /// Asks for the next page; empty on the last one.
    pub next_page_token: String,
}

/// A page of stale locks, the oldest expiry first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StalePage {
    /// The locks.
    pub locks: Vec<Lock>,
    /// Asks for the next page; empty on the last one.
    pub next_page_token: String,
    /// How many stale locks match, on all pages.
    pub total_count: u64,
}

/// What `grpc.health.v1` answers about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes calls.
    Serving,
    /// It does not: the store is away, or the server is stopping.
    NotServing,
    /// The server knows no service of that name, or does not say.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_leaves_out_gives_no_time_and_no_token() {
        let lock = Lock::from(wire::Lock::default());
        assert_eq!((lock.remaining, lock.ttl, lock.fencing_token), Default::default());
        assert!(!lock.stale);
    }

    #[test]
    fn a_negative_span_reads_as_none_left() {
        let negative = prost_types::Duration { seconds: -1, nanos: 0 };
        assert_eq!(span(Some(negative)), Duration::ZERO);
        let positive = prost_types::Duration { seconds: 1, nanos: 5 };
        assert_eq!(span(Some(positive)), Duration::new(1, 5));
    }

    #[test]
    fn a_stale_lock_says_so() {
        let mut lock = wire::Lock::default();
        lock.set_state(wire::LockState::Stale);
        assert!(Lock::from(lock).stale);
    }
}
