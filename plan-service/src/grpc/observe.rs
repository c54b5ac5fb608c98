//! One span for each request: the method, what it is about, what came of it and
//! how long it took. Never a whole payload, never a secret.

use std::fmt;

use service_kit::text::{chain, quote};
use tokio::time::Instant;
use tonic::{Response, Status};
use tracing::{Instrument as _, Span, field::Empty};

use super::status;
use crate::error::PlanError;

/// What a request is about, as the caller sent it. Shown short and escaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a>(pub(super) &'a str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("-") } else { f.write_str(&quote(self.0)) }
    }
}

/// Carries out a request within its span.
pub(super) async fn observe<T>(
    rpc: &'static str,
    subject: &str,
    work: impl Future<Output = Result<T, PlanError>>,
) -> Result<Response<T>, Status> {
    let started = Instant::now();
    let span = tracing::info_span!(
        "request",
        rpc,
        subject = %Subject(subject),
        outcome = Empty,
        duration_us = Empty,
    );
    async {
        let result = work.await;
        note(result.as_ref().err(), started);
        result.map(Response::new).map_err(|error| status::status(&error))
    }
    .instrument(span)
    .await
}

/// Logs what became of a request: failures of the service as warnings, the rest
/// for those who want to see every request.
fn note(error: Option<&PlanError>, started: Instant) {
    let span = Span::current();
    span.record("outcome", error.map_or("OK", status::reason));
    span.record("duration_us", u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    match error {
        Some(error) if is_failure(error) => {
            tracing::warn!(error = %chain(error), "did not carry out a request");
        }
        _ => tracing::debug!("answered a request"),
    }
}

/// Notes why a watch has ended.
pub(super) fn note_watch(error: &PlanError) {
    if is_failure(error) {
        tracing::warn!(rpc = "WatchPlan", error = %chain(error), "ended a watch");
    } else {
        tracing::debug!(rpc = "WatchPlan", outcome = status::reason(error), "a watch has ended");
    }
}

/// Whether it is the service that failed, and not the request.
fn is_failure(error: &PlanError) -> bool {
    matches!(
        error,
        PlanError::StoreUnavailable(_)
            | PlanError::LockServerUnavailable(_)
            | PlanError::Overloaded { .. }
            | PlanError::Internal(_)
    )
}
