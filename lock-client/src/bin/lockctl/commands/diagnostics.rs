//! `lockctl diagnostics`: one screen that says whether the servers are well,
//! and whether something needs attention.

mod probe;
mod report;

use futures::future::join_all;
use lock_client::{ClientError, ListFilter, LockClient, StaleFilter};

use self::{
    probe::probe,
    report::{Held, Locks, Report},
};
use super::{FULL_PAGE, builder};
use crate::{
    args::{DiagnosticsArgs, Global},
    failure::{Failure, explained},
    output::Output,
};

/// How many pages of locks to count at most: enough for 100,000 locks, and no
/// minutes of reading for one number.
const MOST_PAGES: usize = 100;

pub(super) async fn execute(
    global: &Global,
    args: &DiagnosticsArgs,
    output: Output,
) -> Result<u8, Failure> {
    // An address that is none is a mistake in the arguments, and no finding.
    builder(global).build().map_err(explained)?;
    let servers = join_all(global.addr.iter().map(|addr| probe(addr, global.timeout))).await;
    // Any ready server answers for all locks; asking one that is not ready
    // would only use up the timeout.
    let ready = servers.iter().find(|server| server.is_ready());
    let locks = match ready {
        Some(server) => {
            let mut one = global.clone();
            one.addr = vec![server.address.clone()];
            Some(
                count(&builder(&one).build().map_err(explained)?, args)
                    .await
                    .map_err(|error| error.to_string()),
            )
        }
        None => None,
    };
    let report = Report { servers, locks, stale_after: args.stale_after };
    output.answer(|| report.to_json(), |style| report.to_text(style))?;
    Ok(report.exit_code())
}

async fn count(client: &LockClient, args: &DiagnosticsArgs) -> Result<Locks, ClientError> {
    let stale = client.list_stale(StaleFilter::default(), 1, "").await?;
    let overdue = match args.stale_after.is_zero() {
        true => stale.total_count,
        false => {
            let filter =
                StaleFilter { older_than: Some(args.stale_after), ..StaleFilter::default() };
            client.list_stale(filter, 1, "").await?.total_count
        }
    };
    Ok(Locks {
        held: count_held(client).await?,
        stale_count: stale.total_count,
        overdue_count: overdue,
        oldest: stale.locks.into_iter().next(),
    })
}

async fn count_held(client: &LockClient) -> Result<Held, ClientError> {
    let (mut count, mut token) = (0, String::new());
    for _ in 0..MOST_PAGES {
        let page = client.list(ListFilter::default(), FULL_PAGE, token).await?;
        count += page.locks.len() as u64;
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(Held { count, exact: true });
        }
    }
    Ok(Held { count, exact: false })
}
