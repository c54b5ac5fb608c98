//! `lockctl release`: gives a lock back.

use serde_json::json;

use super::client;
use crate::{
    args::{Global, ReleaseArgs},
    escape::escaped,
    exit,
    failure::{Failure, explained},
    output::Output,
};

pub(super) async fn execute(
    global: &Global,
    args: &ReleaseArgs,
    output: Output,
) -> Result<u8, Failure> {
    let ended = client(global)?.release(&args.resource, &args.owner, args.token).await;
    let ended = ended.map_err(explained)?;
    output.answer(
        || json!({"released": ended.released, "retried": ended.retried}),
        |_| text(args, ended.released, ended.retried),
    )?;
    Ok(exit::OK)
}

/// True also if an attempt that got no answer released it.
fn text(args: &ReleaseArgs, released: bool, retried: bool) -> String {
    let (resource, owner) = (escaped(&args.resource.to_string()), escaped(&args.owner));
    match (released, retried) {
        (true, _) => format!("Released {resource}.\n"),
        (false, false) => {
            format!("Nothing to release: {owner} holds no live lock on {resource}.\n")
        }
        (false, true) => {
            format!("{resource} is not held by {owner} now: released, or free before.\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use lock_client::Resource;

    use super::*;

    #[test]
    fn what_an_unanswered_attempt_did_is_not_denied() {
        let resource = Resource::new("plan", "1");
        let args = ReleaseArgs { resource, owner: "a".to_owned(), token: None };
        assert!(text(&args, true, true).starts_with("Released plan/1."));
        assert!(text(&args, false, false).starts_with("Nothing to release: a holds no live lock"));
        assert_eq!(
            text(&args, false, true),
            "plan/1 is not held by a now: released, or free before.\n",
        );
    }
}
