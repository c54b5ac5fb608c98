//! One span for each request, for those who want to see every request: the
//! method, what it is about, who asked, what came of it and how long it took.
//! Never a whole payload, never a secret.
//!
//! At the usual level no request makes a span, because to write one costs as
//! much as to answer. Failures of the service are logged at every level, with
//! the same words.

use std::fmt;

use service_kit::text::chain;
use tokio::time::Instant;
use tonic::{Response, Status};
use tracing::{Instrument as _, Level, Span, field::Empty};

use super::status;
use crate::{domain::quote, error::LockError};

/// What a request is about, as the caller sent it: nothing, when no span is
/// made of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    resource: Option<String>,
    owner: Option<String>,
}

impl Subject {
    /// A resource, where the request names one, and an owner, where it is not
    /// empty.
    pub(super) fn of(resource: Option<&proto::lock::v1::Resource>, owner: &str) -> Self {
        Self {
            resource: resource.map(ToString::to_string),
            owner: Some(owner.to_owned()).filter(|owner| !owner.is_empty()),
        }
    }
}

/// Shown short and escaped, and only if it is shown at all.
struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => f.write_str(&quote(text)),
            None => f.write_str("-"),
        }
    }
}

/// Carries out a request within its span.
pub(super) async fn observe<T>(
    rpc: &'static str,
    subject: Subject,
    work: impl Future<Output = Result<T, LockError>>,
) -> Result<Response<T>, Status> {
    let started = Instant::now();
    let span = if tracing::enabled!(Level::DEBUG) { span(rpc, &subject) } else { Span::none() };
    async {
        let result = work.await;
        let answered = result.as_ref().map(|_| ());
        let span = Span::current();
        if span.is_none() && answered.is_err_and(is_failure) {
            self::span(rpc, &subject).in_scope(|| note(answered, started));
        } else {
            note(answered, started);
        }
        result.map(Response::new).map_err(|error| status::status(&error))
    }
    .instrument(span)
    .await
}

fn span(rpc: &'static str, subject: &Subject) -> Span {
    tracing::info_span!(
        "request",
        rpc,
        resource = %Shown(subject.resource.as_deref()),
        owner = %Shown(subject.owner.as_deref()),
        outcome = Empty,
        leases = Empty,
        lost = Empty,
        duration_us = Empty,
    )
}

/// Logs what became of a request: failures of the service as warnings, the
/// rest for those who want to see every request.
fn note(answered: Result<(), &LockError>, started: Instant) {
    let span = Span::current();
    span.record("outcome", answered.map_or_else(status::reason, |()| "OK"));
    span.record("duration_us", u64::try_from(started.elapsed().as_micros()).unwrap_or(0));
    match answered {
        Err(LockError::StoreUnavailable(error)) => {
            tracing::warn!(error = %chain(error), "the store did not carry out a request");
        }
        Err(error @ LockError::Overloaded { .. }) => tracing::warn!(%error, "refused a request"),
        _ => tracing::debug!("answered a request"),
    }
}

/// Whether it is the service that failed, and not the request.
fn is_failure(error: &LockError) -> bool {
    matches!(error, LockError::StoreUnavailable(_) | LockError::Overloaded { .. })
}

/// Notes why a watch has ended.
pub(super) fn note_watch(error: &LockError) {
    match error {
        // Said once, by who reads for all watches.
        LockError::StoreUnavailable(_) | LockError::ShuttingDown => {
            tracing::debug!(rpc = "Watch", outcome = status::reason(error), "a watch has ended");
        }
        error => tracing::warn!(rpc = "Watch", %error, "ended a watch"),
    }
}

/// Notes what became of a command on a session.
pub(super) fn note_command(request_id: u64, error: Option<&LockError>) {
    match error {
        Some(LockError::StoreUnavailable(error)) => {
            tracing::warn!(rpc = "Session", request_id, error = %chain(error),
                "the store did not carry out a command");
        }
        Some(error @ LockError::Overloaded { .. }) => {
            tracing::warn!(rpc = "Session", request_id, %error, "refused a command");
        }
        error => {
            let outcome = error.map_or("OK", status::reason);
            tracing::debug!(rpc = "Session", request_id, outcome, "answered a command");
        }
    }
}
