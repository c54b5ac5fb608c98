//! What has changed about a plan since it was last seen, a line each, and how
//! it stands when it rests.

use proto::plan::v1::{Plan, PlanState, Step, StepState};
use service_kit::cli::{
    Style, escape,
    escape::escaped,
    span,
    time::{between, seconds},
};

use super::{
    card::{ended_with, next, took},
    progress::{complete, of_phase},
    words,
};

/// For people: what is another than it was. Of a plan that is seen for the first
/// time, where it stands and which steps have begun.
pub(crate) fn changes(before: Option<&Plan>, plan: &Plan, style: Style) -> Vec<String> {
    let moved = before.is_none_or(|before| {
        (before.phase, before.state, before.generation) != (plan.phase, plan.state, plan.generation)
    });
    let mut stands = moved.then(|| stand(plan, style));
    let mut lines = Vec::new();
    // What is seen to begin is told before its steps, what is seen to end after
    // them.
    if before.is_none() || plan.state() == PlanState::Processing {
        lines.extend(stands.take());
    }
    if plan.cancel_requested && !before.is_some_and(|before| before.cancel_requested) {
        lines.push("told to stop".to_owned());
    }
    let none: &[Step] = &[];
    let lists = [
        ("step", before.map_or(none, |before| &before.steps), plan.steps.as_slice()),
        ("check", before.map_or(none, |before| &before.checks), plan.checks.as_slice()),
    ];
    for (kind, before, now) in lists {
        lines.extend(step_changes(kind, before, now, style));
    }
    lines.extend(stands);
    lines
}

/// Where it stands, and why if it is not well.
fn stand(plan: &Plan, style: Style) -> String {
    let (phase, state) = (words::phase(plan.phase()), plan.state());
    let state = words::paint_state(state)(style, words::state(state));
    match &plan.problem {
        Some(problem) => {
            let message = escape::line(&problem.message);
            match words::reason(problem, plan.state()) {
                Some(reason) => format!("{phase} {state}: {reason}: {message}"),
                None => format!("{phase} {state}: {message}"),
            }
        }
        None => format!("{phase} {state}"),
    }
}

fn step_changes(kind: &str, before: &[Step], now: &[Step], style: Style) -> Vec<String> {
    let changed = |(at, step): (usize, &Step)| {
        let was = before.get(at).filter(|was| was.name == step.name);
        let was = was.map_or(StepState::Waiting, Step::state);
        (was != step.state()).then(|| step_line(kind, step, style))
    };
    now.iter().enumerate().filter_map(changed).collect()
}

fn step_line(kind: &str, step: &Step, style: Style) -> String {
    let state = words::paint_step(step.state())(style, words::step_state(step.state()));
    let mut line = format!("{kind} {} {state}", escaped(&step.name));
    // A step whose program has ended runs on until what it changed is committed.
    if step.state() == StepState::Running {
        return line;
    }
    if step.end_time.is_some() && step.start_time.is_some() {
        line.push_str(&format!(" in {}", took(step)));
    }
    match ended_with(step).as_str() {
        "" | "exit code 0" => line,
        how => format!("{line}: {how}"),
    }
}

/// For people: a line with its time before it.
pub(crate) fn with_time(plan: &Plan, line: &str) -> String {
    match plan.update_time {
        Some(time) => format!("{}  {line}", seconds(time)),
        None => line.to_owned(),
    }
}

/// For people: how a plan that rests well stands, and what one can do next.
pub(crate) fn summary(plan: &Plan, style: Style) -> String {
    let mut text = stand(plan, style);
    let (what, steps) = of_phase(plan);
    if !steps.is_empty() {
        text.push_str(&format!(
            ", {} of {}",
            complete(steps),
            words::count(steps.len() as u64, what)
        ));
    }
    if let Some(span) = from_first_to_last(steps) {
        text.push_str(&format!(" in {span}"));
    }
    if let Some(merge) = &plan.merge {
        let (commit, branch) = (words::short(&merge.merge_commit), words::branch(&merge.branch));
        text.push_str(&format!(", merged as {commit} into {branch}"));
    }
    format!("{text}\n{}", next(plan, style))
}

fn from_first_to_last(steps: &[Step]) -> Option<String> {
    let key = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
    let start = steps.iter().filter_map(|step| step.start_time).min_by_key(key)?;
    let end = steps.iter().filter_map(|step| step.end_time).max_by_key(key)?;
    Some(span::human(between(start, end)))
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use proto::plan::v1::{PlanPhase, Problem};

    use super::*;

    fn plan(state: PlanState, steps: &[(&str, StepState)]) -> Plan {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let step = |&(name, state): &(&str, StepState)| Step {
            name: name.to_owned(),
            state: state.into(),
            start_time: time(10).filter(|_| state != StepState::Waiting),
            end_time: time(75).filter(|_| matches!(state, StepState::Complete | StepState::Failed)),
            exit_code: match state {
                StepState::Complete => Some(0),
                StepState::Failed => Some(3),
                _ => None,
            },
            ..Step::default()
        };
        Plan {
            plan_id: "p-1".to_owned(),
            phase: PlanPhase::Execute.into(),
            state: state.into(),
            update_time: time(80),
            steps: steps.iter().map(step).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn each_change_has_a_line_and_nothing_else_has() {
        let style = Style::plain();
        let (waiting, running) = (StepState::Waiting, StepState::Running);
        let mut first = plan(PlanState::Processing, &[("a", running), ("b", waiting)]);
        first.steps[0].end_time = Some(Timestamp { seconds: 75, nanos: 0 });
        assert_eq!(changes(None, &first, style), ["EXECUTE PROCESSING", "step a RUNNING"]);
        assert!(changes(Some(&first), &first, style).is_empty());
        let mut then = plan(PlanState::Processing, &[("a", StepState::Complete), ("b", running)]);
        then.cancel_requested = true;
        let lines = ["told to stop", "step a COMPLETE in 1m 5s", "step b RUNNING"];
        assert_eq!(changes(Some(&first), &then, style), lines);
        let mut end =
            plan(PlanState::Errored, &[("a", StepState::Complete), ("b", StepState::Failed)]);
        end.cancel_requested = true;
        end.problem = Some(Problem {
            reason: "STEP_FAILED".to_owned(),
            message: "b\u{1b} failed".to_owned(),
            ..Problem::default()
        });
        let lines = [
            "step b FAILED in 1m 5s: exit code 3",
            "EXECUTE ERRORED: STEP_FAILED: b\\u{1b} failed",
        ];
        assert_eq!(changes(Some(&then), &end, style), lines);
        assert_eq!(with_time(&end, "x"), "1970-01-01T00:01:20Z  x");
        let mut cancelled = Plan { state: PlanState::Cancelled.into(), ..end.clone() };
        cancelled.problem = Some(Problem {
            reason: "CANCELLED".to_owned(),
            message: "cancelled: why".to_owned(),
            ..Problem::default()
        });
        assert_eq!(changes(Some(&end), &cancelled, style), ["EXECUTE CANCELLED: cancelled: why"]);
    }

    #[test]
    fn a_plan_that_rests_says_how_far_it_came() {
        let mut plan = plan(PlanState::Complete, &[("a", StepState::Complete)]);
        plan.possible_moves = vec!["apply".to_owned()];
        plan.head_commit = "abc".to_owned();
        let expected = "EXECUTE COMPLETE, 1 of 1 step in 1m 5s\n\n\
                        Possible next\n  planctl diff p-1\n  planctl apply p-1\n";
        assert_eq!(summary(&plan, Style::plain()), expected);
        let strategized = Plan { phase: PlanPhase::Strategize.into(), ..plan };
        assert!(summary(&strategized, Style::plain()).starts_with("STRATEGIZE COMPLETE\n"));
    }
}
