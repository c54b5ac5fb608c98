//! `lockctl stale`: the locks whose lease ran out, and how many they are.

use lock_client::{Lock, LockClient};
use serde_json::json;

use super::{client, page_size, stale_filter};
use crate::{
    args::{Global, StaleArgs},
    exit,
    failure::{Failure, explained},
    output::{self, Output, Style},
};

pub(super) async fn execute(
    global: &Global,
    args: &StaleArgs,
    output: Output,
) -> Result<u8, Failure> {
    let listing = read(&client(global)?, args).await?;
    output.answer(
        || {
            let locks: Vec<_> = listing.locks.iter().map(output::to_json).collect();
            json!({"locks": locks, "total_count": listing.total_count})
        },
        |style| text(&listing, style),
    )?;
    Ok(exit::OK)
}

struct Listing {
    locks: Vec<Lock>,
    /// All that match, those beyond the limit too.
    total_count: u64,
}

/// Page after page, to the end or the limit.
async fn read(client: &LockClient, args: &StaleArgs) -> Result<Listing, Failure> {
    let filter = stale_filter(&args.filter);
    let (mut locks, mut token) = (Vec::new(), String::new());
    loop {
        let size = page_size(args.limit, locks.len());
        let page = client.list_stale(filter.clone(), size, token).await.map_err(explained)?;
        locks.extend(page.locks);
        token = page.next_page_token;
        if token.is_empty() || args.limit.is_some_and(|limit| locks.len() as u64 >= limit) {
            return Ok(Listing { locks, total_count: page.total_count });
        }
    }
}

fn text(listing: &Listing, style: Style) -> String {
    if listing.locks.is_empty() {
        return "No locks are stale.\n".to_owned();
    }
    let table = output::stale_table(&listing.locks, style);
    format!("{table}{} stale in all.\n", super::locks(listing.total_count))
}
