//! `lockctl renew`: gives a lock that is held more time.

use serde_json::json;

use super::client;
use crate::{
    args::{Global, RenewArgs},
    exit,
    failure::{Failure, explained},
    output::{self, Output},
};

pub(super) async fn execute(
    global: &Global,
    args: &RenewArgs,
    output: Output,
) -> Result<u8, Failure> {
    let lock = client(global)?.renew(&args.resource, &args.owner, args.token, args.ttl).await;
    let lock = lock.map_err(explained)?;
    output.answer(
        || json!({"lock": output::to_json(&lock)}),
        |style| format!("{}\n{}", style.heading("Renewed."), output::card(&lock, style)),
    )?;
    Ok(exit::OK)
}
