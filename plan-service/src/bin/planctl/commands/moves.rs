//! `planctl execute`, `apply`, `revert` and `retry`: moves of a plan, and the
//! looking on while they are carried out.

use std::{future::Future, time::Duration};

use proto::plan::v1::{
    ApplyPlanRequest, ExecutePlanRequest, Plan, RetryPlanRequest, RevertPlanRequest,
};
use serde_json::json;
use service_kit::cli::{Failure, Output, escape::shell_word, span};
use tokio::time::sleep;

use super::{
    following::{Follower, View, interrupted, interrupts, show},
    present,
};
use crate::{
    args::{Global, PlanArgs, WatchFlag},
    client::Client,
    exit,
    failure::{rests, verdict},
    output::{Lock, json, plan_card},
};

/// A lock that is had sooner is not waited for: nothing is said of it.
const SOON: Duration = Duration::from_millis(300);

/// A move, and for how long to wait for the project's lock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Execute,
    Apply(Option<Duration>),
    Revert,
    Retry(Option<Duration>),
}

pub(super) async fn execute(
    global: &Global,
    plan: &PlanArgs,
    flag: &WatchFlag,
    asked: Asked,
    output: Output,
) -> Result<u8, Failure> {
    let plan_id = plan.plan.as_str();
    if !flag.watch {
        let client = Client::connect(global).await?;
        let plan = told_of_waiting(begin(&client, plan_id, asked), asked, output).await?;
        output.answer(
            || json!({"plan": json::plan(&plan)}),
            |style| {
                let card = plan_card(&plan, &Lock::Unasked, style);
                match asked.heading(&plan) {
                    Some(heading) => format!("{}\n{card}", style.heading(&heading)),
                    None => card,
                }
            },
        )?;
        return if rests(&plan) { verdict(&plan) } else { Ok(exit::OK) };
    }
    // Before anything is asked: Ctrl-C finds somebody at home.
    let mut interrupt = interrupts()?;
    let client = Client::connect(global).await?;
    let begun = tokio::select! {
        biased;
        _ = interrupt.recv() => {
            let unknown = Plan { plan_id: plan_id.to_owned(), ..Plan::default() };
            return Ok(interrupted(&unknown, output));
        }
        begun = told_of_waiting(begin(&client, plan_id, asked), asked, output) => begun?,
    };
    let follower = Follower::new(client, plan_id, true);
    show(follower, interrupt, &begun, View::Work, output).await
}

/// Asks for the move. The answer comes once the locks are held.
async fn begin(client: &Client, plan_id: &str, asked: Asked) -> Result<Plan, Failure> {
    let plan_id = plan_id.to_owned();
    let wait = asked.wait();
    // A span that is too long for the contract is longer than any wait.
    let project_wait = wait.map(|wait| prost_types::Duration::try_from(wait).unwrap_or_default());
    let wait = wait.unwrap_or_default();
    let plan = match asked {
        Asked::Execute => {
            let request = ExecutePlanRequest { plan_id };
            client.call(|mut stub| async move { stub.execute_plan(request).await }).await?.plan
        }
        Asked::Apply(_) => {
            let request = ApplyPlanRequest { plan_id, project_wait };
            let call =
                client.call_waiting(wait, |mut stub| async move { stub.apply_plan(request).await });
            call.await?.plan
        }
        Asked::Revert => {
            let request = RevertPlanRequest { plan_id };
            client.call(|mut stub| async move { stub.revert_plan(request).await }).await?.plan
        }
        Asked::Retry(_) => {
            let request = RetryPlanRequest { plan_id, project_wait };
            let call =
                client.call_waiting(wait, |mut stub| async move { stub.retry_plan(request).await });
            call.await?.plan
        }
    };
    present(plan)
}

impl Asked {
    fn wait(self) -> Option<Duration> {
        match self {
            Self::Apply(wait) | Self::Retry(wait) => wait,
            Self::Execute | Self::Revert => None,
        }
    }

    /// What has begun. Of a plan that rests already, what there is to say comes
    /// at the end.
    fn heading(self, plan: &Plan) -> Option<String> {
        if rests(plan) {
            return None;
        }
        let words = match self {
            Self::Execute => "The steps are being run.",
            Self::Apply(_) => "The plan is being applied.",
            Self::Revert => "The plan is going back to a new strategy.",
            Self::Retry(_) => "The phase is being run again.",
        };
        let plan_id = shell_word(&plan.plan_id);
        Some(format!("{words} `planctl status {plan_id} --follow` shows it."))
    }
}

/// Awaits the answer, and tells people that somebody may be in the way.
async fn told_of_waiting<T>(call: impl Future<Output = T>, asked: Asked, output: Output) -> T {
    let mut call = std::pin::pin!(call);
    let wait = asked.wait().filter(|wait| !wait.is_zero());
    let (Some(wait), Some(mut line)) = (wait, output.status_line()) else { return call.await };
    tokio::select! {
        biased;
        done = &mut call => return done,
        () = sleep(SOON) => {}
    }
    let at_most = span::human(wait);
    line.show(&format!("waiting in line for the project's lock, for {at_most} at most"));
    call.await
}
