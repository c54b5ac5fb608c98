//! Servers and clients of a test, and what is asked of an error.

mod command;
mod database;
mod errors;
mod session;

use std::time::Duration;

use futures::{StreamExt as _, channel::mpsc, sink::SinkExt as _, stream};
use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};
use service_kit::testing::{eventually, postgres};
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

pub(crate) use self::{
    command::{LOCK_SERVER, Serving, run},
    database::{Proxied, Tables, rows},
    errors::{failure, wrong, wrong_fields},
    session::{OpenSession, lock_of, refusal, release, session_of, unary},
};

/// What nothing here takes as long as.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A client of the lock service.
pub(crate) type Locks = LockServiceClient<Channel>;

/// A connection that is made when it is first used, and again when it breaks.
pub(crate) fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().timeout(DEADLINE).connect_lazy()
}

/// A client on a connection of its own.
pub(crate) fn client(url: &str) -> Locks {
    const MOST: usize = 64 * 1024 * 1024;
    LockServiceClient::new(channel(url)).max_decoding_message_size(MOST)
}

/// Runs a test against a server on each engine.
pub(crate) async fn on_each_store(flags: &[&str], test: impl AsyncFn(&str, Locks)) {
    let database = postgres::database().await;
    let on_postgres = [flags, &["--database-url", database.url()]].concat();
    for (engine, flags) in [("sqlite", flags), ("postgres", on_postgres.as_slice())] {
        let server = TestServer::start(flags).await;
        test(engine, client(&server.url())).await;
        server.stop().await;
    }
}

/// A resource, written as `type/id`.
pub(crate) fn resource(text: &str) -> Option<wire::Resource> {
    Some(text.parse().unwrap())
}

/// A span in seconds and nanos, as wrong as a test wants it.
pub(crate) fn span(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

/// Asks for a lock with the default time to live.
pub(crate) fn acquire(resource: &str, owner: &str) -> wire::AcquireRequest {
    wire::AcquireRequest {
        resource: self::resource(resource),
        owner_id: owner.to_owned(),
        ..Default::default()
    }
}

/// Takes a lock.
#[track_caller]
pub(crate) fn take(
    locks: &Locks,
    resource: &str,
    owner: &str,
) -> impl Future<Output = wire::Lock> + use<> {
    let (mut locks, request) = (locks.clone(), acquire(resource, owner));
    async move { locks.acquire(request).await.unwrap().into_inner().lock.unwrap() }
}

/// Asks for more time on a lock.
pub(crate) fn renew(lock: &wire::Lock) -> wire::RenewRequest {
    wire::RenewRequest {
        resource: lock.resource.clone(),
        owner_id: lock.owner_id.clone(),
        fencing_token: lock.fencing_token,
        ttl: None,
    }
}

/// The lease of a lock, for a keep-alive.
pub(crate) fn lease(lock: &wire::Lock) -> wire::KeepAliveLease {
    wire::KeepAliveLease {
        resource: lock.resource.clone(),
        owner_id: lock.owner_id.clone(),
        fencing_token: lock.fencing_token,
    }
}

/// The answer to one request on a keep-alive stream of its own.
pub(crate) async fn keep_alive(
    locks: &mut Locks,
    request: wire::KeepAliveRequest,
) -> Result<wire::KeepAliveResponse, Status> {
    // The requests go on for ever: the answer does not need their end.
    let requests = stream::iter([request]).chain(stream::pending());
    let mut answers = locks.keep_alive(requests).await?.into_inner();
    let answer = tokio::time::timeout(DEADLINE, answers.message()).await;
    Ok(answer.expect("an answer in time")?.expect("an answer before the end"))
}

/// An open keep-alive stream.
pub(crate) struct OpenStream {
    requests: mpsc::Sender<wire::KeepAliveRequest>,
    answers: Streaming<wire::KeepAliveResponse>,
}

impl OpenStream {
    pub(crate) async fn open(locks: &Locks) -> Self {
        let (requests, receiver) = mpsc::channel(8);
        let answers = locks.clone().keep_alive(receiver).await;
        Self { requests, answers: answers.unwrap().into_inner() }
    }

    /// Sends leases, without waiting for their answer.
    pub(crate) async fn send(&self, leases: Vec<wire::KeepAliveLease>) {
        let request = wire::KeepAliveRequest { leases, ttl: None };
        self.requests.clone().send(request).await.unwrap();
    }

    /// The next answer; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<wire::KeepAliveResponse>, Status> {
        let answer = tokio::time::timeout(DEADLINE, self.answers.message()).await;
        answer.expect("an answer, an error or the end in time")
    }
}

/// Panics unless the server still carries out an ordinary request.
pub(crate) async fn assert_serves(locks: &mut Locks) {
    let lock = take(locks, "plan/still-serves", "somebody").await;
    let release = wire::ReleaseRequest {
        resource: lock.resource.clone(),
        owner_id: lock.owner_id.clone(),
        fencing_token: Some(lock.fencing_token),
    };
    assert!(locks.release(release).await.unwrap().into_inner().released);
}

/// Asks to break the hold of a lock.
pub(crate) fn force(lock: &wire::Lock, reason: &str) -> wire::ForceReleaseRequest {
    wire::ForceReleaseRequest {
        resource: lock.resource.clone(),
        fencing_token: lock.fencing_token,
        reason: reason.to_owned(),
    }
}

/// The newest hundred events of the audit trail.
pub(crate) async fn events(locks: &Locks) -> Vec<wire::AuditEvent> {
    let request = wire::ListEventsRequest::default();
    locks.clone().list_events(request).await.unwrap().into_inner().events
}

/// Waits until the lease of a resource has run out.
pub(crate) async fn until_stale(locks: &Locks, resource: &str) {
    eventually("the lease runs out", DEADLINE, async || {
        let get = wire::GetLockRequest { resource: self::resource(resource) };
        let lock = locks.clone().get_lock(get).await.unwrap().into_inner().lock.unwrap();
        (lock.state() == wire::LockState::Stale).then_some(())
    })
    .await;
}
