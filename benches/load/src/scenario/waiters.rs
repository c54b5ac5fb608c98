//! Many who wait for one lock: what each costs the server, and that all of them end well.

use std::time::{Duration, Instant};

use proto::lock::v1::{GetLockRequest, Lock, Resource, lock_service_client::LockServiceClient};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use super::{OURS, handoff::ONE};
use crate::{
    args::Scenario,
    caller::{Caller, Grant, connect},
    cpu,
    lab::Lab,
    part::{self, KIND, Part},
    row::Row,
    target::{Connections, Kind, Target, Way},
    trouble::{During, Result, Trouble},
};

/// On one connection; `lock-server` allows 1,024 calls at a time.
const A_CONNECTION: usize = 1_000;
/// Go in line at a time: a server takes at most 10,000 commands that the store has not answered.
const AT_ONCE: usize = 1_000;
/// Nobody's wait is over before all of this is.
const WAIT: Duration = Duration::from_secs(30 * 60);
/// Neither coming nor going may take longer.
const LIMIT: Duration = Duration::from_secs(3 * 60);
/// Between the last arrival and what counts.
const SETTLE: Duration = Duration::from_secs(2);
/// Pairs before anything counts, so that what a server makes once is there.
const WARM_UP: usize = 200;

/// Fewer say nothing about the memory of one.
pub(crate) const ENOUGH: u32 = 5_000;
/// Of memory, by what the server has grown.
pub(crate) const EACH: &str = "KiB a waiter";

/// Who holds the lock, and asks about it.
struct Holder {
    caller: Caller,
    client: LockServiceClient<Channel>,
    resource: Resource,
}

pub(super) async fn measure(lab: &mut Lab) {
    for (kind, way) in OURS {
        if !lab.options.measures(kind) {
            continue;
        }
        let waiters = lab.options.waiters as usize;
        let mut row = Row::new(Scenario::Waiters.name(), kind, way, waiters, ONE);
        row.note = match way {
            Way::Stream => "each had its turn",
            _ => "all gave up",
        };
        if let Err(trouble) = wait(lab, kind, way, waiters, &mut row).await {
            row.fail(trouble);
        }
        lab.rows.push(row);
    }
}

async fn wait(lab: &mut Lab, kind: Kind, way: Way, waiters: usize, row: &mut Row) -> Result<()> {
    // The memory is to be that of these waiters: a server of its own.
    let program = lab.lock_server()?;
    let target = match kind {
        Kind::LockServerPostgres => {
            Target::lock_server(&program, lab.database().await?.as_ref()).await?
        }
        _ => Target::lock_server_sqlite(&program).await?,
    };
    let mut parts = part::in_line(waiters + 1, "waited-for");
    let first = parts.remove(0);
    let mut holder = Holder::new(&target, first).await?;
    let before = memory(&target)?;
    row.add("VmRSS before, MiB", before);

    let connections = Connections::all(waiters.div_ceil(A_CONNECTION));
    let callers = target.callers(way, parts, connections).await?;
    let start = Instant::now();
    let mut line = come(callers, &mut holder).await?;
    row.add("in line/s", waiters as f64 / start.elapsed().as_secs_f64());
    eprintln!("waiters: {waiters} are in line after {:.0?}", start.elapsed());
    tokio::time::sleep(SETTLE.min(lab.options.seconds)).await;
    cost(&target, lab.options.seconds, row).await;
    let with = memory(&target)?;
    row.add("VmRSS with, MiB", with);
    if let Some(peak) = target.meter().server.and_then(|pid| cpu::memory_mib(pid, "VmHWM")) {
        row.add("VmHWM, MiB", peak);
    }
    row.add(EACH, (with - before) * 1024.0 / waiters as f64);

    let start = Instant::now();
    let end = async {
        if way == Way::Stream {
            holder.caller.release(0).await?;
            while let Some(ended) = line.join_next().await {
                ended.during("go on")??;
            }
            row.add("hand-offs/s", waiters as f64 / start.elapsed().as_secs_f64());
        } else {
            line.abort_all();
            holder.until_in_line(0).await?;
            row.add("gone/s", waiters as f64 / start.elapsed().as_secs_f64());
            holder.caller.release(0).await?;
        }
        Ok::<_, Trouble>(())
    };
    match tokio::time::timeout(LIMIT, end).await {
        Ok(done) => done?,
        Err(_) => {
            let left = holder.lock().await?.map_or(0, |lock| lock.queue_length);
            return Err(Trouble::failed(format!("{left} still wait after {LIMIT:?}")));
        }
    }
    row.add("VmRSS after, MiB", memory(&target)?);
    holder.check_that_it_is_free().await
}

/// All go in line, and each gives the lock back as soon as it has it.
async fn come(callers: Vec<Caller>, holder: &mut Holder) -> Result<JoinSet<Result<()>>> {
    let mut line = JoinSet::new();
    let mut callers = callers.into_iter();
    loop {
        let some: Vec<Caller> = callers.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(line);
        }
        for mut caller in some {
            line.spawn(async move {
                caller.wait_for(0, WAIT).await?;
                caller.release(0).await
            });
        }
        // Nobody can be through as long as the lock is held.
        let all = line.len() as u64;
        tokio::select! {
            in_line = holder.until_in_line(all) => in_line?,
            Some(ended) = line.join_next() => {
                ended.during("go on")??;
                return Err(Trouble::failed("a wait ended while another one held the lock"));
            }
        }
    }
}

/// What it takes to wait, with nothing happening.
async fn cost(target: &Target, time: Duration, row: &mut Row) {
    let before = target.meter().read();
    let start = Instant::now();
    tokio::time::sleep(time).await;
    let used = target.meter().read().since(before);
    let percent = |seconds: f64| 100.0 * seconds / start.elapsed().as_secs_f64();
    row.add("server % of a core", percent(used.server.unwrap_or(0.0)));
    if let Some(seconds) = used.database {
        row.add("database % of a core", percent(seconds));
    }
}

fn memory(target: &Target) -> Result<f64> {
    let found = target.meter().server.and_then(|pid| cpu::memory_mib(pid, "VmRSS"));
    found.ok_or_else(|| Trouble::failed("the server is gone"))
}

// === impl Holder ===

impl Holder {
    /// Takes the lock that all want.
    async fn new(target: &Target, part: Part) -> Result<Self> {
        let id = part.resources.first().cloned().unwrap_or_default();
        let callers = target.callers(Way::Unary, vec![part], Connections::all(1)).await?;
        let caller = callers.into_iter().next();
        let mut caller = caller.ok_or_else(|| Trouble::failed("there is no caller"))?;
        for _ in 0..WARM_UP {
            caller.acquire(0).await?;
            caller.release(0).await?;
        }
        if caller.acquire(0).await? != Grant::Granted {
            return Err(Trouble::failed("a conflict at a new server"));
        }
        let channel = connect(target.url(), 1).await?.into_iter().next();
        let channel = channel.ok_or_else(|| Trouble::failed("there is no connection"))?;
        let client = LockServiceClient::new(channel);
        Ok(Self { caller, client, resource: Resource::new(KIND, id) })
    }

    /// The lock, if anybody holds it.
    async fn lock(&mut self) -> Result<Option<Lock>> {
        let request = GetLockRequest { resource: Some(self.resource.clone()) };
        match self.client.get_lock(request).await {
            Ok(answer) => Ok(answer.into_inner().lock),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status).during("ask for the lock"),
        }
    }

    /// Until so many wait.
    async fn until_in_line(&mut self, waiters: u64) -> Result<()> {
        let latest = Instant::now() + LIMIT;
        loop {
            let waiting = match self.lock().await? {
                Some(lock) => lock.queue_length,
                None => return Err(Trouble::failed("the lock was lost")),
            };
            if waiting == waiters {
                return Ok(());
            }
            if Instant::now() > latest {
                let problem = format!("{waiting} wait and not {waiters} after {LIMIT:?}");
                return Err(Trouble::failed(problem));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nobody has it, and nobody waits: it can be taken at once.
    async fn check_that_it_is_free(mut self) -> Result<()> {
        if let Some(lock) = self.lock().await? {
            let Lock { owner_id, queue_length, .. } = lock;
            let problem = format!("{owner_id} still has the lock, and {queue_length} wait for it");
            return Err(Trouble::failed(problem));
        }
        match self.caller.acquire(0).await? {
            Grant::Granted => self.caller.release(0).await,
            Grant::Conflict => Err(Trouble::failed("the lock is free and cannot be had")),
        }
    }
}
