//! One call with all its attempts: each with a deadline of its own, at one
//! server after the other, until one answers or time is up. The same for a
//! command, which goes on the server's command stream if it has one (`session.rs`)
//! and is a call if it has none.
//!
//! Every call of the service may be made again, so an attempt whose outcome is
//! unknown is simply followed by another one. What comes out says whether there
//! was such an attempt: it may have taken effect, and may yet.
//!
//! An acquisition that waits in line is one call for as long as it waits, on a
//! connection that is for such calls alone (`endpoints.rs`). When that call is
//! lost, the next server is asked with what is left of the wait.

use std::{future::Future, sync::Arc, time::Duration};

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status, transport::Channel};

use crate::{
    ClientError, builder,
    endpoints::{Endpoints, Failure, Line},
    error::{Refusal, from_refusal},
    lock,
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

/// Until when to try.
struct Patience {
    limits: CallLimits,
    /// Until when the call may wait in line at the server, if at all.
    in_line_until: Option<Instant>,
    /// From when on all attempts are to be over within the limit. A call that
    /// waits in line has all the time until something fails.
    since: Option<Instant>,
}

impl Patience {
    fn of(limits: CallLimits) -> Self {
        Self { limits, in_line_until: None, since: Some(Instant::now()) }
    }

    fn in_line(limits: CallLimits, until: Instant) -> Self {
        Self { limits, in_line_until: Some(until), since: None }
    }

    /// When no attempt is made any more, if there is such a moment yet.
    fn over(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limits.total)
    }

    /// Until when an attempt may take that begins now.
    fn attempt_until(&self, now: Instant) -> Instant {
        let in_line_until = self.in_line_until.filter(|&until| until > now);
        let until = in_line_until.unwrap_or(now) + self.limits.attempt;
        match self.over() {
            Some(over) if in_line_until.is_none() => until.min(over),
            _ => until,
        }
    }

    /// An attempt that began then has failed. Whether that is the first failure
    /// for a while: a call that went on for longer than over a dead connection
    /// was in line.
    fn failed(&mut self, began: Instant, now: Instant) -> bool {
        let was_in_line = self.in_line_until.is_some() && now - began >= builder::DEAD_AFTER;
        if was_in_line {
            self.since = None;
        }
        self.since.get_or_insert(now);
        was_in_line
    }
}

/// When so little of a wait has passed, the server is told the whole: it would
/// quote a strange span otherwise if it has something against it.
const AS_GOOD_AS_NOTHING: Duration = Duration::from_millis(100);

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
    attempts(endpoints, Patience::of(limits), move |line, until| {
        called(until, send(line.channel.clone(), request.clone()))
    })
    .await
}

/// Makes a call over the connection of those who wait in line: the server hears of
/// it after everything that was sent there before, a cancelled wait for one. Must
/// run in the runtime that does the network work.
pub(crate) async fn call_after_waits<R, T, S, F>(
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
    attempts(endpoints, Patience::of(limits), move |line, until| {
        called(until, send(line.waiting.clone(), request.clone()))
    })
    .await
}

/// Asks for a lock and waits in line for it until that moment, as the request
/// says. Must run in the runtime that does the network work.
///
/// No command on the stream: that one cannot be cancelled, and a caller who has
/// gone would keep its place in line. A call is cancelled by dropping this future,
/// and the server gives the place up.
pub(crate) async fn wait(
    endpoints: &Endpoints,
    limits: CallLimits,
    request: &wire::AcquireRequest,
    in_line_until: Instant,
) -> Result<Answer<wire::AcquireResponse>, Failed> {
    attempts(endpoints, Patience::in_line(limits, in_line_until), |line, until| {
        let mut request = request.clone();
        let asked = lock::span(request.wait);
        let left = in_line_until.saturating_duration_since(Instant::now());
        // When none is left, what comes is the conflict as it is by then, if no
        // grant.
        if left.is_zero() {
            request.wait = None;
        } else if left + AS_GOOD_AS_NOTHING < asked {
            request.wait = prost_types::Duration::try_from(left).ok();
        }
        called(
            until,
            async move { LockServiceClient::new(line.waiting.clone()).acquire(request).await },
        )
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
    attempts(endpoints, Patience::of(limits), |line, until| async move {
        match line.session.carry_out(command, until).await {
            Some(outcome) => outcome,
            None => called(until, command.clone().call(line.channel.clone())).await,
        }
    })
    .await
}

async fn attempts<T, F>(
    endpoints: &Endpoints,
    mut patience: Patience,
    attempt: impl Fn(Arc<Line>, Instant) -> F,
) -> Result<Answer<T>, Failed>
where
    F: Future<Output = Result<Reply<T>, Missed>>,
{
    let mut backoff = Backoff::default();
    let mut pick = endpoints.pick();
    let mut unsettled = false;
    loop {
        let began = Instant::now();
        let until = patience.attempt_until(began);
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
        if patience.failed(began, Instant::now()) {
            backoff.reset();
        }
        let pause = backoff.failed(endpoints.count(), refusal.retry_after(), fastrand::f64());
        let attempts = backoff.failures();
        tracing::debug!(attempts, ?pause, error = refusal.summary(), "an attempt failed");
        let left = patience.over().map(|over| over.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left <= pause + LEAST_ATTEMPT) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits =
        CallLimits { attempt: Duration::from_secs(6), total: Duration::from_secs(15) };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_ordinary_call_is_over_so_long_after_it_began() {
        let mut patience = Patience::of(LIMITS);
        let began = patience.since.unwrap();
        assert_eq!(patience.attempt_until(began) - began, s(6));
        assert_eq!(patience.attempt_until(began + s(10)) - began, s(15));
        // However long an attempt took.
        assert!(!patience.failed(began, began + s(14)));
        assert_eq!(patience.over(), Some(began + s(15)));
    }

    #[test]
    fn a_call_in_line_has_its_wait_and_a_while_for_the_answer() {
        let now = Instant::now();
        let patience = Patience::in_line(LIMITS, now + s(300));
        assert_eq!(patience.over(), None);
        assert_eq!(patience.attempt_until(now) - now, s(306));
        assert_eq!(patience.attempt_until(now + s(400)) - now, s(406));
    }

    #[test]
    fn a_call_in_line_is_over_when_servers_were_lost_for_so_long() {
        let now = Instant::now();
        let mut patience = Patience::in_line(LIMITS, now + s(300));
        assert!(!patience.failed(now, now + s(1)));
        assert!(!patience.failed(now + s(2), now + s(3)));
        assert_eq!(patience.over(), Some(now + s(16)));
        assert_eq!(patience.attempt_until(now + s(4)) - now, s(306), "it may be in line again");
        // It was, and what failed before is forgotten.
        assert!(patience.failed(now + s(4), now + s(60)));
        assert_eq!(patience.over(), Some(now + s(75)));
        // Once the wait is over, the limit holds for each attempt, too.
        assert!(!patience.failed(now + s(295), now + s(301)));
        assert_eq!(patience.attempt_until(now + s(301)) - now, s(75));
    }
}
