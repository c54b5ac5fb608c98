//! Latency over load: each level is a share of the highest rate of the closed loop.

use std::sync::Arc;

use super::CALLERS;
use crate::{
    args::Scenario,
    disk,
    lab::Lab,
    load::{Script, closed, open},
    part,
    row::Row,
    target::{Kind, Target, Way},
    trouble::{Result, Trouble},
};

/// Percent of the highest closed-loop rate.
const LEVELS: [u32; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];
/// At half the rate the latency is compared with the disk: in all rounds.
pub(crate) const HALF: &str = "50 %";
/// The figure that it is compared with.
pub(crate) const DISK: &str = "disk commit p50 µs";

const LANES: [(Kind, Way); 6] = [
    (Kind::LockServerPostgres, Way::Unary),
    (Kind::LockServerPostgres, Way::Stream),
    (Kind::LockServerSqlite, Way::Unary),
    (Kind::LockServerSqlite, Way::Stream),
    (Kind::NoStore, Way::Unary),
    (Kind::NoStore, Way::Stream),
];

pub(super) async fn measure(lab: &mut Lab) -> Result<()> {
    let mut lanes = Vec::new();
    for (kind, way) in LANES {
        if !lab.options.measures(kind) {
            continue;
        }
        let target = lab.target(kind).await;
        let highest = match &target {
            Ok(target) => highest(lab, kind, way, target).await,
            Err(trouble) => Err(trouble.clone()),
        };
        lanes.push((kind, way, target, highest));
    }
    let levels: &[u32] = if lab.options.smoke { &[10, 50] } else { &LEVELS };
    let mut rows = Vec::new();
    for &level in levels {
        let case = format!("{level} %");
        let rounds = if case == HALF { lab.options.rounds } else { 1 };
        let mut of_level: Vec<Row> = lanes
            .iter()
            .map(|(kind, way, ..)| {
                Row::new(Scenario::OpenLoop.name(), *kind, *way, CALLERS, case.clone())
            })
            .collect();
        for _ in 0..rounds {
            for ((_, way, target, highest), row) in lanes.iter().zip(&mut of_level) {
                let done = match (target, highest) {
                    (Ok(target), Ok(rate)) => {
                        let rate = rate * f64::from(level) / 100.0;
                        one(lab, target, *way, rate, row).await
                    }
                    (Err(trouble), _) | (_, Err(trouble)) => Err(trouble.clone()),
                };
                if let Err(trouble) = done {
                    row.fail(trouble);
                }
            }
            let commit = disk::commit_micros(if lab.options.smoke { 20 } else { 300 }).await?;
            of_level.iter_mut().for_each(|row| row.add(DISK, commit));
        }
        rows.extend(of_level);
        eprintln!("open-loop: {case} done");
    }
    lab.rows.extend(rows);
    Ok(())
}

/// One target at one rate, with callers of its own: after an error nobody knows what they hold.
async fn one(lab: &Lab, target: &Target, way: Way, rate: f64, row: &mut Row) -> Result<()> {
    let parts = part::own(CALLERS, lab.locks_each());
    let callers = target.callers(way, parts, lab.connections).await?;
    let (_, run) = open(callers, rate, lab.span(), target.meter()).await?;
    row.add("offered pairs/s", rate);
    row.add("pairs/s", run.tally.steps as f64 / run.seconds);
    row.add_latency(&run);
    let cpu = run.cpu.of_target() * 1e6 / (run.tally.steps as f64).max(1.0);
    row.add("target CPU µs", cpu);
    row.add_noise(&run);
    row.add_errors(&run);
    Ok(())
}

/// What the closed loop has reached, or does now.
async fn highest(lab: &Lab, kind: Kind, way: Way, target: &Arc<Target>) -> Result<f64> {
    let measured = lab.row(Scenario::Pairs.name(), kind, way.name(), CALLERS, "");
    if let Some(rate) = measured.and_then(|row| row.figure(Script::Pairs.unit())) {
        return Ok(rate);
    }
    let parts = part::own(CALLERS, lab.locks_each());
    let callers = target.callers(way, parts, lab.connections).await?;
    let (_, run) = closed(callers, Script::Pairs, lab.span(), target.meter()).await?;
    match run.tally.first_error {
        Some(error) => Err(Trouble::failed(error)),
        None if run.tally.steps == 0 => Err(Trouble::failed("nothing was done in the time")),
        None => Ok(run.tally.steps as f64 / run.seconds),
    }
}
