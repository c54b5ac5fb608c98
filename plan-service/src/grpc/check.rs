//! Checks a request field by field and notes everything that is wrong with it,
//! so that a caller hears of it all at once.

use std::{fmt::Display, path::PathBuf, time::Duration};

use prost::Message as _;
use proto::plan::v1 as wire;
use service_kit::{check::Violations, grpc};

use super::page::TOKENS;
use crate::{
    domain::{
        ActionDraft, ActionName, ActionTemplate, Name, ParameterDraft, ParameterType, Phase,
        PlanId, State, StepDraft,
    },
    error::PlanError,
};

/// The longest wait for a project's lock.
const MOST_WAIT: Duration = Duration::from_secs(60 * 60);
/// The most bytes of a reason.
const MOST_REASON: usize = 512;
/// The most bytes of a path, which is what Linux allows.
const MOST_PATH: usize = 4_096;
/// The most bytes of an action as a message: it has to fit into answers.
const MOST_ACTION: usize = 1024 * 1024;
/// How many bytes of a patch there are, unless the caller says, and at most.
const PATCH: u32 = 1024 * 1024;
const MOST_PATCH: u32 = 3 * 1024 * 1024;

/// What is wrong with a request so far. A method that finds something wrong
/// notes it and returns `None`.
#[derive(Debug, Default)]
pub(super) struct Check {
    found: Violations,
}

impl Check {
    /// Ends the check.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), PlanError> {
        self.found.finish().map_err(PlanError::Invalid)
    }

    /// The value, once the check has ended well.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish_with<T>(self, value: Option<T>) -> Result<T, PlanError> {
        self.finish()?;
        Ok(value.expect("a value that is missing was noted as wrong"))
    }

    /// A plan's id.
    pub(super) fn plan_id(&mut self, id: &str) -> Option<PlanId> {
        self.found.noted("plan_id", PlanId::parse(id))
    }

    /// The name of a project, or of another thing that is called so.
    pub(super) fn name(&mut self, field: impl Display, name: &str) -> Option<Name> {
        self.found.noted(field, Name::parse(name))
    }

    /// The name of an action.
    pub(super) fn action_name(&mut self, field: impl Display, name: &str) -> Option<ActionName> {
        self.found.noted(field, ActionName::parse(name))
    }

    /// The path of a project on this machine.
    pub(super) fn path(&mut self, path: &str) -> Option<PathBuf> {
        let problem = if path.is_empty() {
            "is missing; write the absolute path of the work tree on the service's machine"
                .to_owned()
        } else if path.len() > MOST_PATH {
            format!("has {} bytes; at most {MOST_PATH} are right", path.len())
        } else if path.chars().any(char::is_control) {
            "holds a control character".to_owned()
        } else if path.starts_with('/') {
            return Some(PathBuf::from(path));
        } else {
            "is not absolute; write the whole path on the service's machine, from / on".to_owned()
        };
        self.found.wrong("path", problem);
        None
    }

    /// A template.
    pub(super) fn action(&mut self, action: Option<wire::Action>) -> Option<ActionTemplate> {
        let Some(action) = action else {
            self.found.wrong("action", "is missing; an action has a name and steps");
            return None;
        };
        let bytes = action.encoded_len();
        if bytes > MOST_ACTION {
            self.found
                .wrong("action", format!("has {bytes} bytes; at most {MOST_ACTION} are right"));
            return None;
        }
        let mut inner = Self::default();
        let draft = inner.draft(action);
        // What the message cannot say well is told beside what the rules say.
        let noted = inner.found.finish().err();
        let checked = draft.check();
        let valid = noted.is_none() && checked.is_ok();
        self.found.extend("action.", noted.into_iter().flatten());
        match checked {
            Ok(template) => valid.then_some(template),
            Err(violations) => {
                self.found.extend("action.", violations);
                None
            }
        }
    }

    fn draft(&mut self, action: wire::Action) -> ActionDraft {
        let wire::Action { name, description, parameters, steps, checks, create_time: _ } = action;
        let parameters = parameters.into_iter().enumerate();
        ActionDraft {
            name,
            description,
            parameters: parameters.map(|(at, one)| self.parameter(at, one)).collect(),
            steps: self.steps("steps", steps),
            checks: self.steps("checks", checks),
        }
    }

    fn parameter(&mut self, at: usize, parameter: wire::Parameter) -> ParameterDraft {
        use wire::ParameterType as Wire;
        let wire::Parameter { name, description, r#type, default_value, choices } = parameter;
        let draft =
            ParameterDraft { name, description, default: default_value, choices, r#type: None };
        let known = match Wire::try_from(r#type) {
            // The rules say that it is missing.
            Ok(Wire::Unspecified) => return draft,
            Ok(Wire::String) => ParameterType::String,
            Ok(Wire::Integer) => ParameterType::Integer,
            Ok(Wire::Boolean) => ParameterType::Boolean,
            Ok(Wire::Choice) => ParameterType::Choice,
            Ok(Wire::Path) => ParameterType::Path,
            Err(_) => {
                let right = "STRING, INTEGER, BOOLEAN, CHOICE or PATH";
                self.unknown::<()>(&format!("parameters[{at}].type"), r#type, right);
                // What the rules would say of it beside that helps nobody.
                let (default, choices) = (None, Vec::new());
                return ParameterDraft {
                    r#type: Some(ParameterType::String),
                    default,
                    choices,
                    ..draft
                };
            }
        };
        ParameterDraft { r#type: Some(known), ..draft }
    }

    fn steps(&mut self, list: &str, steps: Vec<wire::StepTemplate>) -> Vec<StepDraft> {
        let draft = |(at, step): (usize, wire::StepTemplate)| {
            let wire::StepTemplate { name, argv, env, time_limit, group } = step;
            let time_limit = time_limit.as_ref().and_then(|limit| {
                let field = format_args!("{list}[{at}].time_limit");
                self.found.noted(field, grpc::duration(limit))
            });
            StepDraft { name, argv, env: env.into_iter().collect(), time_limit, group }
        };
        steps.into_iter().enumerate().map(draft).collect()
    }

    /// How long to wait for the project's lock; unset means not at all.
    pub(super) fn project_wait(&mut self, wait: Option<&prost_types::Duration>) -> Duration {
        let Some(wait) = wait else { return Duration::ZERO };
        let Some(wait) = self.found.noted("project_wait", grpc::duration(wait)) else {
            return Duration::ZERO;
        };
        if wait > MOST_WAIT {
            let given = humantime::format_duration(wait);
            self.found.wrong("project_wait", format!("is {given}; at most 1h is right"));
        }
        wait
    }

    /// Why somebody ends a plan.
    pub(super) fn reason(&mut self, reason: &str) {
        if reason.len() > MOST_REASON {
            let problem = format!("has {} bytes; at most {MOST_REASON} are right", reason.len());
            self.found.wrong("reason", problem);
        }
        if reason.chars().any(char::is_control) {
            self.found.wrong("reason", "holds a control character; write one line of text");
        }
    }

    /// A phase to filter by; unspecified means all.
    pub(super) fn phase(&mut self, phase: i32) -> Option<Phase> {
        use wire::PlanPhase as Wire;
        match Wire::try_from(phase) {
            Ok(Wire::Unspecified) => None,
            Ok(Wire::Action) => Some(Phase::Action),
            Ok(Wire::Strategize) => Some(Phase::Strategize),
            Ok(Wire::Execute) => Some(Phase::Execute),
            Ok(Wire::Apply) => Some(Phase::Apply),
            Err(_) => self.unknown("phase", phase, "ACTION, STRATEGIZE, EXECUTE or APPLY"),
        }
    }

    /// A state to filter by; unspecified means all.
    pub(super) fn state(&mut self, state: i32) -> Option<State> {
        use wire::PlanState as Wire;
        match Wire::try_from(state) {
            Ok(Wire::Unspecified) => None,
            Ok(Wire::Queued) => Some(State::Queued),
            Ok(Wire::Processing) => Some(State::Processing),
            Ok(Wire::Complete) => Some(State::Complete),
            Ok(Wire::Errored) => Some(State::Errored),
            Ok(Wire::Constrained) => Some(State::Constrained),
            Ok(Wire::Cancelled) => Some(State::Cancelled),
            Ok(Wire::Applied) => Some(State::Applied),
            Err(_) => self.unknown(
                "state",
                state,
                "QUEUED, PROCESSING, COMPLETE, ERRORED, CONSTRAINED, CANCELLED or APPLIED",
            ),
        }
    }

    fn unknown<T>(&mut self, field: &str, number: i32, right: &str) -> Option<T> {
        self.found.wrong(field, format!("is {number}, which is none of {right}"));
        None
    }

    /// The most bytes of a patch.
    pub(super) fn max_bytes(&mut self, most: i32) -> usize {
        let most = match u32::try_from(most) {
            Ok(0) => PATCH,
            Ok(most) => most.min(MOST_PATCH),
            Err(_) => {
                let problem = format!("is {most}; 0 (for {PATCH}) to {MOST_PATCH} are right");
                self.found.wrong("max_bytes", problem);
                PATCH
            }
        };
        usize::try_from(most).expect("a usize has 32 bits or more here")
    }

    /// How many entries a page may have.
    pub(super) fn page_size(&mut self, size: i32) -> u32 {
        self.found.page_size(size)
    }

    /// Where a list goes on.
    pub(super) fn page_token<T>(
        &mut self,
        filters: &[&str],
        token: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        TOKENS.decode(&mut self.found, filters, token, |[cursor]: [String; 1]| read(&cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(check: Check) -> Vec<String> {
        match check.finish() {
            Ok(()) => Vec::new(),
            Err(PlanError::Invalid(violations)) => {
                violations.into_iter().map(|violation| violation.field).collect()
            }
            Err(other) => panic!("not an invalid request: {other}"),
        }
    }

    fn step(name: &str) -> wire::StepTemplate {
        wire::StepTemplate {
            name: name.to_owned(),
            argv: vec!["true".to_owned()],
            ..Default::default()
        }
    }

    fn action() -> wire::Action {
        wire::Action { name: "a/b".to_owned(), steps: vec![step("one")], ..Default::default() }
    }

    #[test]
    fn everything_is_noted_at_once() {
        let mut check = Check::default();
        check.plan_id("../etc");
        check.name("project", "../x");
        check.action_name("action", "fmt");
        check.path("relative/path");
        check.page_size(-1);
        check.max_bytes(-1);
        check.phase(99);
        check.state(-1);
        check.reason(&"x".repeat(513));
        check.page_token(&["ListPlans"], "forged", |text| PlanId::parse(text).ok());
        let expected = [
            "plan_id",
            "project",
            "action",
            "path",
            "page_size",
            "max_bytes",
            "phase",
            "state",
            "reason",
            "page_token",
        ];
        assert_eq!(fields(check), expected);
    }

    #[test]
    fn a_path_is_absolute_and_one_line() {
        for wrong in ["", "a", "./a", "~/a", "/a\nb", &format!("/{}", "a".repeat(5_000))] {
            let mut check = Check::default();
            assert_eq!(check.path(wrong), None, "{wrong:?}");
            assert_eq!(fields(check), ["path"], "{wrong:?}");
        }
        let mut check = Check::default();
        assert_eq!(check.path("/srv/a b/ü"), Some(PathBuf::from("/srv/a b/ü")));
    }

    #[test]
    fn a_wait_is_neither_negative_nor_longer_than_an_hour() {
        let wait = |seconds, nanos| {
            let mut check = Check::default();
            let wait = check.project_wait(Some(&prost_types::Duration { seconds, nanos }));
            check.finish().map(|()| wait).ok()
        };
        assert_eq!(wait(3_600, 0), Some(Duration::from_secs(3_600)));
        assert_eq!(wait(0, 0), Some(Duration::ZERO));
        assert_eq!(wait(3_600, 1), None);
        assert_eq!(wait(-1, 0), None);
        assert_eq!(wait(1, -1), None);
        assert_eq!(Check::default().project_wait(None), Duration::ZERO);
    }

    #[test]
    fn a_patch_has_a_default_and_a_limit() {
        let mut check = Check::default();
        assert_eq!(check.max_bytes(0), 1 << 20);
        assert_eq!(check.max_bytes(7), 7);
        assert_eq!(check.max_bytes(i32::MAX), 3 << 20);
        assert!(fields(check).is_empty());
    }

    #[test]
    fn an_action_is_checked_by_the_fields_of_the_message() {
        let mut check = Check::default();
        assert_eq!(check.action(Some(action())).unwrap().steps[0].argv, ["true"]);
        assert_eq!(check.action(None), None);
        let wrong = wire::Action {
            name: "B".to_owned(),
            parameters: vec![
                wire::Parameter { name: "p".to_owned(), r#type: 99, ..Default::default() },
                wire::Parameter { name: "q".to_owned(), r#type: 0, ..Default::default() },
            ],
            steps: vec![
                wire::StepTemplate {
                    time_limit: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
                    ..step("one")
                },
                step("one"),
            ],
            ..Default::default()
        };
        assert_eq!(check.action(Some(wrong)), None);
        let found = fields(check);
        let expected = [
            "action",
            "action.parameters[0].type",
            "action.steps[0].time_limit",
            "action.name",
            "action.parameters[1].type",
            "action.steps[1].name",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_action_of_a_type_that_is_not_known_is_not_taken() {
        let parameter = wire::Parameter {
            name: "p".to_owned(),
            r#type: 99,
            choices: vec!["a".to_owned()],
            default_value: Some("b\u{7}".to_owned()),
            ..Default::default()
        };
        let mut check = Check::default();
        let wrong = wire::Action { parameters: vec![parameter], ..action() };
        assert_eq!(check.action(Some(wrong)), None);
        assert_eq!(fields(check), ["action.parameters[0].type"]);
    }

    #[test]
    fn an_action_fits_into_an_answer() {
        let mut check = Check::default();
        let argv = vec!["x".repeat(4_000); 300];
        let large =
            wire::Action { steps: vec![wire::StepTemplate { argv, ..step("one") }], ..action() };
        assert_eq!(check.action(Some(large)), None);
        assert_eq!(fields(check), ["action"]);
    }

    #[test]
    fn unspecified_filters_are_none() {
        let mut check = Check::default();
        assert_eq!((check.phase(0), check.state(0)), (None, None));
        assert_eq!(check.phase(wire::PlanPhase::Apply.into()), Some(Phase::Apply));
        assert_eq!(check.state(wire::PlanState::Applied.into()), Some(State::Applied));
        assert!(fields(check).is_empty());
    }
}
