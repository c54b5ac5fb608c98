//! What is measured, one scenario after the other.

mod churn;
pub(crate) mod handoff;
pub(crate) mod handoff_time;
pub(crate) mod keep_alive;
mod lanes;
pub(crate) mod open_loop;
pub(crate) mod size;
mod tune;
pub(crate) mod waiters;

use crate::{
    args::Scenario,
    caller::ROWS,
    compare::{Lane, compare},
    lab::Lab,
    load::Script,
    part,
    target::{Kind, Way},
    trouble::Result,
};

/// The callers of most scenarios.
pub(crate) const CALLERS: usize = 64;
/// The callers that keep a stream busy.
pub(crate) const MANY: usize = 256;

/// All scenarios in their order.
pub(crate) const ALL: [Scenario; 12] = [
    Scenario::Pairs,
    Scenario::OneCaller,
    Scenario::Contended,
    Scenario::Renewals,
    Scenario::Mixed,
    Scenario::Handoff,
    Scenario::HandoffTime,
    Scenario::OpenLoop,
    Scenario::KeepAlive,
    Scenario::Waiters,
    Scenario::Size,
    Scenario::Churn,
];

/// The rows of tuning, which comes before all scenarios.
pub(crate) const TUNING: &str = "tuning";

impl Scenario {
    /// As it is called on the command line and in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::OneCaller => "one-caller",
            Self::Contended => "contended",
            Self::Renewals => "renewals",
            Self::Mixed => "mixed",
            Self::Handoff => "handoff",
            Self::HandoffTime => "handoff-time",
            Self::OpenLoop => "open-loop",
            Self::KeepAlive => "keep-alive",
            Self::Waiters => "waiters",
            Self::Size => "size",
            Self::Churn => "churn",
        }
    }

    /// What it shows, for the reports.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Pairs => {
                "Acquire and release without contention, closed loop: each caller goes round its \
                 own locks. Latencies are those of the acquires; CPU is per pair."
            }
            Self::OneCaller => {
                "One caller alone on one connection. Latencies are those of the acquires; the \
                 releases between them are not timed."
            }
            Self::Contended => {
                "64 callers try to take the same few locks and give back at once what they get. \
                 Latencies and CPU are per attempt."
            }
            Self::Renewals => "64 callers renew the locks that they hold, one after the other.",
            Self::Mixed => {
                "80 % renewals, 15 % acquire and release, 5 % attempts at a lock that another one \
                 holds. Latencies and CPU are per command, a pair being two."
            }
            Self::Handoff => {
                "All callers wait in line for one lock, and who has it gives it back at once and \
                 goes in line again. A hand-off is a turn; latencies are those of the waits, CPU is \
                 per hand-off. Shares are those of one caller in all turns, relative to an even \
                 share: with few turns each, one more or less shows. Of two servers each has half of \
                 the callers. etcd has its lock API, ZooKeeper the usual recipe (an ephemeral \
                 sequential node that watches the one before it), Postgres its advisory locks, which \
                 block a connection for each who waits."
            }
            Self::HandoffTime => {
                "One caller holds the lock, all others wait in line; every few milliseconds it is \
                 given back. Latencies count from just before the release is sent until the next in \
                 line has its answer. Of two servers one has the holder, the other one the next. In \
                 between, in the same rhythm: one committed upsert of a row in the same kind of \
                 database, over a connection of its own, and one empty gRPC call; the ratio is that \
                 of the medians of a round."
            }
            Self::OpenLoop => {
                "Commands come at a fixed rate, a share of the highest closed-loop rate, and each \
                 latency counts from the moment at which the command was due. The disk's commit \
                 is 8 KiB appended and synced in the same file system, measured in between."
            }
            Self::KeepAlive => {
                "One lock-client holds this many locks at the default time to live; what that \
                 costs after the grants are over."
            }
            Self::Waiters => {
                "So many wait for one lock at a new server, over ten connections for 10,000: what \
                 its memory grows by, connections included, and what the wait costs while nothing \
                 happens. Then each has its turn, or all give up."
            }
            Self::Size => {
                "The same 448 rows are locked by the same callers, in a table of this many rows, \
                 half of them held and half free."
            }
            Self::Churn => {
                "256 callers over the stream acquire and release 25,600 locks this many times in \
                 all. Sizes are those at the end of each part."
            }
        }
    }
}

/// Measures all that is asked for.
pub(crate) async fn measure(lab: &mut Lab, mut told: impl FnMut(&Lab, &'static str)) -> Result<()> {
    tune::tune(lab).await;
    told(lab, TUNING);
    for scenario in ALL {
        if !lab.options.wants(scenario) {
            continue;
        }
        match scenario {
            Scenario::Pairs => pairs(lab).await,
            Scenario::OneCaller => one_caller(lab).await,
            Scenario::Contended => contended(lab).await,
            Scenario::Renewals => renewals(lab).await,
            Scenario::Mixed => mixed(lab).await,
            Scenario::Handoff => handoff::measure(lab).await,
            Scenario::HandoffTime => handoff_time::measure(lab).await,
            Scenario::OpenLoop => open_loop::measure(lab).await?,
            Scenario::KeepAlive => keep_alive::measure(lab).await,
            Scenario::Waiters => waiters::measure(lab).await,
            Scenario::Size => size::measure(lab).await,
            Scenario::Churn => churn::measure(lab).await,
        }
        told(lab, scenario.name());
    }
    Ok(())
}

async fn pairs(lab: &mut Lab) {
    let each = lab.locks_each();
    let parts = |lane: Lane| match lane.kind {
        // As many rows in all as 256 callers have.
        Kind::PostgresRows => part::own(lane.callers, each / lane.callers * ROWS),
        _ => part::own(lane.callers, each),
    };
    compare(lab, Scenario::Pairs.name(), "", &lanes::pairs(), Script::Pairs, parts).await;
}

async fn one_caller(lab: &mut Lab) {
    let each = lab.locks_each();
    let parts = |lane: Lane| part::own(lane.callers, each);
    let name = Scenario::OneCaller.name();
    compare(lab, name, "", &lanes::one_caller(), Script::Pairs, parts).await;
}

async fn contended(lab: &mut Lab) {
    for locks in [1, 8] {
        let parts = |lane: Lane| part::shared(lane.callers, locks);
        let case = if locks == 1 { "1 lock" } else { "8 locks" };
        let name = Scenario::Contended.name();
        compare(lab, name, case, &lanes::contended(), Script::Contended, parts).await;
    }
}

async fn renewals(lab: &mut Lab) {
    let each = lab.locks_each();
    let parts = |lane: Lane| part::own(lane.callers, each);
    let name = Scenario::Renewals.name();
    compare(lab, name, "", &lanes::over_grpc(), Script::Renewals, parts).await;
}

async fn mixed(lab: &mut Lab) {
    let each = lab.locks_each();
    let parts = |lane: Lane| part::with_neighbour(lane.callers, each);
    let name = Scenario::Mixed.name();
    compare(lab, name, "", &lanes::over_grpc(), Script::Mixed, parts).await;
}

/// The two stores of `lock-server`, in the two ways to call it.
pub(crate) const OURS: [(Kind, Way); 4] = [
    (Kind::LockServerPostgres, Way::Unary),
    (Kind::LockServerPostgres, Way::Stream),
    (Kind::LockServerSqlite, Way::Unary),
    (Kind::LockServerSqlite, Way::Stream),
];
