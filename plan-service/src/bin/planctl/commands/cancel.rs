//! `planctl cancel`: ends a plan.

use proto::plan::v1::{CancelPlanRequest, PlanState};
use serde_json::json;
use service_kit::cli::{Failure, Output, escape::shell_word};

use super::present;
use crate::{
    args::{CancelArgs, Global},
    client::Client,
    exit,
    output::{Lock, json, plan_card},
};

pub(super) async fn execute(
    global: &Global,
    args: &CancelArgs,
    output: Output,
) -> Result<u8, Failure> {
    let client = Client::connect(global).await?;
    let request =
        CancelPlanRequest { plan_id: args.plan.plan.clone(), reason: args.reason.clone() };
    let call = client.call_to_cancel(|mut stub| async move { stub.cancel_plan(request).await });
    let answer = call.await?;
    let plan = present(answer.plan)?;
    output.answer(
        || json!({"plan": json::plan(&plan)}),
        |style| {
            let heading = match plan.state() {
                PlanState::Cancelled => "Cancelled.".to_owned(),
                _ => format!(
                    "Told to stop: `planctl status {} --follow` shows when it has.",
                    shell_word(&plan.plan_id)
                ),
            };
            format!("{}\n{}", style.heading(&heading), plan_card(&plan, &Lock::Unasked, style))
        },
    )?;
    Ok(exit::OK)
}
