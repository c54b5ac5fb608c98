//! Templates of plans, and what is checked about one: everything that is wrong
//! is told at once.
//!
//! An [`ActionDraft`] is what comes in, from a call or from a TOML file;
//! [`ActionDraft::check`] makes an [`ActionTemplate`] of it.

mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
pub use service_kit::check::Violation;

use super::{ActionName, Name, expand};

/// How long a step may run that does not say.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(600);
/// How long one may ask for.
const TIME_LIMITS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
const MOST_STEPS: usize = 1_000;
const MOST_CHECKS: usize = 100;
const MOST_PARAMETERS: usize = 100;
const MOST_ARGUMENTS: usize = 1_000;
const MOST_TEXT: usize = 4_096;
/// What the names of the variables begin with that the service gives, or that
/// point git elsewhere.
const KEPT: [&str; 3] = ["PLAN_", "LOCK_", "GIT_"];

/// A template, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTemplate {
    /// Its name.
    pub name: ActionName,
    /// For people.
    pub description: String,
    /// What a plan gives it.
    pub parameters: Vec<Parameter>,
    /// What Execute runs.
    pub steps: Vec<StepTemplate>,
    /// What Apply runs before it merges.
    pub checks: Vec<StepTemplate>,
}

/// Something that a plan gives an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Stands in commands as `{{name}}`: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// For people.
    pub description: String,
    /// What values it takes.
    pub r#type: ParameterType,
    /// What it is when a plan does not say.
    pub default: Option<String>,
    /// The values that are allowed, of a choice.
    pub choices: Vec<String>,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// Any text without control characters.
    #[default]
    String,
    /// A whole number that fits into 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of the choices.
    Choice,
    /// A path within the project: relative, without `..`.
    Path,
}

/// A command of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTemplate {
    /// Unique among the steps, and among the checks.
    pub name: Name,
    /// The program and its arguments, with `{{parameter}}` in them.
    pub argv: Vec<String>,
    /// Variables, with `{{parameter}}` in their values.
    pub env: BTreeMap<String, String>,
    /// How long it may run.
    pub time_limit: Duration,
    /// What it may run beside: the steps next to it with the same.
    pub group: Option<Name>,
}

/// A template as it comes in. As a TOML file, its keys are these names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionDraft {
    /// `namespace/name`.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What a plan gives it.
    #[serde(default)]
    pub parameters: Vec<ParameterDraft>,
    /// What Execute runs.
    #[serde(default)]
    pub steps: Vec<StepDraft>,
    /// What Apply runs before it merges.
    #[serde(default)]
    pub checks: Vec<StepDraft>,
}

/// A parameter as it comes in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterDraft {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What values it takes; none: the caller gave one that there is not.
    #[serde(default = "string_type")]
    pub r#type: Option<ParameterType>,
    /// What it is when a plan does not say.
    #[serde(default, deserialize_with = "written::text")]
    pub default: Option<String>,
    /// The values that are allowed, of a choice.
    #[serde(default, deserialize_with = "written::texts")]
    pub choices: Vec<String>,
}

/// A command as it comes in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDraft {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    #[serde(default)]
    pub argv: Vec<String>,
    /// Variables.
    #[serde(default, deserialize_with = "written::variables")]
    pub env: BTreeMap<String, String>,
    /// How long it may run: in a file as `90s`, `10m`.
    #[serde(default, deserialize_with = "written::span")]
    pub time_limit: Option<Duration>,
    /// What it may run beside.
    #[serde(default)]
    pub group: String,
}

fn string_type() -> Option<ParameterType> {
    Some(ParameterType::String)
}

/// What was found wrong so far.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }
}

impl ActionDraft {
    /// Checks everything.
    ///
    /// # Errors
    /// All that is wrong, by the fields' paths.
    pub fn check(self) -> Result<ActionTemplate, Vec<Violation>> {
        let mut found = Found::default();
        let name = ActionName::parse(&self.name);
        if let Err(error) = &name {
            found.wrong("name", error.to_string());
        }
        text(&mut found, "description", &self.description);
        let parameters = parameters(&mut found, self.parameters);
        if self.steps.is_empty() {
            found.wrong("steps", "is empty; an action has at least one step");
        }
        let known: BTreeSet<_> = parameters.iter().map(|one| one.name.as_str()).collect();
        let steps = commands(&mut found, "steps", self.steps, MOST_STEPS, &known);
        let checks = commands(&mut found, "checks", self.checks, MOST_CHECKS, &known);
        for (at, check) in checks.iter().enumerate() {
            if check.group.is_some() {
                found
                    .wrong(format!("checks[{at}].group"), "is set; checks run one after the other");
            }
        }
        match name {
            Ok(name) if found.0.is_empty() => Ok(ActionTemplate {
                name,
                description: self.description,
                parameters,
                steps,
                checks,
            }),
            _ => Err(found.0),
        }
    }
}

fn text(found: &mut Found, field: &str, text: &str) {
    if text.len() > MOST_TEXT {
        found.wrong(field, format!("has {} bytes; at most {MOST_TEXT} are right", text.len()));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        found.wrong(field, "holds a control character");
    }
}

fn parameters(found: &mut Found, drafts: Vec<ParameterDraft>) -> Vec<Parameter> {
    if drafts.len() > MOST_PARAMETERS {
        found.wrong("parameters", format!("are {}; at most {MOST_PARAMETERS}", drafts.len()));
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for (at, draft) in drafts.into_iter().enumerate() {
        let field = |name: &str| format!("parameters[{at}].{name}");
        if Name::parse(&draft.name).is_err() || draft.name.contains('-') {
            found.wrong(field("name"), "is not [a-z][a-z0-9_]{0,62}");
        } else if !names.insert(draft.name.clone()) {
            found.wrong(field("name"), format!("{:?} is there twice", draft.name));
        }
        text(found, &field("description"), &draft.description);
        let Some(r#type) = draft.r#type else {
            found.wrong(field("type"), "is missing: STRING, INTEGER, BOOLEAN, CHOICE or PATH");
            continue;
        };
        match (r#type, draft.choices.is_empty()) {
            (ParameterType::Choice, true) => {
                found.wrong(field("choices"), "is empty; a choice names what can be chosen");
            }
            (ParameterType::Choice, false) => {
                self::choices(found, &field("choices"), &draft.choices);
            }
            (_, true) => {}
            (_, false) => found.wrong(field("choices"), "is set; only a choice has choices"),
        }
        let parameter = Parameter {
            name: draft.name,
            description: draft.description,
            r#type,
            default: draft.default,
            choices: draft.choices,
        };
        if let Some(Err(problem)) =
            parameter.default.as_ref().map(|value| expand::check_value(&parameter, value))
        {
            found.wrong(field("default_value"), problem);
        }
        checked.push(parameter);
    }
    checked
}

/// Each is a value that a plan can give, and is there once.
fn choices(found: &mut Found, field: &str, choices: &[String]) {
    let mut seen = BTreeSet::new();
    for (at, choice) in choices.iter().enumerate() {
        if let Err(problem) = expand::check_plain(choice) {
            found.wrong(format!("{field}[{at}]"), problem);
        } else if !seen.insert(choice) {
            found.wrong(format!("{field}[{at}]"), format!("{choice:?} is there twice"));
        }
    }
}

fn commands(
    found: &mut Found,
    list: &str,
    drafts: Vec<StepDraft>,
    most: usize,
    parameters: &BTreeSet<&str>,
) -> Vec<StepTemplate> {
    if drafts.len() > most {
        found.wrong(list, format!("are {}; at most {most}", drafts.len()));
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for (at, draft) in drafts.into_iter().enumerate() {
        let field = |name: &str| format!("{list}[{at}].{name}");
        let name = Name::parse(&draft.name);
        match &name {
            Err(error) => found.wrong(field("name"), error.to_string()),
            Ok(name) if !names.insert(name.clone()) => {
                found.wrong(field("name"), format!("{:?} is there twice", draft.name));
            }
            Ok(_) => {}
        }
        arguments(found, &field("argv"), &draft.argv, parameters);
        variables(found, &field("env"), &draft.env, parameters);
        let time_limit = draft.time_limit.unwrap_or(DEFAULT_TIME_LIMIT);
        if !TIME_LIMITS.contains(&time_limit) {
            let given = humantime::format_duration(time_limit);
            found.wrong(field("time_limit"), format!("is {given}; 1s to 24h are right"));
        }
        let group = (!draft.group.is_empty()).then(|| Name::parse(&draft.group)).transpose();
        if let Err(error) = &group {
            found.wrong(field("group"), error.to_string());
        }
        if let (Ok(name), Ok(group)) = (name, group) {
            let StepDraft { argv, env, .. } = draft;
            checked.push(StepTemplate { name, argv, env, time_limit, group });
        }
    }
    checked
}

fn arguments(found: &mut Found, field: &str, argv: &[String], parameters: &BTreeSet<&str>) {
    match argv.first() {
        None => found.wrong(field, "is empty; it holds the program and its arguments"),
        Some(program) if program.is_empty() => found.wrong(format!("{field}[0]"), "is empty"),
        Some(_) => {}
    }
    if argv.len() > MOST_ARGUMENTS {
        found.wrong(field, format!("has {} entries; at most {MOST_ARGUMENTS}", argv.len()));
    }
    for (at, argument) in argv.iter().enumerate() {
        if let Err(problem) = expand::check_text(argument, 0, parameters) {
            found.wrong(format!("{field}[{at}]"), problem);
        }
    }
}

fn variables(
    found: &mut Found,
    field: &str,
    env: &BTreeMap<String, String>,
    parameters: &BTreeSet<&str>,
) {
    for (name, value) in env {
        let field = format!("{field}[{name:?}]");
        if let Err(problem) = variable(name) {
            found.wrong(&field, problem);
        }
        // With its name and the '='.
        if let Err(problem) = expand::check_text(value, name.len() + 1, parameters) {
            found.wrong(&field, problem);
        }
    }
}

fn variable(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty; a variable has a name".to_owned());
    }
    if name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control()) {
        return Err("is no name of a variable: it holds a blank, a '=' or a control character; \
                    write A-Z, 0-9 and _"
            .to_owned());
    }
    match KEPT.iter().find(|prefix| name.starts_with(*prefix)) {
        Some(prefix) => Err(format!(
            "begins with {prefix}: the names that begin with PLAN_, LOCK_ or GIT_ are the \
             service's own; choose another one"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
