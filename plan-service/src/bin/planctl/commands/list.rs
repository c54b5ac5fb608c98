//! `planctl list`: plans, the newest first.

use proto::plan::v1::{
    GetActionRequest, GetProjectRequest, ListPlansRequest, Plan, PlanPhase, PlanState,
};
use serde_json::json;
use service_kit::cli::{
    Failure, Output,
    escape::{escaped, shell_word},
};

use super::{MORE, goes_on, next_page};
use crate::{
    args::{Global, ListArgs},
    client::Client,
    exit,
    output::{json, plans_table, words},
};

pub(super) async fn execute(
    global: &Global,
    args: &ListArgs,
    output: Output,
) -> Result<u8, Failure> {
    let client = Client::connect(global).await?;
    let (plans, more) = read(&client, args).await?;
    let hint = match plans.is_empty() && !output.is_json() {
        true => hint(&client, args).await,
        false => String::new(),
    };
    output.answer(
        || json!({"plans": plans.iter().map(json::plan).collect::<Vec<_>>(), "more": more}),
        |style| match plans.as_slice() {
            [] => match filters(args).as_str() {
                "" => "No plans.\n".to_owned(),
                filters => format!("No plans match {filters}.\n{hint}"),
            },
            plans => plans_table(plans, style) + if more { MORE } else { "" },
        },
    )?;
    Ok(exit::OK)
}

/// What was asked for, as it was typed.
fn filters(args: &ListArgs) -> String {
    let phase = args.phase.map(|phase| words::phase(phase.into()).to_owned());
    let state = args.state.map(|state| words::state(state.into()).to_owned());
    let filters = [
        ("--project", args.project.as_deref().map(shell_word)),
        ("--action", args.action.as_deref().map(shell_word)),
        ("--phase", phase),
        ("--state", state),
    ];
    let filters =
        filters.into_iter().filter_map(|(flag, value)| Some(format!("{flag} {}", value?)));
    filters.collect::<Vec<_>>().join(" ")
}

/// That there is no such project or action, where that is so.
async fn hint(client: &Client, args: &ListArgs) -> String {
    let mut hint = String::new();
    let unknown = |failure: Failure| failure.code == exit::NOT_FOUND;
    if let Some(name) = args.project.clone() {
        let shown = escaped(&name);
        let request = GetProjectRequest { name };
        let found = client.call(|mut stub| async move { stub.get_project(request).await }).await;
        if found.is_err_and(unknown) {
            hint.push_str(&format!(
                "There is no project {shown}: `planctl project list` shows those that there are.\n"
            ));
        }
    }
    if let Some(name) = args.action.clone() {
        let shown = escaped(&name);
        let request = GetActionRequest { name };
        let found = client.call(|mut stub| async move { stub.get_action(request).await }).await;
        if found.is_err_and(unknown) {
            hint.push_str(&format!(
                "There is no action {shown}: `planctl action list` shows those that there are.\n"
            ));
        }
    }
    hint
}

/// Page after page, to the end or the limit; and whether that cut some off.
async fn read(client: &Client, args: &ListArgs) -> Result<(Vec<Plan>, bool), Failure> {
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
