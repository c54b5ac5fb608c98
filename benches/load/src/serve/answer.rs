//! The answers of servers that are only measured: as long as those of `lock-server`.

use std::time::{Duration, SystemTime};

use proto::lock::v1::{Lock, LockState, Resource};

/// A hold, as it is told.
pub(super) struct Hold {
    pub(super) token: u64,
    pub(super) acquired: SystemTime,
    pub(super) renewed: SystemTime,
    pub(super) expires: SystemTime,
    pub(super) ttl: Duration,
}

/// The time, for a message that has a time in it.
#[expect(clippy::disallowed_methods, reason = "decides nothing: it fills a field")]
pub(super) fn clock() -> SystemTime {
    SystemTime::now()
}

/// A held lock as a message.
pub(super) fn lock(resource: Option<Resource>, owner_id: String, hold: Hold) -> Lock {
    Lock {
        resource,
        owner_id,
        fencing_token: hold.token,
        acquire_time: Some(hold.acquired.into()),
        renew_time: Some(hold.renewed.into()),
        expire_time: Some(hold.expires.into()),
        remaining: hold.ttl.try_into().ok(),
        ttl: hold.ttl.try_into().ok(),
        state: LockState::Held.into(),
        ..Lock::default()
    }
}
