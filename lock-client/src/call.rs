//! One call with all its attempts: each with a deadline of its own, at one
//! server after the other, until one answers or time is up.
//!
//! Every call of the service may be made again, so an attempt whose outcome is
//! unknown is simply followed by another one. What comes out says whether there
//! was such an attempt: it may have taken effect, and may yet.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status, transport::Channel};

use crate::{
    ClientError,
    endpoints::{Endpoints, Failure, Pick},
    error::{Refusal, from_refusal},
    retry::Backoff,
};

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// For one attempt.
    pub(crate) attempt: Duration,
    /// For all attempts and the waits between them.
    pub(crate) total: Duration,
}

/// What the server said, and when it was asked: a lease in the answer began
/// after that moment.
pub(crate) struct Answer<T> {
    pub(crate) message: T,
    pub(crate) sent_at: Instant,
    /// The outcome of an attempt before this one is unknown.
    pub(crate) retried: bool,
}

/// The call failed, or was refused.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: ClientError,
    /// The outcome of an attempt is unknown.
    pub(crate) unsettled: bool,
}

impl CallLimits {
    /// For what is worth one attempt and no more.
    pub(crate) fn of_one_attempt(self) -> Self {
        let attempt = self.attempt.min(self.total);
        Self { attempt, total: attempt }
    }
}

impl Failed {
    /// The server says that there is no such lease, whatever became of the
    /// attempts before.
    pub(crate) fn lease_is_over(&self) -> bool {
        matches!(self.error, ClientError::NotHeld { .. } | ClientError::Expired { .. })
    }
}

impl From<ClientError> for Failed {
    /// Before anything was sent.
    fn from(error: ClientError) -> Self {
        Self { error, unsettled: false }
    }
}

impl From<Failed> for ClientError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// An attempt with less time than this would only hide, behind "no answer", why
/// the one before it failed.
const LEAST_ATTEMPT: Duration = Duration::from_millis(20);

/// Must run in the runtime that does the network work.
pub(crate) async fn call<R, T, S, F>(
    endpoints: &Endpoints,
    limits: CallLimits,
    request: R,
    send: S,
) -> Result<Answer<T>, Failed>
where
    R: Clone,
    S: Fn(Channel, R) -> F,
    F: Future<Output = Result<Response<T>, Status>>,
{
    let deadline = Instant::now() + limits.total;
    let mut backoff = Backoff::default();
    let mut pick = endpoints.pick();
    let mut unsettled = false;
    loop {
        let sent_at = Instant::now();
        let sent = send(pick.channel.clone(), request.clone());
        let refusal = match attempt(endpoints, &pick, limits.attempt, deadline, sent).await {
            Ok(message) => return Ok(Answer { message, sent_at, retried: unsettled }),
            Err(refusal) if refusal.is_retryable() => refusal,
            Err(refusal) => {
                return Err(Failed { error: from_refusal(refusal, unsettled), unsettled });
            }
        };
        unsettled |= refusal.leaves_outcome_unknown();
        let pause = backoff.failed(endpoints.count(), refusal.retry_after(), fastrand::f64());
        let attempts = backoff.failures();
        tracing::debug!(attempts, ?pause, error = refusal.summary(), "an attempt failed");
        if deadline.saturating_duration_since(Instant::now()) <= pause + LEAST_ATTEMPT {
            return Err(Failed { error: refusal.into_unavailable(attempts), unsettled });
        }
        sleep(pause).await;
        pick = endpoints.pick_after(&pick);
    }
}

async fn attempt<T>(
    endpoints: &Endpoints,
    pick: &Pick,
    limit: Duration,
    deadline: Instant,
    sent: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Refusal> {
    let now = Instant::now();
    let until = deadline.min(now + limit);
    match timeout_at(until, sent).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => {
            let refusal = Refusal::from(status);
            if refusal.is_retryable() {
                endpoints.failed(pick, Failure::Answered);
            }
            Err(refusal)
        }
        Err(_) => {
            endpoints.failed(pick, Failure::Silent);
            Err(Refusal::timed_out(until - now))
        }
    }
}
