//! The words of the contract, as people read them.

use proto::plan::v1::{ChangeKind, ParameterType, PlanPhase, PlanState, Problem, StepState};
use service_kit::cli::{Style, escape};

/// `EXECUTE`
pub(crate) fn phase(phase: PlanPhase) -> &'static str {
    phase.as_str_name().trim_start_matches("PLAN_PHASE_")
}

/// `PROCESSING`
pub(crate) fn state(state: PlanState) -> &'static str {
    state.as_str_name().trim_start_matches("PLAN_STATE_")
}

/// The reason of a problem, where the state does not say it already.
pub(crate) fn reason(problem: &Problem, of: PlanState) -> Option<String> {
    (problem.reason != state(of)).then(|| escape::escaped(&problem.reason))
}

/// `RUNNING`
pub(crate) fn step_state(state: StepState) -> &'static str {
    state.as_str_name().trim_start_matches("STEP_STATE_")
}

/// `integer`
pub(crate) fn parameter_type(r#type: ParameterType) -> String {
    r#type.as_str_name().trim_start_matches("PARAMETER_TYPE_").to_lowercase()
}

/// The letter that git has for it.
pub(crate) fn letter(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "A",
        ChangeKind::Modified | ChangeKind::ModeChanged => "M",
        ChangeKind::Deleted => "D",
        ChangeKind::Renamed => "R",
        ChangeKind::TypeChanged => "T",
        ChangeKind::Unspecified => "?",
    }
}

/// How a plan's state is coloured.
pub(crate) fn paint_state(state: PlanState) -> fn(Style, &str) -> String {
    match state {
        PlanState::Complete | PlanState::Applied => Style::good,
        PlanState::Errored => Style::bad,
        PlanState::Constrained | PlanState::Processing => Style::warning,
        _ => |_, text| text.to_owned(),
    }
}

/// How a step's state is coloured.
pub(crate) fn paint_step(state: StepState) -> fn(Style, &str) -> String {
    match state {
        StepState::Complete => Style::good,
        StepState::Failed => Style::bad,
        StepState::Running | StepState::Stopped => Style::warning,
        _ => |_, text| text.to_owned(),
    }
}

/// Moves as one would type them. Those that `planctl` has no command for are
/// left out.
pub(crate) fn commands<'a>(moves: impl Iterator<Item = &'a str>, plan_id: &str) -> Vec<String> {
    const COMMANDS: [&str; 5] = ["execute", "apply", "revert", "retry", "cancel"];
    moves
        .filter(|one| COMMANDS.contains(one))
        .map(|one| format!("planctl {one} {}", escape::shell_word(plan_id)))
        .collect()
}

/// The first lines, indented, and how many more there are.
pub(crate) fn at_most(lines: &[String], most: usize) -> String {
    let mut shown: Vec<_> = lines.iter().take(most).map(|line| format!("  {line}")).collect();
    if lines.len() > most {
        shown.push(format!("  and {} more", lines.len() - most));
    }
    shown.join("\n")
}

/// A number of things.
pub(crate) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// The first digits of a commit, as git shows it.
pub(crate) fn short(commit: &str) -> String {
    escape::escaped(&commit.chars().take(12).collect::<String>())
}

/// A branch without what all branches begin with.
pub(crate) fn branch(name: &str) -> String {
    escape::escaped(name.strip_prefix("refs/heads/").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_prefix() {
        assert_eq!(phase(PlanPhase::Execute), "EXECUTE");
        assert_eq!(state(PlanState::Processing), "PROCESSING");
        assert_eq!(step_state(StepState::Running), "RUNNING");
        assert_eq!(parameter_type(ParameterType::Choice), "choice");
        assert_eq!(branch("refs/heads/main"), "main");
        assert_eq!(short("0123456789abcdef"), "0123456789ab");
    }

    #[test]
    fn only_moves_that_can_be_typed_are_shown() {
        let moves = ["strategize", "apply", "rm -rf"].into_iter();
        assert_eq!(commands(moves, "a b"), ["planctl apply 'a b'"]);
    }

    #[test]
    fn long_lists_are_cut() {
        let lines = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(at_most(&lines, 3), "  a\n  b\n  c");
        assert_eq!(at_most(&lines, 1), "  a\n  and 2 more");
        assert_eq!((count(1, "step"), count(2, "step")), ("1 step".into(), "2 steps".into()));
    }
}
