//! Values of parameters, and where they stand in commands.
//!
//! A value stays within the argument that it stands in: there is no shell, and
//! a value that looks like a parameter is not looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use super::{
    Step, StepState, Violation,
    action::{ActionTemplate, Parameter, ParameterType, StepTemplate},
};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const MOST_VALUE: usize = 4_096;
/// The most bytes of all commands of a plan with their values: a plan is told
/// whole.
const MOST_COMMANDS: usize = 1 << 20;

/// The values of all parameters, defaults included.
///
/// # Errors
/// Each argument that is unknown, missing or of the wrong type.
pub fn check_arguments(
    template: &ActionTemplate,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<Violation>> {
    let mut wrong = Vec::new();
    let mut note = |name: &str, description: String| {
        wrong.push(Violation { field: format!("arguments[{name:?}]"), description });
    };
    let known: Vec<_> = template.parameters.iter().map(|one| one.name.as_str()).collect();
    for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        note(name, format!("is no parameter of {}; it has: {known}", template.name));
    }
    let mut values = BTreeMap::new();
    for parameter in &template.parameters {
        match given.get(&parameter.name).or(parameter.default.as_ref()) {
            None => note(&parameter.name, "is missing, and has no default".to_owned()),
            Some(value) => match check_value(parameter, value) {
                Err(problem) => note(&parameter.name, problem),
                Ok(()) => drop(values.insert(parameter.name.clone(), value.clone())),
            },
        }
    }
    let commands = template.steps.iter().chain(&template.checks);
    let texts = commands.flat_map(|command| command.argv.iter().chain(command.env.values()));
    let bytes: usize = texts.map(|text| filled(text, &values).len()).sum();
    if wrong.is_empty() && bytes > MOST_COMMANDS {
        wrong.push(Violation {
            field: "arguments".to_owned(),
            description: format!(
                "make the commands {bytes} bytes long in all; at most {MOST_COMMANDS} are right"
            ),
        });
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

/// Whether a parameter takes a value.
pub(super) fn check_value(parameter: &Parameter, value: &str) -> Result<(), String> {
    if value.len() > MOST_VALUE {
        return Err(format!("has {} bytes; at most {MOST_VALUE} are right", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    match parameter.r#type {
        ParameterType::String => Ok(()),
        ParameterType::Integer => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("is {value:?}; write a whole number, such as 42")),
        },
        ParameterType::Boolean => match value {
            "true" | "false" => Ok(()),
            _ => Err(format!("is {value:?}; write true or false")),
        },
        ParameterType::Choice => match parameter.choices.iter().any(|one| one == value) {
            true => Ok(()),
            false => Err(format!("is {value:?}; write one of: {}", parameter.choices.join(", "))),
        },
        ParameterType::Path => {
            let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            match !value.is_empty() && Path::new(value).components().all(inside) {
                true => Ok(()),
                false => Err(format!(
                    "is {value:?}; write a path within the project, relative and without '..'"
                )),
            }
        }
    }
}

/// Whether the text names only parameters that there are.
pub(super) fn check_text(text: &str, parameters: &BTreeSet<&str>) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(OPEN) {
        let Some((name, next)) = after.split_once(CLOSE) else {
            return Err(format!("has a {OPEN} without {CLOSE}"));
        };
        if !parameters.contains(name) {
            return Err(format!("names {OPEN}{name}{CLOSE}, and there is no such parameter"));
        }
        rest = next;
    }
    Ok(())
}

/// The text with its values. What a value holds is not read again.
fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((name, next)) = after.split_once(CLOSE) else { break };
        out.push_str(before);
        out.push_str(values.get(name).map_or("", String::as_str));
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The commands with their values, waiting to be run.
pub fn expand(templates: &[StepTemplate], values: &BTreeMap<String, String>) -> Vec<Step> {
    let step = |template: &StepTemplate| Step {
        name: template.name.clone(),
        argv: template.argv.iter().map(|text| filled(text, values)).collect(),
        env: template.env.iter().map(|(name, text)| (name.clone(), filled(text, values))).collect(),
        time_limit: template.time_limit,
        group: template.group.clone(),
        state: StepState::Waiting,
        exit_code: None,
        signal: None,
        started_at: None,
        ended_at: None,
        commit: None,
        output_bytes: 0,
    };
    templates.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, r#type: ParameterType, default: Option<&str>) -> Parameter {
        Parameter {
            name: name.to_owned(),
            description: String::new(),
            r#type,
            default: default.map(str::to_owned),
            choices: vec!["red".to_owned(), "blue".to_owned()],
        }
    }

    fn template() -> ActionTemplate {
        ActionTemplate {
            name: "a/b".parse().unwrap(),
            description: String::new(),
            parameters: vec![
                parameter("text", ParameterType::String, None),
                parameter("n", ParameterType::Integer, Some("3")),
                parameter("on", ParameterType::Boolean, Some("true")),
                parameter("colour", ParameterType::Choice, Some("red")),
                parameter("place", ParameterType::Path, Some("src")),
            ],
            steps: Vec::new(),
            checks: Vec::new(),
        }
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let values = check_arguments(&template(), &given(&[("text", "x"), ("n", "-5")])).unwrap();
        assert_eq!(
            values,
            given(&[
                ("colour", "red"),
                ("n", "-5"),
                ("on", "true"),
                ("place", "src"),
                ("text", "x")
            ])
        );
    }

    #[test]
    fn every_argument_that_is_wrong_is_named() {
        let pairs = [
            ("n", "1.5"),
            ("on", "yes"),
            ("colour", "green"),
            ("place", "../etc"),
            ("nobody", "1"),
        ];
        let wrong = check_arguments(&template(), &given(&pairs)).unwrap_err();
        let told: Vec<_> = wrong.iter().map(|one| one.field.as_str()).collect();
        for name in ["nobody", "text", "n", "on", "colour", "place"] {
            let field = format!("arguments[{name:?}]");
            assert!(told.contains(&field.as_str()), "{field}: {told:?}");
        }
    }

    #[test]
    fn values_that_stand_often_are_bounded_in_all() {
        let mut template = template();
        template.steps.push(StepTemplate {
            name: "big".parse().unwrap(),
            argv: vec!["{{text}}".to_owned(); 300],
            env: BTreeMap::new(),
            time_limit: super::super::DEFAULT_TIME_LIMIT,
            group: None,
        });
        let long = "x".repeat(MOST_VALUE);
        let wrong = check_arguments(&template, &given(&[("text", &long)])).unwrap_err();
        assert_eq!(wrong[0].field, "arguments");
        assert!(check_arguments(&template, &given(&[("text", "x")])).is_ok());
    }

    #[test]
    fn a_path_stays_inside() {
        for wrong in ["", "/etc", "..", "a/../../b", "../a"] {
            let parameter = parameter("p", ParameterType::Path, None);
            assert!(check_value(&parameter, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_value_is_not_read_again() {
        let values = given(&[("a", "{{b}}"), ("b", "no")]);
        assert_eq!(filled("x{{a}}y{{b}}", &values), "x{{b}}yno");
    }
}
