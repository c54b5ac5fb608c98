//! How a plan stands, kept up to date on a terminal: drawn, and drawn over.

use std::io::{self, Write as _};

use proto::plan::v1::{Plan, Step, StepState};
use service_kit::cli::{Style, escape, escape::escaped};

use super::{
    Lock,
    card::{ended_with, took},
    progress::{bar, of_phase},
    words,
};

/// Lines are cut off at the right margin: one that went on below it could not be
/// taken back.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// Takes away everything below.
const CLEAR: &str = "\r\u{1b}[J";

/// Lines beside those of the steps.
const FRAME: usize = 8;

/// The view. It stays on the terminal as it was drawn last.
#[derive(Debug)]
pub(crate) struct Live {
    drawn: usize,
}

impl Live {
    /// With nothing drawn yet.
    pub(crate) fn new() -> Self {
        Self { drawn: 0 }
    }

    /// Draws it, over what was drawn before.
    pub(crate) fn draw(&mut self, plan: &Plan, lock: &Lock, note: Option<&str>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let (width, height) = terminal_size::terminal_size()
            .map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
        let lines = frame(plan, lock, note, (width, height), Style::of(&io::stdout()));
        let up = match self.drawn {
            0 => String::new(),
            drawn => format!("\u{1b}[{drawn}A"),
        };
        self.drawn = lines.len();
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        stdout.write_all(format!("{up}{CLEAR}{NO_WRAP}{text}{WRAP}").as_bytes())?;
        stdout.flush()
    }
}

/// What is to be seen, on so many columns and lines.
fn frame(
    plan: &Plan,
    lock: &Lock,
    note: Option<&str>,
    (width, height): (usize, usize),
    style: Style,
) -> Vec<String> {
    let state = plan.state();
    let mut lines = vec![
        format!(
            "{}  {} on {}",
            escaped(&plan.plan_id),
            escaped(&plan.action),
            escaped(&plan.project)
        ),
        format!(
            "{} {}{}",
            style.heading(words::phase(plan.phase())),
            words::paint_state(state)(style, words::state(state)),
            if plan.cancel_requested { ", told to stop" } else { "" },
        ),
    ];
    if let Some(bar) = bar(plan, width, style) {
        let (_, steps) = of_phase(plan);
        lines.push(bar);
        lines.extend(step_lines(steps, height.saturating_sub(FRAME).max(3), style));
    }
    lines.extend(lock.words(style).map(|words| format!("lock  {words}")));
    if let Some(problem) = &plan.problem {
        let reason = words::reason(problem, plan.state());
        let reason = reason.map(|reason| format!("{}: ", style.bad(&reason))).unwrap_or_default();
        lines.push(format!("{reason}{}", escape::line(&problem.message)));
    }
    if let Some(note) = note {
        lines.push(style.warning(&escape::line(note)));
    }
    lines
}

/// As many as there is room for: around the first that is not done.
fn step_lines(steps: &[Step], most: usize, style: Style) -> Vec<String> {
    let line = |step: &Step| {
        let state = step.state();
        let padded = format!("{:<8}", words::step_state(state));
        let mut line =
            format!("  {} {}", words::paint_step(state)(style, &padded), escaped(&step.name));
        for more in [took(step), ended_with(step)] {
            if !more.is_empty() && more != "exit code 0" {
                line.push_str(&format!("  {more}"));
            }
        }
        line
    };
    if steps.len() <= most {
        return steps.iter().map(line).collect();
    }
    let room = most - 1;
    let now = steps.iter().position(|step| step.state() != StepState::Complete);
    let now = now.unwrap_or(steps.len() - 1);
    let from = now.saturating_sub(room / 3).min(steps.len() - room);
    let mut lines: Vec<_> = steps[from..from + room].iter().map(line).collect();
    let others = steps.len() - room;
    lines.push(format!("  and {}", words::count(others as u64, "other")));
    lines
}

#[cfg(test)]
mod tests {
    use proto::plan::v1::{PlanPhase, PlanState, Problem};

    use super::*;

    fn steps(done: usize, all: usize) -> Vec<Step> {
        let step = |at: usize| Step {
            name: format!("s{at}"),
            state: match at {
                at if at < done => StepState::Complete,
                at if at == done => StepState::Running,
                _ => StepState::Waiting,
            }
            .into(),
            ..Step::default()
        };
        (0..all).map(step).collect()
    }

    fn plan(steps: Vec<Step>) -> Plan {
        Plan {
            plan_id: "p-1".to_owned(),
            action: "edit/x".to_owned(),
            project: "sample".to_owned(),
            phase: PlanPhase::Execute.into(),
            state: PlanState::Processing.into(),
            steps,
            ..Plan::default()
        }
    }

    fn lines(plan: &Plan, height: usize) -> Vec<String> {
        frame(plan, &Lock::NotHeld, Some("interrupted"), (80, height), Style::plain())
    }

    #[test]
    fn the_bar_and_the_steps_say_how_far_it_is() {
        let mut plan = plan(steps(1, 4));
        plan.problem = Some(Problem { reason: "R".to_owned(), ..Problem::default() });
        assert_eq!(
            lines(&plan, 24),
            [
                "p-1  edit/x on sample",
                "EXECUTE PROCESSING",
                "[##########------------------------------] 1 of 4 steps, 25 %",
                "  COMPLETE s0",
                "  RUNNING  s1",
                "  WAITING  s2",
                "  WAITING  s3",
                "lock  not held",
                "R: ",
                "interrupted",
            ]
        );
    }

    #[test]
    fn it_never_has_more_lines_than_the_terminal() {
        for (done, all) in [(0, 1_000), (500, 1_000), (999, 1_000), (1_000, 1_000)] {
            for height in [11, 24, 50] {
                let mut plan = plan(steps(done, all));
                plan.problem = Some(Problem::default());
                let lines = lines(&plan, height);
                assert!(lines.len() < height, "{} of {height}", lines.len());
                let running = format!("s{}", done.min(all - 1));
                assert!(lines.iter().any(|line| line.ends_with(&running)), "{running}: {lines:#?}");
            }
        }
    }

    #[test]
    fn a_phase_without_steps_has_no_bar() {
        let plan = Plan { phase: PlanPhase::Strategize.into(), ..plan(steps(0, 3)) };
        let expected =
            ["p-1  edit/x on sample", "STRATEGIZE PROCESSING", "lock  not held", "interrupted"];
        assert_eq!(lines(&plan, 24), expected);
    }

    #[test]
    fn a_lock_that_nobody_has_asked_for_has_no_line() {
        let frame = frame(&plan(Vec::new()), &Lock::Unasked, None, (80, 24), Style::plain());
        assert_eq!(frame, ["p-1  edit/x on sample", "EXECUTE PROCESSING"]);
    }
}
