//! Many locks kept alive by one client: the one scenario with the real `lock-client`.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use lock_client::{AcquireOptions, LockClient, LockGuard};

use crate::{
    args::Scenario,
    cpu,
    lab::Lab,
    part::KIND,
    row::Row,
    target::{Kind, Target, Way},
    trouble::{During, Result, Trouble},
};

/// Acquires under way at a time.
const AT_ONCE: usize = 256;
/// Between the grants and what counts.
const SETTLE: Duration = Duration::from_secs(3);

/// Seconds in which each lock is renewed once. What was watched for less says nothing.
pub(crate) const ROUND: f64 = 100.0;
/// For how long the figures were watched.
pub(crate) const WATCHED: &str = "watched s";
/// In percent of one core.
pub(crate) const SERVER: &str = "server % of a core";
/// In percent of one core.
pub(crate) const DATABASE: &str = "database % of a core";
/// The most that the server ever had.
pub(crate) const MEMORY: &str = "server VmHWM MiB";

pub(super) async fn measure(lab: &mut Lab) {
    for kind in [Kind::LockServerPostgres, Kind::LockServerSqlite] {
        if !lab.options.measures(kind) {
            continue;
        }
        let locks = lab.options.keep_alive_locks;
        let case = format!("{locks} locks");
        let mut row = Row::new(Scenario::KeepAlive.name(), kind, Way::Stream, 1, case);
        // The memory is to be that of these locks: a server of its own.
        let target = match kind {
            Kind::LockServerPostgres => on_postgres(lab).await,
            _ => on_sqlite(lab).await,
        };
        let done = match target {
            Ok(target) => hold(lab, &target, locks, &mut row).await,
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = done {
            row.fail(trouble);
        }
        lab.rows.push(row);
    }
}

async fn on_postgres(lab: &mut Lab) -> Result<Target> {
    Target::lock_server(&lab.lock_server()?, lab.database().await?.as_ref()).await
}

async fn on_sqlite(lab: &Lab) -> Result<Target> {
    Target::lock_server_sqlite(&lab.lock_server()?).await
}

async fn hold(lab: &Lab, target: &Target, locks: u32, row: &mut Row) -> Result<()> {
    let start = Instant::now();
    let client = LockClient::connect(target.url()).during("connect to the server")?;
    let guards: Vec<LockGuard> = stream::iter(0..locks)
        .map(|number| client.acquire((KIND, format!("held-{number:07}")), AcquireOptions::new()))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .during("acquire a lock")?;
    row.add("grants/s", f64::from(locks) / start.elapsed().as_secs_f64());
    eprintln!("keep-alive: {locks} locks are held after {:.0?}", start.elapsed());

    tokio::time::sleep(SETTLE.min(lab.options.keep_alive_seconds)).await;
    let before = target.meter().read();
    let start = Instant::now();
    tokio::time::sleep(lab.options.keep_alive_seconds).await;
    let used = target.meter().read().since(before);
    let percent = |seconds: f64| 100.0 * seconds / start.elapsed().as_secs_f64();
    row.add(WATCHED, start.elapsed().as_secs_f64());
    row.add(SERVER, percent(used.server.unwrap_or(0.0)));
    if let Some(seconds) = used.database {
        row.add(DATABASE, percent(seconds));
    }
    row.add("client % of a core", percent(used.tool));
    if let Some(pid) = target.meter().server {
        row.add("server VmRSS MiB", cpu::memory_mib(pid, "VmRSS").unwrap_or(f64::NAN));
        row.add(MEMORY, cpu::memory_mib(pid, "VmHWM").unwrap_or(f64::NAN));
    }
    let lost = guards.iter().filter_map(|guard| guard.check().err()).collect::<Vec<_>>();
    if let Some(first) = lost.first() {
        row.fail(Trouble::failed(format!("{} locks were lost, the first: {first}", lost.len())));
    }
    client.release_all().await.during("release all locks")?;
    drop(guards);
    Ok(())
}
