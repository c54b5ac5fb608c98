//! One lock among many who wait in line for it: how often it changes hands, and whether all have
//! their turn.

use std::sync::Arc;

use crate::{
    args::Scenario,
    compare::{Prepared, in_turns},
    lab::Lab,
    load::Script,
    part::{self, Part},
    row::Row,
    target::{Kind, Target, Way},
    trouble::Result,
};

/// All callers at one server.
pub(crate) const ONE: &str = "one server";
/// Half of them at each of two servers of one database.
pub(crate) const TWO: &str = "two servers";

/// What the targets are about.
pub(crate) const WAITERS: usize = 16;

/// Ours, by the number of servers.
pub(crate) const OURS: [(Kind, Way, &str); 6] = [
    (Kind::LockServerPostgres, Way::Unary, ONE),
    (Kind::LockServerPostgres, Way::Stream, ONE),
    (Kind::LockServerPostgres, Way::Unary, TWO),
    (Kind::LockServerPostgres, Way::Stream, TWO),
    (Kind::LockServerSqlite, Way::Unary, ONE),
    (Kind::LockServerSqlite, Way::Stream, ONE),
];

/// What else lets its callers wait, without polling.
const OTHERS: [(Kind, Way, &str); 3] = [
    (Kind::Etcd, Way::Own, ONE),
    (Kind::Zookeeper, Way::Own, ONE),
    (Kind::PostgresAdvisory, Way::Own, ONE),
];

/// What is measured of what is asked for.
pub(super) fn lanes(lab: &Lab) -> Vec<(Kind, Way, &'static str)> {
    let all = OURS.into_iter().chain(OTHERS);
    all.filter(|(kind, ..)| lab.options.measures(*kind)).collect()
}

/// The servers of a lane.
pub(super) async fn targets(lab: &mut Lab, kind: Kind, servers: &str) -> Result<Vec<Arc<Target>>> {
    if servers == TWO {
        return lab.two_servers().await;
    }
    lab.target(kind).await.map(|target| vec![target])
}

/// A row that says what a reader must know of this target here.
pub(super) fn row(scenario: Scenario, lane: (Kind, Way, &str), callers: usize) -> Row {
    let (kind, way, servers) = lane;
    let mut row = Row::new(scenario.name(), kind, way, callers, servers);
    if kind == Kind::PostgresAdvisory {
        row.note = "a connection for each waiter; not durable, no lease, tells nothing";
    }
    row
}

/// A lock of their own for those of a lane: if one lane goes wrong, the next does not wait for it.
pub(super) fn parts(scenario: Scenario, way: Way, callers: usize) -> Vec<Part> {
    part::in_line(callers, &format!("{}-{}-{callers}", scenario.name(), way.name()))
}

pub(super) async fn measure(lab: &mut Lab) {
    let counts: &[usize] = if lab.options.smoke { &[WAITERS] } else { &[2, WAITERS, 256] };
    for &waiters in counts {
        let mut prepared = Vec::new();
        for lane in lanes(lab) {
            let (kind, way, servers) = lane;
            prepared.push(Prepared {
                row: row(Scenario::Handoff, lane, waiters),
                targets: targets(lab, kind, servers).await,
                way,
                parts: parts(Scenario::Handoff, way, waiters),
                connections: lab.connections,
            });
        }
        let rows = in_turns(prepared, Script::HandOffs, lab.span(), lab.options.rounds).await;
        lab.rows.extend(rows);
    }
}
