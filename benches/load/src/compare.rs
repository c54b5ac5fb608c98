//! Measuring side by side: all lanes in turns, round after round, so that the noise of the machine
//! hits all alike.

use std::sync::Arc;

use crate::{
    caller::Caller,
    lab::Lab,
    load::{Script, Span, closed},
    part::Part,
    row::Row,
    target::{Connections, Kind, Target, Way, callers_of_all, meter_of_all},
    trouble::{Result, Trouble},
};

/// One target, called in one way by so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    pub(crate) callers: usize,
}

/// A lane with everything that it needs.
pub(crate) struct Prepared {
    pub(crate) row: Row,
    /// One, or servers of one database, among which the callers are shared out.
    pub(crate) targets: Result<Vec<Arc<Target>>>,
    pub(crate) way: Way,
    pub(crate) parts: Vec<Part>,
    pub(crate) connections: Connections,
}

impl Lane {
    pub(crate) fn new(kind: Kind, way: Way, callers: usize) -> Self {
        Self { kind, way, callers }
    }
}

/// Measures the lanes that are asked for, in a closed loop, and adds their rows.
pub(crate) async fn compare(
    lab: &mut Lab,
    scenario: &'static str,
    case: &str,
    lanes: &[Lane],
    script: Script,
    parts: impl Fn(Lane) -> Vec<Part>,
) {
    let mut prepared = Vec::with_capacity(lanes.len());
    for &lane in lanes {
        if !lab.options.measures(lane.kind) {
            continue;
        }
        prepared.push(Prepared {
            row: Row::new(scenario, lane.kind, lane.way, lane.callers, case),
            targets: lab.target(lane.kind).await.map(|target| vec![target]),
            way: lane.way,
            parts: parts(lane),
            connections: lab.connections,
        });
    }
    let rows = in_turns(prepared, script, lab.span(), lab.options.rounds).await;
    lab.rows.extend(rows);
}

/// Measures the lanes in turns.
pub(crate) async fn in_turns(
    lanes: Vec<Prepared>,
    script: Script,
    span: Span,
    rounds: u32,
) -> Vec<Row> {
    let mut running = Vec::with_capacity(lanes.len());
    for lane in lanes {
        running.push(Running::start(lane).await);
    }
    for round in 1..=rounds {
        for lane in &mut running {
            lane.round(script, span).await;
            lane.tell(round, script);
        }
    }
    running.into_iter().map(|lane| lane.row).collect()
}

/// A lane whose callers are connected, unless something went wrong.
struct Running {
    row: Row,
    ready: Option<(Vec<Arc<Target>>, Vec<Caller>)>,
}

impl Running {
    async fn start(lane: Prepared) -> Self {
        let Prepared { mut row, targets, way, parts, connections } = lane;
        let ready = async {
            let targets = targets?;
            let callers = callers_of_all(&targets, way, parts, connections).await?;
            Ok::<_, Trouble>((targets, callers))
        };
        match ready.await {
            Ok(ready) => Self { row, ready: Some(ready) },
            Err(trouble) => {
                row.fail(trouble);
                Self { row, ready: None }
            }
        }
    }

    async fn round(&mut self, script: Script, span: Span) {
        let Some((targets, callers)) = self.ready.take() else { return };
        match closed(callers, script, span, meter_of_all(&targets)).await {
            Ok((callers, run)) => {
                self.row.add_run(&run, script);
                // After an error it is not known what the callers hold.
                self.ready = self.row.trouble.is_none().then_some((targets, callers));
            }
            Err(trouble) => self.row.fail(trouble),
        }
    }

    /// What goes on, for whoever waits.
    fn tell(&self, round: u32, script: Script) {
        let Row { scenario, case, target, way, callers, trouble, .. } = &self.row;
        let last = self.row.figures().find(|(name, _)| *name == script.unit());
        let last = last.and_then(|(_, rounds)| rounds.last());
        let what = match (trouble, last) {
            (Some(trouble), _) => trouble.to_string(),
            (None, Some(rate)) => format!("{rate:.0} {}", script.unit()),
            (None, None) => String::new(),
        };
        let case = if case.is_empty() { String::new() } else { format!(" ({case})") };
        eprintln!("{scenario}{case}, round {round}: {target} {way} {callers}: {what}");
    }
}
