//! How far a plan is with the steps or checks of its phase.

use proto::plan::v1::{Plan, PlanPhase, Step, StepState};
use service_kit::cli::Style;

use super::words;

/// How many cells the bar has, where there is room.
const BAR: usize = 40;
/// How few it has anywhere.
const SHORTEST: usize = 10;
/// What stands beside it.
const WORDS: usize = 30;

/// What the phase is made of.
pub(super) fn of_phase(plan: &Plan) -> (&'static str, &[Step]) {
    match plan.phase() {
        PlanPhase::Execute => ("step", &plan.steps),
        PlanPhase::Apply => ("check", &plan.checks),
        _ => ("step", &[]),
    }
}

/// How many are done.
pub(super) fn complete(steps: &[Step]) -> usize {
    steps.iter().filter(|step| step.state() == StepState::Complete).count()
}

/// A bar over them, and their numbers, on so many columns. None of a phase that
/// has no steps.
pub(super) fn bar(plan: &Plan, width: usize, style: Style) -> Option<String> {
    let (what, steps) = of_phase(plan);
    if steps.is_empty() {
        return None;
    }
    let (done, all) = (complete(steps), steps.len());
    let cells = BAR.min(width.saturating_sub(WORDS)).max(SHORTEST);
    let full = cells * done / all;
    let count = words::count(all as u64, what);
    let (full, empty) = ("#".repeat(full), "-".repeat(cells - full));
    let percent = 100 * done / all;
    Some(format!("[{}{empty}] {done} of {count}, {percent} %", style.good(&full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_over_the_steps_of_the_phase() {
        let step = |state: StepState| Step { state: state.into(), ..Step::default() };
        let plan = |phase: PlanPhase| Plan {
            phase: phase.into(),
            steps: vec![step(StepState::Complete), step(StepState::Running)],
            checks: vec![step(StepState::Waiting)],
            ..Plan::default()
        };
        let bar = |phase, width| bar(&plan(phase), width, Style::plain());
        let half = format!("[{}{}] 1 of 2 steps, 50 %", "#".repeat(20), "-".repeat(20));
        assert_eq!(bar(PlanPhase::Execute, 80), Some(half));
        let none = format!("[{}] 0 of 1 check, 0 %", "-".repeat(SHORTEST));
        assert_eq!(bar(PlanPhase::Apply, 20), Some(none));
        assert_eq!(bar(PlanPhase::Strategize, 80), None);
    }
}
