//! `lockctl purge`: frees stale locks.

use serde_json::json;

use super::{client, stale_filter};
use crate::{
    args::{Global, PurgeArgs},
    exit,
    failure::{Failure, explained},
    output::Output,
};

pub(super) async fn execute(
    global: &Global,
    args: &PurgeArgs,
    output: Output,
) -> Result<u8, Failure> {
    let purged = client(global)?.purge_stale(stale_filter(&args.filter)).await;
    let purged = purged.map_err(explained)?;
    output.answer(
        || json!({"purged_count": purged.count, "retried": purged.retried}),
        |_| format!("Purged {} that had run out.\n", super::counted(purged.count, purged.retried)),
    )?;
    Ok(exit::OK)
}
