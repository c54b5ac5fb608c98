//! `lockctl release-all`: gives back everything that an owner holds.

use serde_json::json;

use super::client;
use crate::{
    args::{Global, ReleaseAllArgs},
    escape::escaped,
    exit,
    failure::{Failure, explained},
    output::Output,
};

pub(super) async fn execute(
    global: &Global,
    args: &ReleaseAllArgs,
    output: Output,
) -> Result<u8, Failure> {
    let released = client(global)?.release_all_of(&args.owner).await.map_err(explained)?;
    output.answer(
        || json!({"released_count": released.count, "retried": released.retried}),
        |_| {
            let counted = super::counted(released.count, released.retried);
            format!("Released {counted} of {}.\n", escaped(&args.owner))
        },
    )?;
    Ok(exit::OK)
}
