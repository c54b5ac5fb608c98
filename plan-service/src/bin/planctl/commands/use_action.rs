//! `planctl use`: makes a plan.

use std::collections::HashMap;

use plan_service::domain::PlanId;
use proto::plan::v1::{Plan, PlanState, UseActionRequest};
use serde_json::json;
use service_kit::cli::{
    Failure, Output,
    escape::{escaped, shell_word},
};
use tokio::signal::unix::Signal;

use super::{
    following::{Follower, Told, interrupted, interrupts},
    present, status_of,
};
use crate::{
    args::{Global, UseArgs},
    client::Client,
    exit,
    failure::{rests, verdict},
    output::{Lock, json, plan_card},
};

pub(super) async fn execute(
    global: &Global,
    args: &UseArgs,
    output: Output,
) -> Result<u8, Failure> {
    let arguments = arguments(&args.arguments)?;
    let interrupt = interrupts_if(args.wait)?;
    // Made here, so that a call without an answer can be sent again.
    let plan_id = args.id.clone().unwrap_or_else(|| PlanId::new().to_string());
    let client = Client::connect(global).await?;
    let request = UseActionRequest {
        action: args.action.clone(),
        project: args.project.clone(),
        arguments,
        plan_id: Some(plan_id.clone()),
    };
    let answer = client.call(|mut stub| async move { stub.use_action(request).await }).await;
    let answer = answer.map_err(|failure| in_doubt(failure, &plan_id))?;
    let mut plan = present(answer.plan)?;
    if let Some(interrupt) = interrupt {
        match rested(client, &plan, interrupt, output).await? {
            Some(rested) => plan = rested,
            None => return Ok(interrupted(&plan, output)),
        }
    }
    output.answer(
        || json!({"plan": json::plan(&plan)}),
        |style| match args.quiet {
            true => format!("{}\n", escaped(&plan.plan_id)),
            false => plan_card(&plan, &Lock::Unasked, style),
        },
    )?;
    if args.wait || rests(&plan) {
        return verdict(&plan);
    }
    if plan.state() == PlanState::Processing {
        output.note(&format!(
            "the strategy is still being made: `planctl status {} --follow` shows it",
            shell_word(&plan.plan_id)
        ));
    }
    Ok(exit::OK)
}

fn interrupts_if(wait: bool) -> Result<Option<Signal>, Failure> {
    wait.then(interrupts).transpose()
}

fn arguments(given: &[(String, String)]) -> Result<HashMap<String, String>, Failure> {
    let mut arguments = HashMap::new();
    for (key, value) in given {
        if arguments.insert(key.clone(), value.clone()).is_some() {
            let message = format!("--arg {} is given twice", escaped(key));
            return Err(Failure::usage(message));
        }
    }
    Ok(arguments)
}

fn in_doubt(failure: Failure, plan_id: &str) -> Failure {
    let id = escaped(plan_id);
    failure.with("plan_id", plan_id).in_doubt(format!(
        "The plan may have been made all the same: {} tells. The same command with --id {id} makes \
         no second one.",
        status_of(plan_id)
    ))
}

/// The plan once it rests; none after Ctrl-C.
async fn rested(
    client: Client,
    plan: &Plan,
    mut interrupt: Signal,
    output: Output,
) -> Result<Option<Plan>, Failure> {
    let mut follower = Follower::new(client, &plan.plan_id, true);
    loop {
        let told = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(None),
            told = follower.next() => told?,
        };
        match told {
            Some(Told::Interrupted { words, .. }) => {
                output.note(&words);
            }
            Some(Told::Event(_)) => {}
            None => return Ok(follower.last().cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_given_once() {
        let given = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(arguments(&given(&[("a", "1"), ("b", "2")])).unwrap()["b"], "2");
        let failure = arguments(&given(&[("a", "1"), ("a", "1")])).unwrap_err();
        assert_eq!(failure.code, exit::USAGE);
        assert!(failure.to_text().0.contains("--arg a is given twice"), "{failure:?}");
    }
}
