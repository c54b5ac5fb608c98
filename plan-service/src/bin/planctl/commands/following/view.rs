//! What is shown of a plan that is followed, to the end: the exit code.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write as _},
};

use proto::plan::v1::{Plan, PlanPhase, PlanState, StepState, watch_plan_response::Event};
use serde_json::json;
use service_kit::cli::{Failure, Output, Style, escape::shell_word};
use tokio::signal::unix::Signal;

use super::{Follower, Told};
use crate::{
    exit,
    failure::verdict,
    output::{Printer, changes, json, summary, with_time},
};

/// SIGINT, by its number.
const SIGINT: i32 = 2;

/// What people see, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Changes and what the steps write, on standard output.
    Everything,
    /// Changes alone, on standard output.
    Changes,
    /// What the steps write, on standard output, and changes on standard error.
    Work,
}

/// Shows it all, until the plan rests or somebody presses Ctrl-C. `begun` is the
/// plan as it was before.
pub(crate) async fn show(
    mut follower: Follower,
    mut interrupt: Signal,
    begun: &Plan,
    view: View,
    output: Output,
) -> Result<u8, Failure> {
    let mut screen = Screen::new(view, begun, output);
    loop {
        let told = tokio::select! {
            biased;
            _ = interrupt.recv() => {
                screen.close()?;
                return Ok(interrupted(follower.last().unwrap_or(begun), output));
            }
            told = follower.next() => told,
        };
        match told {
            Ok(Some(told)) => screen.tell(&told)?,
            Ok(None) => break,
            Err(failure) => {
                screen.close()?;
                return Err(failure);
            }
        }
    }
    screen.close()?;
    match follower.last() {
        Some(plan) => rests(plan, view, output),
        None => Err(Failure::new("INTERNAL", "plan-service told nothing of the plan")),
    }
}

/// The end: how it stands, and what one can do next.
fn rests(plan: &Plan, view: View, output: Output) -> Result<u8, Failure> {
    let code = verdict(plan)?;
    if !output.is_json() && view != View::Everything {
        let text = summary(plan, Style::of(&io::stdout()));
        // Its first line says what the changes have said.
        let text = match view {
            View::Work => text.as_str(),
            _ => text.split_once('\n').map_or("", |(_, rest)| rest),
        };
        io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(code)
}

/// Ctrl-C ends the looking on, and nothing else.
pub(crate) fn interrupted(plan: &Plan, output: Output) -> u8 {
    let id = shell_word(&plan.plan_id);
    let message = format!(
        "not looking on any more, and the plan goes on: `planctl status {id} --follow` shows it, \
         `planctl cancel {id}` ends it"
    );
    output.warning(&Failure::new("INTERRUPTED", message).with("plan_id", &plan.plan_id));
    exit::by_signal(SIGINT)
}

/// What was shown so far.
#[derive(Debug)]
struct Screen {
    view: View,
    output: Output,
    last: Option<Plan>,
    printer: Printer,
    /// Steps that were complete before: what they wrote is not of this run.
    before: BTreeSet<String>,
    /// The last line on standard output has no end yet.
    open: bool,
}

impl Screen {
    fn new(view: View, begun: &Plan, output: Output) -> Self {
        let stdout = io::stdout();
        let named = several(begun, view);
        Self {
            view,
            output,
            last: (view == View::Work).then(|| as_before(begun)),
            printer: Printer::new(stdout.is_terminal(), named, Style::of(&stdout)),
            before: if view == View::Work { complete(begun) } else { BTreeSet::new() },
            open: false,
        }
    }

    fn tell(&mut self, told: &Told) -> io::Result<()> {
        if self.output.is_json() {
            return self.output.line(|| document(told), |_| None);
        }
        match told {
            Told::Interrupted { words, .. } => {
                self.end_line()?;
                self.output.note(words);
                Ok(())
            }
            Told::Event(Event::Plan(plan)) => self.plan(plan),
            Told::Event(Event::Output(part)) if self.view != View::Changes => {
                if !part.check && self.before.contains(&part.step) {
                    return Ok(());
                }
                let text = self.printer.part(part);
                self.write(&text)
            }
            Told::Event(_) => Ok(()),
        }
    }

    fn plan(&mut self, plan: &Plan) -> io::Result<()> {
        for (check, steps) in [(false, &plan.steps), (true, &plan.checks)] {
            for step in steps.iter().filter(|step| step.state() != StepState::Running) {
                let rest = self.printer.ended(check, &step.name);
                self.write(&rest)?;
            }
        }
        let on_stderr = self.view == View::Work;
        let style = if on_stderr { Style::plain() } else { Style::of(&io::stdout()) };
        let lines = changes(self.last.as_ref(), plan, style);
        self.last = Some(plan.clone());
        if lines.is_empty() {
            return Ok(());
        }
        self.end_line()?;
        for line in lines {
            match on_stderr {
                true => self.output.note(&line),
                false => self.write(format!("{}\n", with_time(plan, &line)).as_bytes())?,
            }
        }
        Ok(())
    }

    /// Ends a line that a step has left open, where a line of ours comes next to
    /// it. A file gets the step's own bytes.
    fn end_line(&mut self) -> io::Result<()> {
        let beside = self.view != View::Work || io::stdout().is_terminal();
        if self.open && beside { self.write(b"\n") } else { Ok(()) }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let Some(&last) = text.last() else { return Ok(()) };
        self.open = last != b'\n';
        let mut stdout = io::stdout().lock();
        stdout.write_all(text)?;
        stdout.flush()
    }

    /// What waited for more that does not come.
    fn close(&mut self) -> io::Result<()> {
        let rest = self.printer.finish();
        self.write(&rest)?;
        self.end_line()
    }
}

fn document(told: &Told) -> serde_json::Value {
    match told {
        Told::Event(event) => json::event(event),
        Told::Interrupted { reason, message, .. } => {
            json!({"interrupted": {"reason": reason, "message": message}})
        }
    }
}

/// What people know of a run that begins: nothing but the steps that it does not
/// run.
fn as_before(begun: &Plan) -> Plan {
    let mut plan = Plan { state: PlanState::Unspecified.into(), ..begun.clone() };
    for step in plan.steps.iter_mut().chain(&mut plan.checks) {
        if step.state() != StepState::Complete {
            step.state = StepState::Waiting.into();
        }
    }
    plan
}

/// Whether lines need the name of their step.
fn several(plan: &Plan, view: View) -> bool {
    let (steps, checks) = (plan.steps.len(), plan.checks.len());
    match (view, plan.phase()) {
        (View::Work, PlanPhase::Apply) => checks > 1,
        (View::Work, _) => steps > 1,
        _ => steps + checks > 1,
    }
}

/// The steps that a run which begins so does not run.
fn complete(plan: &Plan) -> BTreeSet<String> {
    let complete = plan.steps.iter().filter(|step| step.state() == StepState::Complete);
    complete.map(|step| step.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proto::plan::v1::Step;

    use super::*;

    fn steps(names: &[(&str, StepState)]) -> Vec<Step> {
        let step = |&(name, state): &(&str, StepState)| Step {
            name: name.to_owned(),
            state: state.into(),
            ..Step::default()
        };
        names.iter().map(step).collect()
    }

    #[test]
    fn steps_of_before_are_those_that_are_complete() {
        let plan = Plan {
            steps: steps(&[("a", StepState::Complete), ("b", StepState::Failed)]),
            checks: steps(&[("test", StepState::Complete)]),
            ..Plan::default()
        };
        assert_eq!(complete(&plan), BTreeSet::from(["a".to_owned()]));
    }

    #[test]
    fn lines_have_names_where_there_are_several_steps() {
        let one = Plan {
            phase: PlanPhase::Execute.into(),
            steps: steps(&[("a", StepState::Running)]),
            checks: steps(&[("b", StepState::Waiting), ("c", StepState::Waiting)]),
            ..Plan::default()
        };
        assert!(!several(&one, View::Work));
        assert!(several(&one, View::Everything));
        let applied = Plan { phase: PlanPhase::Apply.into(), ..one };
        assert!(several(&applied, View::Work));
    }
}
