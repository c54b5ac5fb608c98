//! `lockctl get`: shows the lock of one resource.

use serde_json::json;

use super::client;
use crate::{
    args::{GetArgs, Global},
    escape::escaped,
    exit,
    failure::{Failure, explained},
    output::{self, Output},
};

pub(super) async fn execute(
    global: &Global,
    args: &GetArgs,
    output: Output,
) -> Result<u8, Failure> {
    let lock = client(global)?.get(&args.resource).await.map_err(explained)?;
    output.answer(
        || json!({"lock": lock.as_ref().map(output::to_json)}),
        |style| match &lock {
            Some(lock) => output::card(lock, style),
            None => format!("{} is free.\n", escaped(&args.resource.to_string())),
        },
    )?;
    Ok(if lock.is_some() { exit::OK } else { exit::FREE })
}
