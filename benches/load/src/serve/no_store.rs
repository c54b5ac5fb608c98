//! The server with no store at all: what gRPC costs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::lock::v1::{
    AcquireRequest, AcquireResponse, KeepAliveRequest, KeepAliveResponse, KeepAliveResult,
    ReleaseRequest, ReleaseResponse, RenewRequest, RenewResponse, SessionRequest, SessionResponse,
    keep_alive_result, session_request::Command, session_response::Outcome,
};
use tonic::{Status, Streaming};

use super::{
    answer::{self, Hold, clock},
    service::{Answers, Backend, answer_each},
};

const TTL: Duration = Duration::from_secs(300);

/// Grants everything.
#[derive(Default)]
pub(super) struct NoStore {
    tokens: AtomicU64,
}

impl NoStore {
    fn acquired(&self, request: AcquireRequest) -> AcquireResponse {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        let lock = answer::lock(request.resource, request.owner_id, hold(token));
        AcquireResponse { lock: Some(lock), reentrant: false }
    }

    fn command(&self, command: Command) -> Outcome {
        match command {
            Command::Acquire(request) => Outcome::Acquire(self.acquired(request)),
            Command::Renew(request) => Outcome::Renew(renewed(request)),
            Command::Release(_) => Outcome::Release(ReleaseResponse { released: true }),
            Command::KeepAlive(request) => Outcome::KeepAlive(kept_alive(request)),
        }
    }
}

#[tonic::async_trait]
impl Backend for NoStore {
    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireResponse, Status> {
        Ok(self.acquired(request))
    }

    async fn release(&self, _: ReleaseRequest) -> Result<ReleaseResponse, Status> {
        Ok(ReleaseResponse { released: true })
    }

    async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Status> {
        Ok(renewed(request))
    }

    fn keep_alive(
        self: Arc<Self>,
        requests: Streaming<KeepAliveRequest>,
    ) -> Result<Answers<KeepAliveResponse>, Status> {
        Ok(answer_each(requests, kept_alive))
    }

    fn session(
        self: Arc<Self>,
        requests: Streaming<SessionRequest>,
    ) -> Result<Answers<SessionResponse>, Status> {
        Ok(answer_each(requests, move |request| SessionResponse {
            request_id: request.request_id,
            outcome: request.command.map(|command| self.command(command)),
        }))
    }
}

fn renewed(request: RenewRequest) -> RenewResponse {
    let hold = hold(request.fencing_token);
    RenewResponse { lock: Some(answer::lock(request.resource, request.owner_id, hold)) }
}

fn kept_alive(request: KeepAliveRequest) -> KeepAliveResponse {
    let results = request.leases.into_iter().map(|lease| {
        let resource = lease.resource.clone();
        let lock = answer::lock(lease.resource, lease.owner_id, hold(lease.fencing_token));
        let outcome = Some(keep_alive_result::Outcome::Lock(lock));
        KeepAliveResult { resource, fencing_token: lease.fencing_token, outcome }
    });
    KeepAliveResponse { results: results.collect() }
}

fn hold(token: u64) -> Hold {
    let now = clock();
    Hold { token, acquired: now, renewed: now, expires: now + TTL, ttl: TTL }
}
