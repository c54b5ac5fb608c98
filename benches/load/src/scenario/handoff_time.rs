//! From a release to the answer of the next in line, and beside it what a hand-off cannot do
//! without: a commit and a call.
//!
//! One caller holds the lock and the others stand in line, each with its call under way. After a
//! pause, long enough for the last one to have come into line, the lock is given back; who has it
//! then holds it through the next pause. What stands beside it is measured in those pauses, so that
//! it finds the machine as cold or as warm, and as busy.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::handoff::{WAITERS, lanes, parts, row, targets};
use crate::{
    args::Scenario,
    caller::Caller,
    disk::SqliteFile,
    lab::Lab,
    load::{Span, WAIT, histogram, micros},
    part,
    row::Row,
    target::{Connections, Kind, Target, Way, callers_of_all},
    trouble::{During, Result, Trouble},
};

/// Between two things that are timed.
const PAUSE: Duration = Duration::from_millis(2);
/// What no round may take beside its time.
const STUCK: Duration = Duration::from_secs(60);

/// How many callers there are, the holder included.
pub(crate) const CALLERS: [usize; 2] = [2, WAITERS];
/// A hand-off at the median, as a multiple of one commit and one empty call.
pub(crate) const RATIO: &str = "p50 / (commit + call)";

/// A lane that is ready, unless something went wrong.
struct Lane {
    row: Row,
    ready: Option<Ready>,
}

/// What goes through the rounds. All of it comes back when nothing went wrong.
struct Ready {
    callers: Vec<Caller>,
    beside: Option<Beside>,
    // They end after their callers.
    targets: Vec<Arc<Target>>,
}

/// What is measured in the pauses.
struct Beside {
    commit: Commit,
    call: Caller,
}

/// One row, committed.
enum Commit {
    Postgres(Box<Caller>),
    Sqlite(SqliteFile),
}

/// What came of a round, in nanoseconds.
struct Times {
    handed_on: Histogram<u32>,
    commit: Histogram<u32>,
    call: Histogram<u32>,
    out_of_turn: u64,
}

/// One who has come to the front.
struct Turn {
    caller: Caller,
    number: usize,
    at: Instant,
}

pub(super) async fn measure(lab: &mut Lab) {
    let counts = if lab.options.smoke { &CALLERS[..1] } else { &CALLERS };
    for &callers in counts {
        let mut running = Vec::new();
        for (kind, way, servers) in lanes(lab) {
            let mut row = row(Scenario::HandoffTime, (kind, way, servers), callers);
            let ready = match ready(lab, kind, way, servers, callers).await {
                Ok(ready) => Some(ready),
                Err(trouble) => {
                    row.fail(trouble);
                    None
                }
            };
            running.push(Lane { row, ready });
        }
        for round in 1..=lab.options.rounds {
            for lane in &mut running {
                lane.round(lab.span()).await;
                lane.tell(round);
            }
        }
        lab.rows.extend(running.into_iter().map(|lane| lane.row));
    }
}

async fn ready(
    lab: &mut Lab,
    kind: Kind,
    way: Way,
    servers: &str,
    callers: usize,
) -> Result<Ready> {
    let targets = targets(lab, kind, servers).await?;
    let parts = parts(Scenario::HandoffTime, way, callers);
    let callers = callers_of_all(&targets, way, parts, lab.connections).await?;
    let commit = match kind {
        Kind::LockServerPostgres => {
            Some(Commit::Postgres(Box::new(alone(lab, Kind::Postgres).await?)))
        }
        Kind::LockServerSqlite => Some(Commit::Sqlite(beside(&targets).await?)),
        _ => None,
    };
    let beside = match commit {
        Some(commit) => Some(Beside { commit, call: alone(lab, Kind::NoStore).await? }),
        None => None,
    };
    Ok(Ready { callers, beside, targets })
}

/// A file beside the server's, on the same disk.
async fn beside(targets: &[Arc<Target>]) -> Result<SqliteFile> {
    let folder = targets.first().and_then(|target| target.folder());
    SqliteFile::open(folder.ok_or_else(|| Trouble::failed("the server has no folder"))?).await
}

/// One caller with a connection of its own.
async fn alone(lab: &mut Lab, kind: Kind) -> Result<Caller> {
    let way = if kind == Kind::NoStore { Way::Unary } else { Way::Own };
    let target = lab.target(kind).await?;
    let callers = target.callers(way, part::own(1, 1), Connections::all(1)).await?;
    callers.into_iter().next().ok_or_else(|| Trouble::failed("there is no caller"))
}

// === impl Lane ===

impl Lane {
    async fn round(&mut self, span: Span) {
        let Some(ready) = self.ready.take() else { return };
        // In a task, as all callers are elsewhere.
        let round = tokio::spawn(hand_on(ready, span));
        let limit = span.warm_up + span.time + STUCK;
        let stop = round.abort_handle();
        let done = match tokio::time::timeout(limit, round).await {
            Ok(done) => done.during("go on").and_then(|done| done),
            Err(_) => {
                stop.abort();
                Err(Trouble::failed(format!("a round was not over after {limit:?}")))
            }
        };
        match done {
            Ok((ready, times)) => {
                times.add_to(&mut self.row);
                self.ready = Some(ready);
            }
            Err(trouble) => self.row.fail(trouble),
        }
    }

    fn tell(&self, round: u32) {
        let Row { scenario, case, target, way, callers, trouble, .. } = &self.row;
        let last = |name: &str| {
            let found = self.row.figures().find(|(known, _)| *known == name);
            found.and_then(|(_, rounds)| rounds.last().copied())
        };
        let what = match (trouble, last("p50 µs")) {
            (Some(trouble), _) => trouble.to_string(),
            (None, Some(p50)) => format!("{p50:.0} µs"),
            (None, None) => String::new(),
        };
        eprintln!("{scenario} ({case}), round {round}: {target} {way} {callers}: {what}");
    }
}

// === impl Times ===

impl Times {
    fn new() -> Self {
        let [handed_on, commit, call] = std::array::from_fn(|_| histogram());
        Self { handed_on, commit, call, out_of_turn: 0 }
    }

    fn add_to(&self, row: &mut Row) {
        if self.handed_on.is_empty() {
            return row.fail(Trouble::failed("nothing was handed on in the time"));
        }
        for (name, quantile) in [("p50 µs", 0.5), ("p90 µs", 0.9), ("p99 µs", 0.99)] {
            row.add(name, micros(&self.handed_on, quantile));
        }
        if !self.commit.is_empty() {
            let [commit, call] = [&self.commit, &self.call].map(|times| micros(times, 0.5));
            row.add("commit p50 µs", commit);
            row.add("empty call p50 µs", call);
            row.add(RATIO, micros(&self.handed_on, 0.5) / (commit + call));
        }
        row.add("hand-offs", self.handed_on.len() as f64);
        row.add("out of turn", self.out_of_turn as f64);
    }
}

/// Lets the lock go round for a time.
async fn hand_on(ready: Ready, span: Span) -> Result<(Ready, Times)> {
    let Ready { callers, mut beside, targets } = ready;
    let mut times = Times::new();
    let mut line = JoinSet::new();
    let mut order = VecDeque::with_capacity(callers.len());
    for (number, caller) in callers.into_iter().enumerate() {
        line.spawn(go_in_line(caller, number));
        order.push_back(number);
        tokio::time::sleep(PAUSE).await;
    }
    let mut holder = next(&mut line).await?;
    order.retain(|number| *number != holder.number);

    let start = Instant::now();
    while start.elapsed() < span.warm_up + span.time {
        let counting = start.elapsed() >= span.warm_up;
        match &mut beside {
            Some(beside) => beside.measure(counting.then_some(&mut times)).await?,
            // The same rhythm for all.
            None => tokio::time::sleep(2 * PAUSE).await,
        }
        tokio::time::sleep(PAUSE).await;
        let Turn { mut caller, number, .. } = holder;
        let sent = Instant::now();
        let (released, granted) = tokio::join!(caller.release(0), next(&mut line));
        released?;
        holder = granted?;
        if counting {
            record(&mut times.handed_on, holder.at.saturating_duration_since(sent));
            times.out_of_turn += u64::from(order.front() != Some(&holder.number));
        }
        order.retain(|number| *number != holder.number);
        line.spawn(go_in_line(caller, number));
        order.push_back(number);
    }

    // Nobody goes in line again: all have their turn once more.
    let mut callers = Vec::with_capacity(line.len() + 1);
    loop {
        let Turn { mut caller, number, .. } = holder;
        caller.release(0).await?;
        callers.push((number, caller));
        if line.is_empty() {
            break;
        }
        holder = next(&mut line).await?;
    }
    callers.sort_by_key(|(number, _)| *number);
    let callers = callers.into_iter().map(|(_, caller)| caller).collect();
    Ok((Ready { callers, beside, targets }, times))
}

async fn go_in_line(mut caller: Caller, number: usize) -> Result<Turn> {
    caller.wait_for(0, WAIT).await?;
    Ok(Turn { caller, number, at: Instant::now() })
}

async fn next(line: &mut JoinSet<Result<Turn>>) -> Result<Turn> {
    let first = line.join_next().await;
    first.ok_or_else(|| Trouble::failed("nobody is in line"))?.during("go on")?
}

fn record(times: &mut Histogram<u32>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

// === impl Beside ===

impl Beside {
    /// A commit and a call, each after a pause.
    async fn measure(&mut self, times: Option<&mut Times>) -> Result<()> {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        match &mut self.commit {
            Commit::Postgres(caller) => drop(caller.acquire(0).await?),
            Commit::Sqlite(file) => file.commit_row().await?,
        }
        let commit = start.elapsed();
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        self.call.acquire(0).await?;
        let call = start.elapsed();
        if let Some(times) = times {
            record(&mut times.commit, commit);
            record(&mut times.call, call);
        }
        Ok(())
    }
}
