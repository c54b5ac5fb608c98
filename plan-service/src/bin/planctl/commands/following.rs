//! A plan followed from event to event, also over the end of a connection: what
//! was told before is not told again.

mod heard;
mod view;

use std::time::Duration;

use futures::future::BoxFuture;
use proto::{
    plan::v1::{Plan, PlanState, WatchPlanRequest, WatchPlanResponse, watch_plan_response::Event},
    plan_reason as reason,
};
use service_kit::cli::{Away, Failure};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep},
};
use tonic::Streaming;

use self::heard::Heard;
use super::status_of;
use crate::{client::Client, exit, failure};

pub(super) use view::{View, interrupted, show};

/// How long to wait before asking again for a service that went away.
const PAUSE: Duration = Duration::from_millis(300);

/// What is told.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Told {
    /// An event of the plan.
    Event(Event),
    /// The service went away: what happens until the next event is told then, or
    /// not at all.
    /// `words` are for people, the rest for programs.
    Interrupted { reason: String, message: String, words: String },
}

/// Said of a watch that ends before its plan does.
const ENDED: &str = "plan-service has ended the watch";

type Opening = BoxFuture<'static, Result<Streaming<WatchPlanResponse>, Failure>>;

/// One plan, followed until it rests or is final.
pub(super) struct Follower {
    client: Client,
    plan_id: String,
    until_rest: bool,
    /// The call that is under way, so that dropping [`Self::next`] does not end
    /// it.
    opening: Option<Opening>,
    stream: Option<Streaming<WatchPlanResponse>>,
    last: Option<Plan>,
    /// Since when there has been no event for want of a connection.
    away_since: Option<Instant>,
    heard: Heard,
}

impl Follower {
    /// Begins to follow. Nothing is sent before the first [`Self::next`].
    pub(super) fn new(client: Client, plan_id: &str, until_rest: bool) -> Self {
        Self {
            client,
            plan_id: plan_id.to_owned(),
            until_rest,
            opening: None,
            stream: None,
            last: None,
            away_since: None,
            heard: Heard::default(),
        }
    }

    /// The plan as it was told last.
    pub(super) fn last(&self) -> Option<&Plan> {
        self.last.as_ref()
    }

    /// The next thing; none once the plan rests. May be dropped and called
    /// again.
    pub(super) async fn next(&mut self) -> Result<Option<Told>, Failure> {
        loop {
            let Some(stream) = &mut self.stream else {
                match self.open().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(failure) => {
                        if let Some(told) = self.interrupted(failure)? {
                            return Ok(Some(told));
                        }
                        sleep(PAUSE).await;
                    }
                }
                continue;
            };
            let failure = match stream.message().await {
                Ok(Some(WatchPlanResponse { event: Some(event) })) => {
                    self.away_since = None;
                    match self.news(event) {
                        Some(event) => return Ok(Some(Told::Event(event))),
                        None => continue,
                    }
                }
                Ok(Some(WatchPlanResponse { event: None })) => continue,
                Ok(None) if self.is_over() => return Ok(None),
                Ok(None) => Failure::unavailable("UNAVAILABLE", ENDED, Away::default()),
                Err(status) => failure::from_status(&status),
            };
            self.stream = None;
            if let Some(told) = self.interrupted(failure)? {
                return Ok(Some(told));
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<WatchPlanResponse>, Failure> {
        let opened = self.opening.get_or_insert_with(|| {
            let request =
                WatchPlanRequest { plan_id: self.plan_id.clone(), until_rest: self.until_rest };
            let client = self.client.clone();
            Box::pin(async move {
                client.call(|mut stub| async move { stub.watch_plan(request).await }).await
            })
        });
        let opened = opened.await;
        self.opening = None;
        opened
    }

    /// Whether there is nothing more to tell.
    fn is_over(&self) -> bool {
        self.last.as_ref().is_some_and(|plan| match self.until_rest {
            true => plan.state() != PlanState::Processing,
            false => matches!(plan.state(), PlanState::Cancelled | PlanState::Applied),
        })
    }

    /// The service cannot be reached: told once, and given up when it has lasted
    /// too long, or when nothing was ever heard.
    fn interrupted(&mut self, failure: Failure) -> Result<Option<Told>, Failure> {
        if failure.code != exit::UNAVAILABLE || self.last.is_none() {
            return Err(failure);
        }
        let told = self.away_since.is_some();
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.client.limit() {
            return Err(self.gave_up(&failure));
        }
        let words = words(&failure);
        let (message, _) = failure.to_text();
        let (reason, message) = (failure.reason().to_owned(), message.to_owned());
        Ok((!told).then_some(Told::Interrupted { reason, message, words }))
    }

    fn gave_up(&self, failure: &Failure) -> Failure {
        let (message, _) = failure.to_text();
        Failure::unavailable(failure.reason(), message, Away::default()).with_advice(format!(
            "The plan may go on all the same: {} tells, once the service can be reached.",
            status_of(&self.plan_id)
        ))
    }

    /// What of an event has not been told before.
    fn news(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Plan(plan) => {
                self.last = Some(plan.clone());
                Some(Event::Plan(plan))
            }
            Event::Output(part) => self.heard.part(part).map(Event::Output),
            other => Some(other),
        }
    }
}

/// Why nothing is heard any more, without what only a developer understands.
fn words(failure: &Failure) -> String {
    let (message, _) = failure.to_text();
    let cause = match failure.reason() {
        reason::SHUTTING_DOWN => "it is shutting down".to_owned(),
        reason::STORE_UNAVAILABLE => "its database cannot be reached".to_owned(),
        reason::LOCK_SERVER_UNAVAILABLE => "its lock server cannot be reached".to_owned(),
        reason::OVERLOADED => "it has too much to do".to_owned(),
        "UNIMPLEMENTED" => "something else answers there".to_owned(),
        _ if message == ENDED => "it has ended the watch".to_owned(),
        _ if message.contains("connect error") => "nobody is there".to_owned(),
        _ => match message.strip_prefix("no answer from plan-service within ") {
            Some(span) => format!("no answer within {span}"),
            None => "the connection broke".to_owned(),
        },
    };
    format!("plan-service went away ({cause}); asking again")
}

/// Ctrl-C from now on.
pub(super) fn interrupts() -> Result<Signal, Failure> {
    signal(SignalKind::interrupt())
        .map_err(|error| Failure::new("FAILED", format!("cannot listen for signals: {error}")))
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn people_are_told_a_short_cause() {
        for (failure, cause) in [
            (Failure::unavailable("UNAVAILABLE", ENDED, Away::default()), "it has ended the watch"),
            (
                failure::from_status(&Status::unknown("h2 protocol error: broken pipe")),
                "the connection broke",
            ),
            (
                failure::from_status(&Status::unavailable("tcp connect error: refused")),
                "nobody is there",
            ),
            (
                Failure::unavailable(
                    "UNAVAILABLE",
                    "no answer from plan-service within 30s",
                    Away::default(),
                ),
                "no answer within 30s",
            ),
            (
                Failure::unavailable(reason::SHUTTING_DOWN, "x", Away::default()),
                "it is shutting down",
            ),
        ] {
            let expected = format!("plan-service went away ({cause}); asking again");
            assert_eq!(words(&failure), expected);
        }
    }
}
