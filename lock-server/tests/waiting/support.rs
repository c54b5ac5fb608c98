//! Servers, tables and waiters of a test.

#[path = "../it/support/command.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`, which use all of it")]
mod command;
#[path = "../it/support/errors.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`, which use all of it")]
mod errors;
mod queue;
mod waiters;

use std::time::Duration;

use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};
use service_kit::testing::eventually;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

pub(crate) use self::{
    command::Serving,
    errors::failure,
    queue::{Place, Queue},
    waiters::Waiters,
};

/// What nothing here takes as long as.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// For how long to wait in line, where a test does not wait for the end of it.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// The resource that everybody wants.
pub(crate) const WANTED: (&str, &str) = ("plan", "42");

/// A client of the lock service.
pub(crate) type Locks = LockServiceClient<Channel>;

/// A client on a connection of its own, which is made when it is first used.
pub(crate) fn client(url: &str) -> Locks {
    LockServiceClient::new(Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy())
}

pub(crate) fn wanted() -> Option<wire::Resource> {
    Some(wire::Resource::new(WANTED.0, WANTED.1))
}

pub(crate) fn span(span: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration::try_from(span).unwrap())
}

/// Asks for what everybody wants.
pub(crate) fn acquire(owner: &str, wait: Duration) -> wire::AcquireRequest {
    wire::AcquireRequest {
        resource: wanted(),
        owner_id: owner.to_owned(),
        ttl: span(LONG),
        wait: span(wait),
        ..Default::default()
    }
}

/// Takes what everybody wants, before anybody else does.
pub(crate) async fn take(locks: &Locks, owner: &str) -> wire::Lock {
    let answer = locks.clone().acquire(acquire(owner, Duration::ZERO)).await;
    answer.unwrap().into_inner().lock.unwrap()
}

/// Gives a lock back.
pub(crate) async fn release(locks: &Locks, lock: &wire::Lock) {
    release_at_any(std::slice::from_ref(locks), lock).await;
}

/// Gives a lock back, again and again at any of the servers, until one has done
/// so.
pub(crate) async fn release_at_any(servers: &[Locks], lock: &wire::Lock) {
    let mut asked = 0;
    eventually("the lock is given back", DEADLINE, async || {
        let mut locks = servers[asked % servers.len()].clone();
        asked += 1;
        let request = wire::ReleaseRequest {
            resource: lock.resource.clone(),
            owner_id: lock.owner_id.clone(),
            fencing_token: Some(lock.fencing_token),
        };
        match locks.release(request).await {
            Ok(_) => Some(()),
            Err(status) if is_elsewhere(&status) => None,
            // An attempt before did it, and its answer was lost.
            Err(status) if status.code() == Code::Aborted && asked > 1 => Some(()),
            Err(status) => panic!("{status:?}"),
        }
    })
    .await;
}

/// Whether another server, or the same one later, may do what this one did not.
pub(crate) fn is_elsewhere(status: &Status) -> bool {
    // What a killed server looks like differs by the moment.
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// How many wait, as a server tells.
pub(crate) async fn queue_length(locks: &Locks) -> u64 {
    let get = wire::GetLockRequest { resource: wanted() };
    let lock = locks.clone().get_lock(get).await.unwrap().into_inner().lock;
    lock.unwrap().queue_length
}

/// Waits until so many wait.
pub(crate) async fn until_waiting(locks: &Locks, count: u64) {
    let what = format!("{count} wait");
    eventually(&what, DEADLINE, async || (queue_length(locks).await == count).then_some(())).await;
}
