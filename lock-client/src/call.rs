//! One call with all its attempts: each with a deadline of its own, at one
//! server after the other, until one answers or time is up. The same for a
//! command, which goes on the server's command stream if it has one (`session.rs`)
//! and is a call if it has none.
//!
//! Every call of the service may be made again, so an attempt whose outcome is
//! unknown is simply followed by another one. What comes out says whether there
//! was such an attempt: it may have taken effect, and may yet.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status, transport::Channel};

use crate::{
    ClientError,
    endpoints::{Endpoints, Failure, Line},
    error::{Refusal, from_refusal},
    retry::Backoff,
    session::Command,
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

/// What one attempt was answered, and when it was sent.
pub(crate) struct Reply<T> {
    pub(crate) message: T,
    pub(crate) sent_at: Instant,
}

/// An attempt that failed, and what that says of the server.
pub(crate) struct Missed {
    pub(crate) refusal: Box<Refusal>,
    pub(crate) failure: Failure,
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
        matches!(self.error, ClientError::NotHeld(_) | ClientError::Expired { .. })
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

impl Missed {
    /// The server answered, or the connection broke, or others still hear of it.
    pub(crate) fn answered(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), failure: Failure::Answered }
    }

    /// Nothing was heard of the server in all the time.
    pub(crate) fn silent(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), failure: Failure::Silent }
    }
}

/// An attempt with less time than this would only hide, behind "no answer", why
/// the one before it failed.
const LEAST_ATTEMPT: Duration = Duration::from_millis(20);

/// Makes a call. Must run in the runtime that does the network work.
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
    attempts(endpoints, limits, move |line, until| {
        called(until, send(line.channel.clone(), request.clone()))
    })
    .await
}

/// Has a command carried out. Must run in the runtime that does the network
/// work.
pub(crate) async fn command<C: Command>(
    endpoints: &Endpoints,
    limits: CallLimits,
    command: &C,
) -> Result<Answer<C::Response>, Failed> {
    attempts(endpoints, limits, |line, until| async move {
        match line.session.carry_out(command, until).await {
            Some(outcome) => outcome,
            None => called(until, command.clone().call(line.channel.clone())).await,
        }
    })
    .await
}

async fn attempts<T, F>(
    endpoints: &Endpoints,
    limits: CallLimits,
    attempt: impl Fn(Arc<Line>, Instant) -> F,
) -> Result<Answer<T>, Failed>
where
    F: Future<Output = Result<Reply<T>, Missed>>,
{
    let deadline = Instant::now() + limits.total;
    let mut backoff = Backoff::default();
    let mut pick = endpoints.pick();
    let mut unsettled = false;
    loop {
        let until = deadline.min(Instant::now() + limits.attempt);
        let Missed { refusal, failure } = match attempt(pick.line.clone(), until).await {
            Ok(Reply { message, sent_at }) => {
                return Ok(Answer { message, sent_at, retried: unsettled });
            }
            Err(missed) => missed,
        };
        if !refusal.is_retryable() {
            return Err(Failed { error: from_refusal(*refusal, unsettled), unsettled });
        }
        endpoints.failed(&pick, failure);
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

/// One attempt of a call.
async fn called<T>(
    until: Instant,
    sent: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Reply<T>, Missed> {
    let sent_at = Instant::now();
    match timeout_at(until, sent).await {
        Ok(Ok(response)) => Ok(Reply { message: response.into_inner(), sent_at }),
        Ok(Err(status)) => Err(Missed::answered(Refusal::from(status))),
        Err(_) => Err(Missed::silent(Refusal::timed_out(until - sent_at))),
    }
}
