//! The `KeepAlive` stream: one response for each request, in order.
//!
//! The response stream pulls the requests: the next one is read when the last
//! answer has been taken by the transport. A client that does not read its
//! answers is thereby not read from, and nothing piles up here.
//!
//! It ends
//! - well, when the client has sent its last request;
//! - with `INVALID_REQUEST` for a request that is wrong;
//! - with `STORE_UNAVAILABLE` when the leases could not be decided on, which
//!   says nothing of them;
//! - with `SHUTTING_DOWN` when this server stops, so that the client opens the
//!   stream elsewhere.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, stream};
use proto::lock::v1 as wire;
use tonic::{Status, Streaming};

use super::{
    commands, convert,
    observe::{Subject, observe},
    status,
};
use crate::{domain::Lock, engine::LockEngine, error::LockError};

pub(super) type Responses =
    Pin<Box<dyn Stream<Item = Result<wire::KeepAliveResponse, Status>> + Send>>;

/// The responses to a stream of requests.
pub(super) fn responses(
    engine: Arc<LockEngine>,
    requests: Streaming<wire::KeepAliveRequest>,
) -> Responses {
    Box::pin(stream::unfold(Some((engine, requests)), |open| async {
        let (engine, mut requests) = open?;
        match next(&engine, &mut requests).await {
            Ok(Some(response)) => Some((Ok(response), Some((engine, requests)))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    }))
}

async fn next(
    engine: &LockEngine,
    requests: &mut Streaming<wire::KeepAliveRequest>,
) -> Result<Option<wire::KeepAliveResponse>, Status> {
    let request = tokio::select! {
        biased;
        () = engine.stopping().cancelled() => return Err(status::status(&LockError::ShuttingDown)),
        request = requests.message() => request?,
    };
    let Some(request) = request else { return Ok(None) };
    let leases = request.leases.len();
    let first = request.leases.first();
    let subject = first.map_or_else(Subject::default, |lease| {
        Subject::of(lease.resource.as_ref(), &lease.owner_id)
    });
    let answered = observe("KeepAlive", subject, async {
        let response = answer(engine, request).await?;
        tracing::Span::current().record("leases", leases).record("lost", lost(&response));
        Ok(response)
    });
    answered.await.map(|response| Some(response.into_inner()))
}

/// The answer to one request, of either stream. Its leases are in line when this
/// returns.
pub(super) fn answer(
    engine: &LockEngine,
    request: wire::KeepAliveRequest,
) -> impl Future<Output = Result<wire::KeepAliveResponse, LockError>> + Send + use<> {
    let results = commands::leases(engine.ttl(), &request).map(|leases| engine.keep_alive(leases));
    async move {
        let results = results?.await?;
        let results = request
            .leases
            .into_iter()
            .zip(results)
            .map(|(asked, result)| wire::KeepAliveResult {
                resource: asked.resource,
                fencing_token: asked.fencing_token,
                outcome: Some(outcome(result)),
            })
            .collect();
        Ok(wire::KeepAliveResponse { results })
    }
}

/// How many leases are lost, by an answer.
fn lost(response: &wire::KeepAliveResponse) -> usize {
    let is_lost = |result: &&wire::KeepAliveResult| {
        matches!(result.outcome, Some(wire::keep_alive_result::Outcome::Lost(_)))
    };
    response.results.iter().filter(is_lost).count()
}

fn outcome(result: Result<Lock, LockError>) -> wire::keep_alive_result::Outcome {
    use wire::keep_alive_result::Outcome;
    match result {
        Ok(lock) => Outcome::Lock(convert::lock(lock)),
        Err(error) => {
            let mut lost = wire::LostLease {
                reason: status::reason(&error).to_owned(),
                message: status::message(&error),
                ..wire::LostLease::default()
            };
            if let LockError::NotHeld { holder, forced, .. } = error {
                lost.holder = holder.map_or_else(String::new, |holder| holder.as_str().to_owned());
                if let Some(forced) = forced {
                    (lost.released_by, lost.release_reason) = (forced.actor, forced.reason);
                }
            }
            Outcome::Lost(lost)
        }
    }
}
