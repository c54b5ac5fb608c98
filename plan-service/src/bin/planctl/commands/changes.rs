//! `planctl changes`: the files that each step of a plan has changed.

use proto::plan::v1::{Changeset, ListChangesetsRequest};
use serde_json::json;
use service_kit::cli::{Failure, Output};

use super::{goes_on, next_page};
use crate::{
    args::{Global, PlanArgs},
    client::Client,
    exit,
    output::{changeset_text, json},
};

pub(super) async fn execute(
    global: &Global,
    args: &PlanArgs,
    output: Output,
) -> Result<u8, Failure> {
    let changesets = read(global, &args.plan).await?;
    output.answer(
        || json!({"changesets": changesets.iter().map(json::changeset).collect::<Vec<_>>()}),
        |style| match changesets.as_slice() {
            [] => "No changes are recorded.\n".to_owned(),
            all => all.iter().map(|one| changeset_text(one, style)).collect::<Vec<_>>().join("\n"),
        },
    )?;
    Ok(exit::OK)
}

async fn read(global: &Global, plan: &str) -> Result<Vec<Changeset>, Failure> {
    let client = Client::connect(global).await?;
    let (mut changesets, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListChangesetsRequest {
            plan_id: plan.to_owned(),
            page_size: next_page(None, changesets.len()),
            page_token: token,
        };
        let page =
            client.call(|mut stub| async move { stub.list_changesets(request).await }).await?;
        changesets.extend(page.changesets);
        token = page.next_page_token;
        if !goes_on(None, changesets.len(), &token) {
            return Ok(changesets);
        }
    }
}
