//! `planctl list`: plans, the newest first.

use proto::plan::v1::{ListPlansRequest, Plan, PlanPhase, PlanState};
use serde_json::json;
use service_kit::cli::{Failure, Output};

use super::{MORE, goes_on, next_page};
use crate::{
    args::{Global, ListArgs},
    client::Client,
    exit,
    output::{json, plans_table},
};

pub(super) async fn execute(
    global: &Global,
    args: &ListArgs,
    output: Output,
) -> Result<u8, Failure> {
    let (plans, more) = read(global, args).await?;
    output.answer(
        || json!({"plans": plans.iter().map(json::plan).collect::<Vec<_>>(), "more": more}),
        |style| match plans.as_slice() {
            [] => "No plans.\n".to_owned(),
            plans => plans_table(plans, style) + if more { MORE } else { "" },
        },
    )?;
    Ok(exit::OK)
}

/// Page after page, to the end or the limit; and whether that cut some off.
async fn read(global: &Global, args: &ListArgs) -> Result<(Vec<Plan>, bool), Failure> {
    let client = Client::connect(global).await?;
    let limit = args.page.limit;
    let (mut plans, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListPlansRequest {
            project: args.project.clone(),
            action: args.action.clone(),
            phase: args.phase.map_or(PlanPhase::Unspecified, PlanPhase::from).into(),
            state: args.state.map_or(PlanState::Unspecified, PlanState::from).into(),
            page_size: next_page(limit, plans.len()),
            page_token: token,
        };
        let page = client.call(|mut stub| async move { stub.list_plans(request).await }).await?;
        plans.extend(page.plans);
        token = page.next_page_token;
        if !goes_on(limit, plans.len(), &token) {
            return Ok((plans, !token.is_empty()));
        }
    }
}
