//! `lockctl force-release`: breaks a lock that somebody else holds.
//!
//! The server has the last word: it breaks the hold that was named and no other
//! one, whatever became of it while somebody thought about the question. It is
//! asked also where the lock has visibly moved on, so that the audit trail has
//! the attempt.

use std::io::{IsTerminal as _, stderr, stdin};

use lock_client::{ClientError, Lock, LockClient};
use serde_json::json;

use super::client;
use crate::{
    args::{ForceReleaseArgs, Global},
    escape::{escaped, shell_word},
    exit,
    failure::{Failure, explained},
    output::{self, Output},
};

pub(super) async fn execute(
    global: &Global,
    args: &ForceReleaseArgs,
    output: Output,
) -> Result<u8, Failure> {
    let Some(token) = args.token else { return Err(without_token(args)) };
    let can_ask = stdin().is_terminal() && stderr().is_terminal();
    if !args.yes && !can_ask {
        return Err(Failure::usage(
            "there is no terminal to ask on: give --yes to break the lock without being asked",
        ));
    }
    let client = client(global)?;
    show_holder(&client, args, token, output).await?;
    let broken = client.force_release(&args.resource, token, &args.reason).await;
    let lock = broken.map_err(|error| refused(args, error))?;
    output.answer(|| json!({"lock": output::to_json(&lock)}), |_| text(&lock))?;
    Ok(exit::OK)
}

/// Shows who holds the lock, and asks unless that is not wanted, or there is no
/// such hold to break.
async fn show_holder(
    client: &LockClient,
    args: &ForceReleaseArgs,
    token: u64,
    output: Output,
) -> Result<(), Failure> {
    let Some(lock) = client.get(&args.resource).await.map_err(explained)? else { return Ok(()) };
    if lock.fencing_token != token {
        return Ok(());
    }
    if args.yes {
        return Ok(output.preview(|style| format!("{}\n", output::card(&lock, style)))?);
    }
    match output.confirm(|style| output::card(&lock, style), "Break this lock?") {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new("NOT_CONFIRMED", "not confirmed: nothing was changed")),
        Err(error) => Err(Failure::new("FAILED", format!("cannot ask: {error}"))),
    }
}

fn text(lock: &Lock) -> String {
    format!(
        "Released {} by force: {} hears of it at its next renewal.\n",
        escaped(&lock.resource.to_string()),
        escaped(&lock.owner_id),
    )
}

fn without_token(args: &ForceReleaseArgs) -> Failure {
    let get = command("get", args);
    Failure::usage(format!(
        "which hold is to be broken? Give its token with --token: {get} shows it"
    ))
}

/// The server's own words say what there is instead.
fn refused(args: &ForceReleaseArgs, error: ClientError) -> Failure {
    match error {
        ClientError::NotHeld(now) => {
            let holder = now.holder.unwrap_or_default();
            moved_on(args, now.message, &holder, now.fencing_token, now.retried)
        }
        ClientError::NotFound { retried, .. } => nothing_changed(explained(error), args, retried),
        error => explained(error).in_doubt(format!(
            "It may have been released all the same: {} tells, and asking again does no harm.",
            command("events", args),
        )),
    }
}

/// The hold that was to be broken is over, or never was.
fn moved_on(
    args: &ForceReleaseArgs,
    message: String,
    holder: &str,
    token: Option<u64>,
    retried: bool,
) -> Failure {
    let failure = Failure::new(proto::reason::LOCK_NOT_HELD, message)
        .with_code(exit::LOST)
        .with("resource", args.resource.to_string())
        .with("holder", holder)
        .with("fencing_token", token.map_or_else(String::new, |token| token.to_string()));
    let get = command("get", args);
    nothing_changed(failure, args, retried)
        .with_advice(format!("{get} shows that hold: see whether it is to be broken, too."))
}

/// Unless an attempt without an answer changed what this one found.
fn nothing_changed(failure: Failure, args: &ForceReleaseArgs, retried: bool) -> Failure {
    match retried {
        false => failure.with_advice("Nothing was changed."),
        true => failure.with_advice(format!(
            "An attempt before the last got no answer: it may have broken it, as {} tells.",
            command("events", args),
        )),
    }
}

/// As one would type it.
fn command(name: &str, args: &ForceReleaseArgs) -> String {
    format!("`lockctl {name} {}`", shell_word(&args.resource.to_string()))
}

#[cfg(test)]
mod tests {
    use lock_client::Resource;

    use super::*;

    fn args() -> ForceReleaseArgs {
        ForceReleaseArgs {
            resource: Resource::new("plan", "a b"),
            token: Some(7),
            reason: "stuck".to_owned(),
            yes: true,
        }
    }

    #[test]
    fn what_an_unanswered_attempt_broke_is_not_denied() {
        for (retried, done) in [(false, "Nothing was changed."), (true, "it may have broken it")] {
            let moved = moved_on(&args(), "moved".to_owned(), "next", Some(9), retried);
            let free = ClientError::NotFound {
                resource: args().resource,
                message: "free".to_owned(),
                retried,
            };
            let free = refused(&args(), free);
            assert_eq!((moved.code, free.code), (exit::LOST, exit::FREE));
            for failure in [moved, free] {
                let (_, explanation) = failure.to_text();
                assert!(explanation.contains(done), "{explanation}");
                let events = explanation.contains("`lockctl events 'plan/a b'` tells");
                assert_eq!(events, retried, "{explanation}");
            }
        }
    }

    #[test]
    fn a_call_without_an_answer_may_have_broken_it() {
        let unavailable = |message: &str| {
            let message = message.to_owned();
            refused(&args(), ClientError::Unavailable { reason: None, message, attempts: 1 })
        };
        let failure = unavailable("no answer within 200 ms");
        assert!(failure.to_text().1.contains("`lockctl events 'plan/a b'` tells"), "{failure:?}");
        assert_eq!(unavailable("tcp connect error: Connection refused").to_text().1, "");
    }
}
