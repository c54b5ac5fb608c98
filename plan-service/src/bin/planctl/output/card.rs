//! One thing by itself, a line for each thing that is known about it.

use prost_types::Timestamp;
use proto::plan::v1::{
    Action, Parameter, Plan, PlanEvent, PlanState, Problem, Project, Step, StepTemplate,
};
use service_kit::cli::{
    Style,
    escape::{self, escaped, shell_word},
    hold, span,
    table::{Cell, Table},
    time::{between, seconds, since},
};

use super::{Lock, progress::bar, words};

/// How many files of a problem to show.
const MOST_FILES: usize = 20;
/// How many columns there are beside the names of lines, where nobody says.
const WIDTH: usize = 72;

/// For people: a project.
pub(crate) fn project_card(project: &Project) -> String {
    in_lines(vec![
        ("name", escaped(&project.name)),
        ("path", escape::line(&project.path)),
        ("registered", time(project.create_time)),
    ])
}

/// For people: an action, with its commands.
pub(crate) fn action_card(action: &Action, style: Style) -> String {
    let mut lines = vec![("name", escaped(&action.name))];
    if !action.description.is_empty() {
        let words: Vec<_> = action.description.lines().map(escape::line).collect();
        lines.push(("description", words.join(&format!("\n{:<12}", ""))));
    }
    lines.push(("created", time(action.create_time)));
    let mut text = in_lines(lines);
    let parameters: Vec<_> = action.parameters.iter().map(parameter).collect();
    section(&mut text, "Parameters", &parameters, style);
    section(&mut text, "Steps", &templates(&action.steps), style);
    section(&mut text, "Checks", &templates(&action.checks), style);
    text
}

fn section(text: &mut String, name: &str, lines: &[String], style: Style) {
    if !lines.is_empty() {
        text.push_str(&format!("\n{}\n", style.heading(name)));
        text.extend(lines.iter().map(|line| format!("  {line}\n")));
    }
}

fn parameter(parameter: &Parameter) -> String {
    let mut line =
        format!("{}  {}", escaped(&parameter.name), words::parameter_type(parameter.r#type()));
    if !parameter.choices.is_empty() {
        let choices: Vec<_> = parameter.choices.iter().map(|choice| escaped(choice)).collect();
        line.push_str(&format!(" ({})", choices.join(", ")));
    }
    match &parameter.default_value {
        Some(default) => line.push_str(&format!(", default {}", quoted(default))),
        None => line.push_str(", required"),
    }
    if !parameter.description.is_empty() {
        line.push_str(&format!(": {}", escape::line(&parameter.description)));
    }
    line
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\\""))
}

fn templates(steps: &[StepTemplate]) -> Vec<String> {
    let line = |step: &StepTemplate| {
        let mut words = vec![format!("{}:", escaped(&step.name)), command(&step.argv)];
        if !step.env.is_empty() {
            let env = step.env.iter().map(|(name, value)| (name.clone(), value.clone()));
            words.push(format!("(env {})", hold::words(&env.collect())));
        }
        if let Some(limit) = step.time_limit.and_then(|limit| limit.try_into().ok()) {
            words.push(format!("(at most {})", span::human(limit)));
        }
        if !step.group.is_empty() {
            words.push(format!("(beside its neighbours of {})", escaped(&step.group)));
        }
        words.join(" ")
    };
    steps.iter().map(line).collect()
}

/// A command as one would type it.
fn command(argv: &[String]) -> String {
    argv.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// For people: a plan, its id first. What one can do next comes last.
pub(crate) fn plan_card(plan: &Plan, lock: &Lock, style: Style) -> String {
    let mut lines = vec![
        ("plan", escaped(&plan.plan_id)),
        ("action", escaped(&plan.action)),
        ("project", escaped(&plan.project)),
    ];
    if !plan.arguments.is_empty() {
        let arguments = plan.arguments.iter().map(|(name, value)| (name.clone(), value.clone()));
        lines.push(("arguments", hold::words(&arguments.collect())));
    }
    lines.push(("phase", words::phase(plan.phase()).to_owned()));
    lines.push(("state", state(plan, style)));
    if let Some(problem) = &plan.problem {
        lines.push(("problem", problem_text(problem, plan.state(), style)));
    }
    if let Some(bar) = bar(plan, WIDTH, style) {
        lines.push(("progress", bar));
    }
    if let Some(strategy) = &plan.strategy {
        let (base, branch) = (words::short(&strategy.base_commit), &strategy.base_branch);
        lines.push(("base", format!("{base} of {}", words::branch(branch))));
    }
    if !plan.head_commit.is_empty() {
        lines.push(("head", words::short(&plan.head_commit)));
    }
    if let Some(merge) = &plan.merge {
        let (commit, branch) = (words::short(&merge.merge_commit), words::branch(&merge.branch));
        lines.push(("merged", format!("{commit} into {branch}")));
    }
    if let Some(run) = &plan.run {
        let since = time(run.start_time);
        lines.push(("run", format!("at {} since {since}", escaped(&run.instance))));
    }
    if let Some(words) = lock.words(style) {
        lines.push(("lock", words));
    }
    lines.push(("created", time(plan.create_time)));
    lines.push(("updated", time(plan.update_time)));
    let mut text = in_lines(lines);
    if !plan.steps.is_empty() {
        text.push_str(&format!("\n{}", steps_table("STEP", &plan.steps, style)));
    }
    if !plan.checks.is_empty() {
        text.push_str(&format!("\n{}", steps_table("CHECK", &plan.checks, style)));
    }
    text + &next(plan, style)
}

fn state(plan: &Plan, style: Style) -> String {
    let word = words::paint_state(plan.state())(style, words::state(plan.state()));
    if plan.cancel_requested { format!("{word}, told to stop") } else { word }
}

fn problem_text(problem: &Problem, state: PlanState, style: Style) -> String {
    let reason = words::reason(problem, state);
    let reason = reason.map(|reason| format!("{}: ", style.bad(&reason))).unwrap_or_default();
    let message = escape::message(&problem.message).replace('\n', &format!("\n{:<12}", ""));
    let mut text = format!("{reason}{message}");
    for file in problem.files.iter().take(MOST_FILES) {
        text.push_str(&format!("\n{:<12}{}", "", escape::line(file)));
    }
    if problem.files.len() > MOST_FILES {
        text.push_str(&format!("\n{:<12}and {} more", "", problem.files.len() - MOST_FILES));
    }
    text
}

fn steps_table(kind: &'static str, steps: &[Step], style: Style) -> String {
    let mut table = Table::new([kind, "STATE", "STARTED", "TOOK", "OUTPUT", "ENDED WITH"]);
    for step in steps {
        let state = step.state();
        table.push(vec![
            escaped(&step.name).into(),
            Cell::painted(words::step_state(state), words::paint_step(state)),
            step.start_time.map(seconds).unwrap_or_default().into(),
            took(step).into(),
            size(step.output_bytes).into(),
            ended_with(step).into(),
        ]);
    }
    table.render(style)
}

/// How long it took, or takes already by this machine's clock.
pub(super) fn took(step: &Step) -> String {
    match (step.start_time, step.end_time) {
        (Some(start), Some(end)) => span::human(between(start, end)),
        (Some(start), None) => span::human(since(start)),
        (None, _) => String::new(),
    }
}

/// How its program ended, where it did.
pub(super) fn ended_with(step: &Step) -> String {
    match (step.exit_code, step.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        1..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{} GiB", bytes / 1_073_741_824),
    }
}

/// What one can do with it now, as one would type it.
pub(super) fn next(plan: &Plan, style: Style) -> String {
    let mut commands = Vec::new();
    // With the plan, its branch is gone.
    if !plan.head_commit.is_empty() && plan.state() != PlanState::Cancelled {
        commands.push(format!("planctl diff {}", shell_word(&plan.plan_id)));
    }
    let moves = plan.possible_moves.iter().map(String::as_str);
    commands.extend(words::commands(moves, &plan.plan_id));
    if commands.is_empty() {
        return String::new();
    }
    format!("\n{}\n  {}\n", style.heading("Possible next"), commands.join("\n  "))
}

/// For people: the changes of phase and state.
pub(crate) fn history(events: &[PlanEvent], style: Style) -> String {
    let mut table = Table::new(["TIME", "PHASE", "STATE", "TOKEN", "INSTANCE", "PROBLEM"]);
    for event in events {
        let problem = event.problem.as_ref().map(|problem| {
            let reason = words::reason(problem, event.state());
            let reason = reason.map(|reason| format!("{reason}: ")).unwrap_or_default();
            format!("{reason}{}", escape::line(&problem.message))
        });
        table.push(vec![
            time(event.event_time).into(),
            words::phase(event.phase()).into(),
            Cell::painted(words::state(event.state()), words::paint_state(event.state())),
            event.fencing_token.to_string().into(),
            escaped(&event.instance).into(),
            problem.unwrap_or_default().into(),
        ]);
    }
    table.render(style)
}

/// To the second.
fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "unknown".to_owned(), seconds)
}

fn in_lines(lines: Vec<(&str, String)>) -> String {
    lines.into_iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use proto::plan::v1::{Merge, PlanPhase, StepState, Strategy};

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn a_plan_begins_with_its_id_and_ends_with_what_one_can_do() {
        let step = Step {
            name: "fmt".to_owned(),
            state: StepState::Failed.into(),
            start_time: at(0),
            end_time: at(90),
            exit_code: Some(2),
            output_bytes: 2_048,
            ..Step::default()
        };
        let problem = Problem {
            reason: "STEP_FAILED".to_owned(),
            message: "fmt failed\u{1b}[2J\nbadly".to_owned(),
            files: (0..22).map(|n| format!("f{n}")).collect(),
            step: "fmt".to_owned(),
        };
        let plan = Plan {
            plan_id: "p-1".to_owned(),
            phase: PlanPhase::Execute.into(),
            state: PlanState::Errored.into(),
            problem: Some(problem),
            strategy: Some(Strategy {
                base_commit: "0123456789abcdef".to_owned(),
                base_branch: "refs/heads/main".to_owned(),
            }),
            head_commit: "abc".to_owned(),
            merge: Some(Merge { merge_commit: "def".to_owned(), ..Merge::default() }),
            steps: vec![step],
            cancel_requested: true,
            possible_moves: vec!["retry".to_owned(), "cancel".to_owned()],
            ..Plan::default()
        };
        let card = plan_card(&plan, &Lock::Unasked, Style::plain());
        assert!(card.starts_with("plan        p-1\n"), "{card}");
        for line in [
            "state       ERRORED, told to stop\n",
            "problem     STEP_FAILED: fmt failed\\u{1b}[2J\n            badly\n            f0\n",
            "            and 2 more\n",
            "progress    [----------------------------------------] 0 of 1 step, 0 %\n",
            "base        0123456789ab of main\n",
            "merged      def into \n",
            "fmt   FAILED  1970-01-01T00:00:00Z  1m 30s  2 KiB   exit code 2\n",
        ] {
            assert!(card.contains(line), "{line:?} is missing: {card}");
        }
        let end = "Possible next\n  planctl diff p-1\n  planctl retry p-1\n  planctl cancel p-1\n";
        assert!(card.ends_with(end), "{card}");
    }

    #[test]
    fn a_diff_is_offered_where_there_is_one() {
        let offered = |state: PlanState, head_commit: &str| {
            let head_commit = head_commit.to_owned();
            let plan = Plan { state: state.into(), head_commit, ..Plan::default() };
            next(&plan, Style::plain()).contains("planctl diff")
        };
        assert!(offered(PlanState::Complete, "abc"));
        assert!(offered(PlanState::Applied, "abc"));
        assert!(!offered(PlanState::Complete, ""));
        assert!(!offered(PlanState::Cancelled, "abc"));
    }

    #[test]
    fn that_a_plan_is_cancelled_is_said_once() {
        let problem = Problem {
            reason: "CANCELLED".to_owned(),
            message: "cancelled: not needed".to_owned(),
            ..Problem::default()
        };
        let state = PlanState::Cancelled.into();
        let event = PlanEvent { state, problem: Some(problem.clone()), ..PlanEvent::default() };
        let plan = Plan { state, problem: Some(problem), ..Plan::default() };
        let card = plan_card(&plan, &Lock::Unasked, Style::plain());
        assert!(card.contains("problem     cancelled: not needed\n"), "{card}");
        let history = history(&[event], Style::plain());
        assert!(!history.contains("CANCELLED: "), "{history}");
        assert!(history.contains("cancelled: not needed"), "{history}");
    }

    #[test]
    fn an_action_shows_what_it_runs() {
        let action = Action {
            name: "edit/x".to_owned(),
            description: "two\nlines".to_owned(),
            parameters: vec![Parameter {
                name: "n".to_owned(),
                r#type: 4,
                choices: vec!["a".to_owned(), "b".to_owned()],
                default_value: Some("a".to_owned()),
                description: "which".to_owned(),
            }],
            steps: vec![StepTemplate {
                name: "s".to_owned(),
                argv: vec!["sed".to_owned(), "s/{{n}}/x y/".to_owned()],
                env: [("A".to_owned(), "1".to_owned())].into(),
                time_limit: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
                group: "g".to_owned(),
            }],
            ..Action::default()
        };
        let card = action_card(&action, Style::plain());
        for line in [
            "description two\n            lines\n",
            "  n  choice (a, b), default \"a\": which\n",
            "  s: sed 's/{{n}}/x y/' (env A=1) (at most 1m 30s) (beside its neighbours of g)\n",
        ] {
            assert!(card.contains(line), "{line:?} is missing: {card}");
        }
        assert!(!card.contains("Checks"), "{card}");
    }

    #[test]
    fn sizes_are_round() {
        let sizes = [0, 5, 2_000, 3 << 20, 4 << 30].map(size);
        assert_eq!(sizes, ["", "5 B", "1 KiB", "3 MiB", "4 GiB"]);
    }
}
