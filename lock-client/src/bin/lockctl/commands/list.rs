//! `lockctl list`: the locks that are held.

use lock_client::{ListFilter, Lock, LockClient};
use serde_json::json;

use super::{client, page_size};
use crate::{
    args::{Global, ListArgs},
    exit,
    failure::{Failure, explained},
    output::{self, Output, Style},
};

pub(super) async fn execute(
    global: &Global,
    args: &ListArgs,
    output: Output,
) -> Result<u8, Failure> {
    let listing = read(&client(global)?, args).await?;
    output.answer(
        || {
            let locks: Vec<_> = listing.locks.iter().map(output::to_json).collect();
            json!({"locks": locks, "more": listing.more})
        },
        |style| text(&listing, style),
    )?;
    Ok(exit::OK)
}

struct Listing {
    locks: Vec<Lock>,
    /// The limit cut some off.
    more: bool,
}

/// Page after page, to the end or the limit.
async fn read(client: &LockClient, args: &ListArgs) -> Result<Listing, Failure> {
    let filter = ListFilter {
        resource_type: args.resource_type.clone(),
        id_prefix: args.prefix.clone(),
        owner_id: args.owner.clone(),
    };
    let (mut locks, mut token) = (Vec::new(), String::new());
    loop {
        let size = page_size(args.limit, locks.len());
        let page = client.list(filter.clone(), size, token).await.map_err(explained)?;
        locks.extend(page.locks);
        token = page.next_page_token;
        let more = !token.is_empty();
        if !more || args.limit.is_some_and(|limit| locks.len() as u64 >= limit) {
            return Ok(Listing { locks, more });
        }
    }
}

fn text(listing: &Listing, style: Style) -> String {
    if listing.locks.is_empty() {
        return "No locks are held.\n".to_owned();
    }
    let mut text = output::held_table(&listing.locks, style);
    if listing.more {
        text.push_str("There are more: raise --limit to see them.\n");
    }
    text
}
