//! What goes into an acquisition and what comes out of one.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{Conflict, Lock, LockGuard, Resource};

/// How to hold a lock.
///
/// ```
/// # use std::time::Duration;
/// # use lock_client::AcquireOptions;
/// let options = AcquireOptions::new().ttl(Duration::from_secs(30)).metadata("job", "nightly");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// The time to live of the lease. Unset: the server's default for the
    /// resource type.
    pub ttl: Option<Duration>,
    /// How long to wait in line when another owner holds it. Unset or zero: not
    /// at all.
    pub wait: Option<Duration>,
    /// What to tell others about this hold.
    pub metadata: BTreeMap<String, String>,
}

impl AcquireOptions {
    /// The server's default time to live, no wait and no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for this time to live.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Waits in line for so long when another owner holds it. The server has a
    /// limit, 1 h unless set otherwise.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Adds one entry that others will see beside the lock.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// What came of [`LockClient::try_acquire`](crate::LockClient::try_acquire).
#[derive(Debug)]
pub enum TryAcquire {
    /// The lock is held, and kept alive by this guard.
    Acquired(LockGuard),
    /// Another owner holds it.
    Held(Box<Conflict>),
}

/// A lock that was taken without a guard: nobody renews it but the caller.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Acquired {
    /// The lock as it is now.
    pub lock: Lock,
    /// The moment that [`Lock::remaining`] counts from: just before the request
    /// was sent that the answer is to. After a wait, that is not when the call
    /// began.
    pub asked_at: Instant,
    /// The owner held it already.
    pub reentrant: bool,
    /// An attempt before the one that was answered may have taken effect
    /// without an answer: if `reentrant`, it may be that one's lease.
    pub retried: bool,
}

/// What names a resource: a [`Resource`], a reference to one, or a pair of
/// type and id such as `("plan", "42")`.
pub trait IntoResource {
    /// The resource that is named.
    fn into_resource(self) -> Resource;
}

impl IntoResource for Resource {
    fn into_resource(self) -> Resource {
        self
    }
}

impl IntoResource for &Resource {
    fn into_resource(self) -> Resource {
        self.clone()
    }
}

impl<T: Into<String>, I: Into<String>> IntoResource for (T, I) {
    fn into_resource(self) -> Resource {
        Resource::new(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_resource_names_the_same_one() {
        let resource = Resource::new("plan", "42");
        assert_eq!((&resource).into_resource(), resource);
        assert_eq!(("plan", "42".to_owned()).into_resource(), resource);
        assert_eq!(resource.clone().into_resource(), resource);
    }

    #[test]
    fn options_gather_what_is_asked_for() {
        let options = AcquireOptions::new()
            .ttl(Duration::from_secs(9))
            .wait(Duration::from_secs(8))
            .metadata("a", "1")
            .metadata("b", "2");
        assert_eq!(options.ttl, Some(Duration::from_secs(9)));
        assert_eq!(options.wait, Some(Duration::from_secs(8)));
        assert_eq!(options.metadata.len(), 2);
    }
}
