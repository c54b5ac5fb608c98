//! The project's targets, and whether this run meets them.

use crate::{
    args::Scenario,
    lab::Lab,
    row::{OFF_EVEN, median},
    scenario::{CALLERS, MANY, OURS, handoff, handoff_time, keep_alive, open_loop, size, waiters},
    target::{
        Kind::{
            self, Etcd, LockServerPostgres, LockServerSqlite, NoStore, Obvious, Postgres,
            PostgresRows, Redis, Zookeeper,
        },
        Way::{self, Own, Stream, Unary},
    },
};

/// One target.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What it is about.
    pub(crate) figure: String,
    /// What it is compared with.
    pub(crate) against: String,
    /// What must be reached.
    pub(crate) bound: Bound,
    /// What was reached, if all of it was measured.
    pub(crate) measured: Option<f64>,
}

/// What must be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    Below(f64),
}

impl Bound {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Above(bound) => value > bound,
            Self::Below(bound) => value < bound,
        }
    }

    /// As people write it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::Above(bound) => format!("> {bound}"),
            Self::Below(bound) => format!("< {bound}"),
        }
    }
}

impl Goal {
    /// Whether it is met; nothing, if it was not measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.measured.map(|value| self.bound.met(value))
    }
}

/// All of them.
pub(crate) fn goals(lab: &Lab) -> Vec<Goal> {
    let mut goals = throughput(lab);
    goals.extend(latency(lab));
    goals.extend(handing_on(lab));
    goals.extend(waiting(lab));
    goals.extend(keeping_alive(lab));
    goals.extend(size(lab));
    goals
}

const RATE: &str = "pairs/s";

fn throughput(lab: &Lab) -> Vec<Goal> {
    let pairs = |kind: Kind, way: Way, callers: usize, figure: &str| {
        rounds(lab, Scenario::Pairs.name(), kind, way, callers, "", figure)
    };
    let rate = |kind, way, callers| pairs(kind, way, callers, RATE);
    let unary = rate(LockServerPostgres, Unary, CALLERS);
    let stream = rate(LockServerPostgres, Stream, MANY);
    let no_store = rate(NoStore, Unary, CALLERS);
    let ceiling = [1, 2, 4].map(|callers| rate(PostgresRows, Own, callers));
    let ceiling = ceiling.into_iter().flatten();
    let ceiling = ceiling.max_by(|a, b| middle(a).total_cmp(&middle(b)));
    let cpu = |kind| pairs(kind, Unary, CALLERS, "target CPU µs");

    let of_unary = "pairs/s, 64 callers, Postgres, unary";
    let of_stream = "pairs/s, 256 callers over the stream, Postgres";
    let etcd = rate(Etcd, Own, CALLERS);
    let zookeeper = rate(Zookeeper, Own, MANY);
    let rows = [
        (of_unary, "no-store, unary", Bound::AtLeast(0.65), &unary, &no_store),
        (of_unary, "obvious", Bound::AtLeast(2.5), &unary, &rate(Obvious, Unary, CALLERS)),
        (of_unary, "etcd's lock API", Bound::AtLeast(2.0), &unary, &etcd),
        (
            "CPU seconds a pair, server + database, 64 callers, Postgres, unary",
            "no-store, unary",
            Bound::AtMost(1.6),
            &cpu(LockServerPostgres),
            &cpu(NoStore),
        ),
        (of_stream, "no-store, unary, 64 callers", Bound::AtLeast(2.0), &stream, &no_store),
        (of_stream, "ZooKeeper, 256 callers", Bound::AtLeast(2.0), &stream, &zookeeper),
        (of_stream, "Postgres in 256-row statements", Bound::AtLeast(0.5), &stream, &ceiling),
        (
            "pairs/s, 256 callers over the stream, SQLite",
            "Redis, appendfsync always, 256 callers",
            Bound::Above(1.0),
            &rate(LockServerSqlite, Stream, MANY),
            &rate(Redis, Own, MANY),
        ),
        (
            "pairs/s, 64 callers, SQLite, unary",
            "no-store, unary",
            Bound::AtLeast(0.7),
            &rate(LockServerSqlite, Unary, CALLERS),
            &no_store,
        ),
    ];
    rows.into_iter()
        .map(|(figure, against, bound, of, to)| goal(figure, against, bound, ratio(of, to)))
        .collect()
}

fn latency(lab: &Lab) -> Vec<Goal> {
    let p50 = |kind, way| rounds(lab, Scenario::OneCaller.name(), kind, way, 1, "", "p50 µs");
    let upsert = p50(Postgres, Own);
    let one = |way: Way, against: &str| {
        let parts = sum(&upsert, &p50(NoStore, way));
        let figure = format!("p50 of Acquire, one caller, Postgres, {}", way.name());
        let measured = ratio(&p50(LockServerPostgres, way), &parts);
        goal(&figure, against, Bound::AtMost(1.3), measured)
    };
    let half = |way: Way| {
        let figure = |name: &str| {
            let scenario = Scenario::OpenLoop.name();
            rounds(lab, scenario, LockServerPostgres, way, CALLERS, open_loop::HALF, name)
        };
        goal(
            &format!(
                "p99, 64 callers, open loop at half the highest rate, Postgres, {}",
                way.name()
            ),
            "the disk's own commit",
            Bound::AtMost(5.0),
            ratio(&figure("p99 µs"), &figure(open_loop::DISK)),
        )
    };
    vec![
        one(Stream, "one committed upsert + one message over an empty stream"),
        one(Unary, "one committed upsert + one empty call"),
        half(Unary),
        half(Stream),
    ]
}

fn handing_on(lab: &Lab) -> Vec<Goal> {
    let callers = handoff::WAITERS;
    let of = |kind, way, servers, figure| {
        rounds(lab, Scenario::Handoff.name(), kind, way, callers, servers, figure)
    };
    let rate = |kind, way, servers| of(kind, way, servers, "hand-offs/s");
    let others = [(Etcd, "etcd's lock API"), (Zookeeper, "ZooKeeper's recipe")];
    let others = others.map(|(kind, name)| (rate(kind, Own, handoff::ONE), name));
    let mut goals = Vec::new();
    for (kind, way, servers) in handoff::OURS {
        let ours = rate(kind, way, servers);
        let figure = format!("hand-offs/s among {callers}, {}", lane(kind, way, servers));
        for (theirs, name) in &others {
            goals.push(goal(&figure, name, Bound::Above(1.0), ratio(&ours, theirs)));
        }
    }
    for (kind, way, servers) in handoff::OURS {
        goals.push(goal(
            &format!("farthest share from an even one, %, {}", lane(kind, way, servers)),
            "(absolute)",
            Bound::AtMost(10.0),
            of(kind, way, servers, OFF_EVEN).as_deref().and_then(median),
        ));
    }
    for callers in handoff_time::CALLERS {
        for (kind, way, servers) in handoff::OURS {
            let scenario = Scenario::HandoffTime.name();
            let found = rounds(lab, scenario, kind, way, callers, servers, handoff_time::RATIO);
            goals.push(goal(
                &format!(
                    "p50 from release to the next one's answer, {callers} callers, {}",
                    lane(kind, way, servers)
                ),
                "one committed upsert + one empty call",
                Bound::AtMost(2.0),
                found.as_deref().and_then(median),
            ));
        }
    }
    goals
}

fn lane(kind: Kind, way: Way, servers: &str) -> String {
    format!("{}, {}, {servers}", kind.name(), way.name())
}

fn waiting(lab: &Lab) -> Vec<Goal> {
    let count = lab.options.waiters;
    let goals = OURS.into_iter().map(|(kind, way)| {
        let name = Scenario::Waiters.name();
        let found = rounds(lab, name, kind, way, count as usize, handoff::ONE, waiters::EACH);
        let found = found.filter(|_| count >= waiters::ENOUGH);
        goal(
            &format!(
                "server's memory, KiB for each of {count} waiters, {}, {}",
                kind.name(),
                way.name()
            ),
            "(absolute)",
            Bound::Below(4.0),
            found.as_deref().and_then(median),
        )
    });
    goals.collect()
}

fn keeping_alive(lab: &Lab) -> Vec<Goal> {
    let locks = lab.options.keep_alive_locks;
    let case = format!("{locks} locks");
    let of_row = |kind, name| {
        let found = rounds(lab, Scenario::KeepAlive.name(), kind, Stream, 1, &case, name);
        found.as_deref().and_then(median)
    };
    let figure = |kind, name| {
        of_row(kind, keep_alive::WATCHED).filter(|seconds| *seconds >= keep_alive::ROUND)?;
        of_row(kind, name)
    };
    let row = |kind: Kind, what: &str, name, bound: Bound| {
        let what = format!("{locks} locks kept alive, {}: {what}", kind.name());
        goal(&what, "(absolute)", bound, figure(kind, name))
    };
    let percent = Bound::Below(5.0);
    let mib = Bound::Below(64.0);
    vec![
        row(LockServerPostgres, "server, % of a core", keep_alive::SERVER, percent),
        row(LockServerPostgres, "database, % of a core", keep_alive::DATABASE, percent),
        row(LockServerPostgres, "server's memory at its highest, MiB", keep_alive::MEMORY, mib),
        row(LockServerSqlite, "server, % of a core", keep_alive::SERVER, percent),
        row(LockServerSqlite, "server's memory at its highest, MiB", keep_alive::MEMORY, mib),
    ]
}

fn size(lab: &Lab) -> Vec<Goal> {
    let large = lab.options.size_rows;
    let goals = size::LANES.into_iter().map(|(way, callers)| {
        let p50 = |rows| {
            let case = size::case(rows);
            rounds(lab, Scenario::Size.name(), LockServerPostgres, way, callers, &case, "p50 µs")
        };
        goal(
            &format!("p50 with {large} rows, callers: {callers}, Postgres, {}", way.name()),
            &format!("with {} rows", size::SMALL),
            Bound::AtMost(1.2),
            ratio(&p50(large), &p50(size::SMALL)),
        )
    });
    goals.collect()
}

fn goal(figure: &str, against: &str, bound: Bound, measured: Option<f64>) -> Goal {
    Goal { figure: figure.to_owned(), against: against.to_owned(), bound, measured }
}

fn rounds(
    lab: &Lab,
    scenario: &str,
    kind: Kind,
    way: Way,
    callers: usize,
    case: &str,
    figure: &str,
) -> Option<Vec<f64>> {
    Some(lab.row(scenario, kind, way.name(), callers, case)?.rounds(figure)?.to_vec())
}

/// The median over the rounds of one divided by the other: what hit a round hit both.
fn ratio(of: &Option<Vec<f64>>, to: &Option<Vec<f64>>) -> Option<f64> {
    let ratios: Vec<f64> = each(of, to, |a, b| a / b)?;
    median(&ratios)
}

fn sum(a: &Option<Vec<f64>>, b: &Option<Vec<f64>>) -> Option<Vec<f64>> {
    each(a, b, |a, b| a + b)
}

fn each(
    a: &Option<Vec<f64>>,
    b: &Option<Vec<f64>>,
    of: impl Fn(f64, f64) -> f64,
) -> Option<Vec<f64>> {
    Some(a.as_ref()?.iter().zip(b.as_ref()?).map(|(a, b)| of(*a, *b)).collect())
}

fn middle(values: &[f64]) -> f64 {
    median(values).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // The machine was twice as slow in the second round, for both.
        let of = Some(vec![100.0, 50.0, 110.0]);
        let to = Some(vec![50.0, 25.0, 44.0]);
        assert_eq!(ratio(&of, &to), Some(2.0));
        assert_eq!(ratio(&of, &None), None);
    }

    #[test]
    fn bounds_are_what_they_are_called() {
        assert!(Bound::AtLeast(0.65).met(0.65) && !Bound::AtLeast(0.65).met(0.649));
        assert!(Bound::AtMost(1.3).met(1.3) && !Bound::AtMost(1.3).met(1.31));
        assert!(Bound::Above(1.0).met(1.01) && !Bound::Above(1.0).met(1.0));
        assert!(Bound::Below(5.0).met(4.9) && !Bound::Below(5.0).met(5.0));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        assert_eq!(goal("a", "b", Bound::AtLeast(1.0), None).met(), None);
        assert_eq!(goal("a", "b", Bound::AtLeast(1.0), Some(0.5)).met(), Some(false));
    }
}
