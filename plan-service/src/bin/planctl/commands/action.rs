//! `planctl action`: templates of plans, created from files and shown.

use std::path::Path;

use proto::plan::v1::{Action, CreateActionRequest, GetActionRequest, ListActionsRequest};
use serde_json::json;
use service_kit::cli::{Failure, Output, escape::escaped};

use super::{MORE, goes_on, next_page, there};
use crate::{
    action_file,
    args::{ActionCommand, ActionCreateArgs, ActionListArgs, Global},
    client::Client,
    exit,
    output::{action_card, actions_table, json},
};

pub(super) async fn execute(
    global: &Global,
    command: &ActionCommand,
    output: Output,
) -> Result<u8, Failure> {
    match command {
        ActionCommand::Create(args) => create(global, args, output).await?,
        ActionCommand::List(args) => list(global, args, output).await?,
        ActionCommand::Show(args) => show(global, &args.name, output).await?,
    }
    Ok(exit::OK)
}

async fn create(global: &Global, args: &ActionCreateArgs, output: Output) -> Result<(), Failure> {
    if args.files.iter().filter(|file| *file == Path::new("-")).count() > 1 {
        return Err(Failure::usage("standard input (-) is one file: name it once"));
    }
    // All of them before the first is sent.
    let drafts =
        args.files.iter().map(|file| action_file::read(file)).collect::<Result<Vec<_>, _>>()?;
    let client = Client::connect(global).await?;
    let mut created = Vec::with_capacity(drafts.len());
    for (draft, file) in drafts.into_iter().zip(&args.files) {
        let request = CreateActionRequest { action: Some(draft) };
        let answer = client.call(|mut stub| async move { stub.create_action(request).await });
        let action = match answer.await.and_then(|answer| there(answer.action, "an action")) {
            Ok(action) => action,
            Err(failure) => return Err(not_all(failure, file, &created)),
        };
        created.push(action);
    }
    output.answer(
        || json!({"actions": created.iter().map(json::action).collect::<Vec<_>>()}),
        |_| created.iter().map(|action| format!("Created {}.\n", escaped(&action.name))).collect(),
    )?;
    Ok(())
}

/// Of several files, the one that was refused and those that were not.
fn not_all(failure: Failure, file: &Path, created: &[Action]) -> Failure {
    let failure = failure.with("file", file.to_string_lossy());
    if created.is_empty() {
        return failure;
    }
    let names: Vec<_> = created.iter().map(|action| action.name.as_str()).collect();
    let names = names.join(", ");
    failure.with("created", &names).with_advice(format!(
        "That was {}. Created before it: {}. Leave their files out when you try again.",
        escaped(&file.to_string_lossy()),
        escaped(&names),
    ))
}

async fn list(global: &Global, args: &ActionListArgs, output: Output) -> Result<(), Failure> {
    let client = Client::connect(global).await?;
    let limit = args.page.limit;
    let (mut actions, mut token) = (Vec::<Action>::new(), String::new());
    loop {
        let request = ListActionsRequest {
            namespace: args.namespace.clone(),
            page_size: next_page(limit, actions.len()),
            page_token: token,
        };
        let page = client.call(|mut stub| async move { stub.list_actions(request).await }).await?;
        actions.extend(page.actions);
        token = page.next_page_token;
        if !goes_on(limit, actions.len(), &token) {
            break;
        }
    }
    let more = !token.is_empty();
    output.answer(
        || json!({"actions": actions.iter().map(json::action).collect::<Vec<_>>(), "more": more}),
        |style| match actions.as_slice() {
            [] => match &args.namespace {
                Some(namespace) => format!(
                    "No actions in namespace {}: `planctl action list` shows those that there \
                     are.\n",
                    escaped(namespace)
                ),
                None => "No actions: `planctl action create -f FILE` creates one.\n".to_owned(),
            },
            actions => actions_table(actions, style) + if more { MORE } else { "" },
        },
    )?;
    Ok(())
}

async fn show(global: &Global, name: &str, output: Output) -> Result<(), Failure> {
    let client = Client::connect(global).await?;
    let request = GetActionRequest { name: name.to_owned() };
    let answer = client.call(|mut stub| async move { stub.get_action(request).await }).await?;
    let action = there(answer.action, "an action")?;
    output
        .answer(|| json!({"action": json::action(&action)}), |style| action_card(&action, style))?;
    Ok(())
}
