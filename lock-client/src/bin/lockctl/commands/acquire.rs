//! `lockctl acquire`: takes a lock and leaves it held.

use lock_client::AcquireOptions;
use serde_json::json;

use super::{client_of, waiting};
use crate::{
    args::{AcquireArgs, Global, LeaseArgs},
    exit,
    failure::{Failure, explained},
    output::{self, Output},
};

pub(super) async fn execute(
    global: &Global,
    args: &AcquireArgs,
    output: Output,
) -> Result<u8, Failure> {
    let client = client_of(global, args.owner.as_ref())?;
    let acquisition = client.acquire_unguarded(&args.resource, options(&args.lease));
    let wait = args.lease.wait;
    let acquired = waiting::told(&client, &args.resource, wait, output, acquisition);
    let acquired = acquired.await.map_err(explained)?;
    output.answer(
        || {
            json!({
                "lock": output::to_json(&acquired.lock),
                "reentrant": acquired.reentrant,
                "retried": acquired.retried,
            })
        },
        |style| {
            format!(
                "{}\n{}",
                style.heading(heading(acquired.reentrant, acquired.retried)),
                output::card(&acquired.lock, style)
            )
        },
    )?;
    Ok(exit::OK)
}

/// True also if an attempt that got no answer took it.
fn heading(reentrant: bool, retried: bool) -> &'static str {
    match (reentrant, retried) {
        (false, _) => "Acquired.",
        (true, false) => "Held already by this owner.",
        (true, true) => "Held by this owner now: acquired, or held before.",
    }
}

/// What the flags ask of the lease.
pub(super) fn options(args: &LeaseArgs) -> AcquireOptions {
    let mut options = AcquireOptions::new();
    options.ttl = args.ttl;
    options.wait = args.wait;
    options.metadata = args.metadata.iter().cloned().collect();
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_unanswered_attempt_took_is_not_called_older() {
        assert_eq!(heading(false, true), "Acquired.");
        assert_eq!(heading(true, false), "Held already by this owner.");
        assert_eq!(heading(true, true), "Held by this owner now: acquired, or held before.");
    }
}
