//! What has to be chosen before anything is compared: how many connections are best for gRPC
//! itself, for Redis and for ZooKeeper, and how many the obvious server should have to its database.

use std::sync::Arc;

use clap::ValueEnum as _;

use super::{CALLERS, MANY, TUNING};
use crate::{
    args::Scenario,
    compare::{Prepared, in_turns},
    lab::Lab,
    load::Script,
    part,
    row::Row,
    target::{Connections, Kind, Target, Way},
};

/// The scenarios in which targets are compared with each other.
const COMPARED: [Scenario; 5] = [
    Scenario::Pairs,
    Scenario::OneCaller,
    Scenario::Contended,
    Scenario::Renewals,
    Scenario::Mixed,
];

/// Those in which ZooKeeper is one of them, and Redis and the obvious server are not.
const HANDED_ON: [Scenario; 2] = [Scenario::Handoff, Scenario::HandoffTime];
/// Those that need no choice.
const ALONE: [Scenario; 2] = [Scenario::KeepAlive, Scenario::Waiters];

/// Tries out what is not given.
pub(super) async fn tune(lab: &mut Lab) {
    if lab.options.smoke {
        return;
    }
    let wanted = |lab: &Lab, kind| {
        lab.options.measures(kind) && COMPARED.into_iter().any(|it| lab.options.wants(it))
    };
    if lab.options.connections.is_none() {
        if Scenario::value_variants().iter().any(|it| lab.options.wants(*it) && !ALONE.contains(it))
        {
            lab.connections.unary = connections(lab, Kind::NoStore, Way::Unary, CALLERS).await;
            lab.connections.stream = connections(lab, Kind::NoStore, Way::Stream, CALLERS).await;
        }
        if wanted(lab, Kind::Redis) {
            lab.connections.redis = connections(lab, Kind::Redis, Way::Own, MANY).await;
        }
        let in_line = HANDED_ON.into_iter().any(|it| lab.options.wants(it));
        if wanted(lab, Kind::Zookeeper) || (in_line && lab.options.measures(Kind::Zookeeper)) {
            lab.connections.zookeeper = connections(lab, Kind::Zookeeper, Way::Own, MANY).await;
        }
    }
    if wanted(lab, Kind::Obvious) {
        lab.pool = pool(lab).await;
    }
}

/// How many connections are best for a target.
async fn connections(lab: &mut Lab, kind: Kind, way: Way, callers: usize) -> usize {
    let choices = [1, 2, 4, 8];
    let target = lab.target(kind).await;
    let lane = |number: usize| Prepared {
        row: Row::new(TUNING, kind, way, callers, format!("connections: {number}")),
        targets: target.clone().map(|target| vec![target]),
        way,
        parts: part::own(callers, lab.locks_each()),
        connections: Connections::all(number),
    };
    let lanes = choices.map(lane).into_iter().collect();
    best(lab, &choices, lanes).await
}

/// How many connections are best for the obvious server.
async fn pool(lab: &mut Lab) -> u32 {
    let choices = [8, 16, 32, 64];
    let database = lab.database().await;
    let mut lanes = Vec::new();
    for size in choices {
        let target = match &database {
            Ok(database) => Target::obvious(database, size).await.map(Arc::new),
            Err(trouble) => Err(trouble.clone()),
        };
        let case = format!("pool: {size}");
        lanes.push(Prepared {
            row: Row::new(TUNING, Kind::Obvious, Way::Unary, CALLERS, case),
            targets: target.map(|target| vec![target]),
            way: Way::Unary,
            parts: part::own(CALLERS, lab.locks_each()),
            connections: lab.connections,
        });
    }
    best(lab, &choices, lanes).await
}

/// The choice with the highest rate; the first, if there is none.
async fn best<T: Copy>(lab: &mut Lab, choices: &[T], lanes: Vec<Prepared>) -> T {
    let mut span = lab.span();
    span.time = span.time.mul_f64(0.5);
    let rows = in_turns(lanes, Script::Pairs, span, lab.options.rounds.min(3)).await;
    let rate = |row: &Row| row.figure(Script::Pairs.unit()).unwrap_or(0.0);
    let mut found = (choices[0], 0.0);
    for (&choice, row) in choices.iter().zip(&rows) {
        // A later one must be better by more than noise.
        if rate(row) > found.1 * 1.03 {
            found = (choice, rate(row));
        }
    }
    lab.rows.extend(rows);
    found.0
}
