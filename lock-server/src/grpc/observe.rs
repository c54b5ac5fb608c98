//! One span for each request: the method, what it is about, who asked, what
//! came of it and how long it took. Never a whole payload, never a secret.

use std::fmt;

use tokio::time::Instant;
use tonic::{Response, Status};
use tracing::{Instrument as _, field::Empty};

use super::status;
use crate::{domain::quote, engine::chain, error::LockError};

/// What a request is about, as the caller sent it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    resource: Option<String>,
    owner: Option<String>,
}

impl Subject {
    /// A resource, where the request names one.
    pub(super) fn resource(mut self, resource: Option<&proto::lock::v1::Resource>) -> Self {
        self.resource = resource.map(ToString::to_string);
        self
    }

    /// An owner.
    pub(super) fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.to_owned());
        self
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
    let span = tracing::info_span!(
        "request",
        rpc,
        resource = %Shown(subject.resource.as_deref()),
        owner = %Shown(subject.owner.as_deref()),
        outcome = Empty,
        leases = Empty,
        lost = Empty,
        duration_us = Empty,
    );
    let started = Instant::now();
    async move {
        let result = work.await;
        let outcome = result.as_ref().map_or_else(status::reason, |_| "OK");
        let span = tracing::Span::current();
        span.record("outcome", outcome);
        span.record("duration_us", u64::try_from(started.elapsed().as_micros()).unwrap_or(0));
        note(&result);
        result.map(Response::new).map_err(|error| status::status(&error))
    }
    .instrument(span)
    .await
}

/// Logs what became of a request: failures of the service as warnings, the
/// rest for those who want to see every request.
fn note<T>(result: &Result<T, LockError>) {
    match result {
        Err(LockError::StoreUnavailable(error)) => {
            tracing::warn!(error = %chain(error), "the store did not carry out a request");
        }
        Err(error @ LockError::Overloaded { .. }) => tracing::warn!(%error, "refused a request"),
        _ => tracing::debug!("answered a request"),
    }
}
