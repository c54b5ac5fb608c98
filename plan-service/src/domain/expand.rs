//! Values of parameters, and where they stand in commands.
//!
//! A value stays within the argument that it stands in: there is no shell, and
//! a value that looks like a parameter is not looked at again.
//!
//! `{{name}}` is a parameter where `name` looks like one, and `{{{{` stands for
//! `{{`. All else is text: other programs have braces of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    path::{Component, Path},
};

use super::{
    Step, StepState, Violation,
    action::{ActionTemplate, Parameter, ParameterType, StepTemplate},
};

const OPEN: &str = "{{";
const OPEN_AS_TEXT: &str = "{{{{";
const CLOSE: &str = "}}";
const MOST_VALUE: usize = 4_096;
/// The most bytes of all commands of a plan with their values: a plan is told
/// whole.
const MOST_COMMANDS: usize = 1 << 20;
/// The most bytes of an argument, and of a variable with its name and `=`: Linux
/// takes 32 pages, with the NUL at the end.
const MOST_ARGUMENT: usize = 32 * 4_096 - 1;

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
    if wrong.is_empty() {
        wrong = unfit(template, &values);
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

/// What is wrong with the commands that these values make.
fn unfit(template: &ActionTemplate, values: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut wrong: Vec<Violation> = Vec::new();
    let mut bytes = 0;
    let steps = template.steps.iter().map(|step| ("step", step));
    for (kind, command) in steps.chain(template.checks.iter().map(|check| ("check", check))) {
        let StepTemplate { name, argv, env, .. } = command;
        // One of the values is named, and each of them once.
        let mut note = |text: &str, description: String| {
            let field = match parameters(text).next() {
                Some(parameter) => format!("arguments[{parameter:?}]"),
                None => "arguments".to_owned(),
            };
            if wrong.iter().all(|one| one.field != field) {
                wrong.push(Violation { field, description });
            }
        };
        for (at, text) in argv.iter().enumerate() {
            let long = filled_bytes(text, values);
            bytes += long;
            if at == 0 && long == 0 {
                note(text, format!("leaves {kind} {name} with no program: its argv[0] is empty"));
            } else if long > MOST_ARGUMENT {
                note(text, format!("makes argv[{at}] of {kind} {name} {}", too_long(long)));
            }
        }
        for (variable, text) in env {
            let long = filled_bytes(text, values);
            bytes += long;
            let long = variable.len() + 1 + long;
            if long > MOST_ARGUMENT {
                note(
                    text,
                    format!("makes variable {variable} of {kind} {name} {}", too_long(long)),
                );
            }
        }
    }
    if wrong.is_empty() && bytes > MOST_COMMANDS {
        wrong.push(Violation {
            field: "arguments".to_owned(),
            description: format!(
                "make the commands {bytes} bytes long in all; at most {MOST_COMMANDS} are right"
            ),
        });
    }
    wrong
}

fn too_long(bytes: usize) -> String {
    format!("{bytes} bytes long; Linux takes at most {MOST_ARGUMENT}")
}

/// Whether a text can be a value at all.
pub(super) fn check_plain(value: &str) -> Result<(), String> {
    if value.len() > MOST_VALUE {
        return Err(format!("has {} bytes; at most {MOST_VALUE} are right", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(())
}

/// Whether a parameter takes a value.
pub(super) fn check_value(parameter: &Parameter, value: &str) -> Result<(), String> {
    check_plain(value)?;
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

/// A part of a text.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    /// What it says.
    Text(&'a str),
    /// Where a value stands: the parameter's name.
    Parameter(&'a str),
}

/// The text from its beginning to its end.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    iter::from_fn(move || {
        let (piece, bytes) = match rest.find(OPEN) {
            _ if rest.is_empty() => return None,
            None => (Piece::Text(rest), rest.len()),
            Some(0) if rest.starts_with(OPEN_AS_TEXT) => (Piece::Text(OPEN), OPEN_AS_TEXT.len()),
            Some(0) => match parameter(rest) {
                Some((name, bytes)) => (Piece::Parameter(name), bytes),
                // The next brace may belong to one.
                None => (Piece::Text(&rest[..1]), 1),
            },
            Some(at) => (Piece::Text(&rest[..at]), at),
        };
        rest = &rest[bytes..];
        Some(piece)
    })
}

/// The parameter at the beginning of a text, by its looks, and how long that is.
fn parameter(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix(OPEN)?.trim_start_matches(' ');
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let end = inner.find(|c| !is_of_name(c))?;
    let (name, rest) = inner.split_at(end);
    let rest = rest.trim_start_matches(' ').strip_prefix(CLOSE)?;
    name.starts_with(|c: char| c.is_ascii_lowercase()).then(|| (name, text.len() - rest.len()))
}

fn parameters(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Parameter(name) => Some(name),
    })
}

/// Whether the text names only parameters that there are, and whether a program
/// can be given it, with so many bytes beside it.
pub(super) fn check_text(text: &str, beside: usize, known: &BTreeSet<&str>) -> Result<(), String> {
    if text.contains('\0') {
        return Err("holds a NUL, which no program can be given".to_owned());
    }
    if let Some(name) = parameters(text).find(|name| !known.contains(name)) {
        return Err(format!(
            "names {OPEN}{name}{CLOSE}, and there is no such parameter; to write that as text, \
             begin it with four braces: {OPEN_AS_TEXT}{name}{CLOSE}"
        ));
    }
    let bytes = beside + filled_bytes(text, &BTreeMap::new());
    if bytes > MOST_ARGUMENT { Err(format!("is {}", too_long(bytes))) } else { Ok(()) }
}

/// The text with its values. What a value holds is not read again.
fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    pieces(text).map(|piece| of(piece, values)).collect()
}

/// How long the text is with its values.
fn filled_bytes(text: &str, values: &BTreeMap<String, String>) -> usize {
    pieces(text).map(|piece| of(piece, values).len()).sum()
}

fn of<'a>(piece: Piece<'a>, values: &'a BTreeMap<String, String>) -> &'a str {
    match piece {
        Piece::Text(text) => text,
        Piece::Parameter(name) => values.get(name).map_or("", String::as_str),
    }
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
    fn only_what_looks_like_a_parameter_is_one() {
        let values = given(&[("a", "1"), ("b_2", "{{a}}")]);
        let known = BTreeSet::from(["a", "b_2"]);
        for (text, becomes) in [
            ("", ""),
            ("{{a}}", "1"),
            ("{{ a }}-{{  b_2}}", "1-{{a}}"),
            // Templates of other programs.
            ("{{.Names}}", "{{.Names}}"),
            ("{{json .}} {{range $k, $v := .X}}", "{{json .}} {{range $k, $v := .X}}"),
            ("${{ secrets.TOKEN }}", "${{ secrets.TOKEN }}"),
            ("{{Name}} {{a-b}} {{2a}} {{}} {{ }}", "{{Name}} {{a-b}} {{2a}} {{}} {{ }}"),
            // Half of one.
            ("{{", "{{"),
            ("}} {{a", "}} {{a"),
            ("{{a}", "{{a}"),
            ("{a}}", "{a}}"),
            ("{{a\n}}", "{{a\n}}"),
            // Braces beside one.
            ("{{{a}}}", "{1}"),
            ("{\"n\":{{a}}}", "{\"n\":1}"),
            ("é{{a}}é", "é1é"),
            // The text of one.
            ("{{{{", "{{"),
            ("{{{{a}}", "{{a}}"),
            ("{{{{nobody}}", "{{nobody}}"),
            ("{{{{{{a}}", "{{1"),
            ("{{{{{{{{a}}", "{{{{a}}"),
        ] {
            assert_eq!(check_text(text, 0, &known), Ok(()), "{text:?}");
            assert_eq!(filled(text, &values), becomes, "{text:?}");
        }
        for wrong in ["{{nobody}}", "{{ nobody }}", "{{{nobody}}}", "{{.a}}{{nobody}}"] {
            let why = check_text(wrong, 0, &known).unwrap_err();
            assert!(why.contains("{{nobody}}") && why.contains("{{{{nobody}}"), "{why}");
        }
    }

    #[test]
    fn a_long_text_is_read_once() {
        let text = "{{x".repeat(300_000);
        assert_eq!(filled(&text, &BTreeMap::new()), text);
    }

    fn running(argv: &[&str], env: &[(&str, &str)]) -> ActionTemplate {
        let mut template = template();
        template.steps.push(StepTemplate {
            name: "run".parse().unwrap(),
            argv: argv.iter().map(|text| (*text).to_owned()).collect(),
            env: given(env),
            time_limit: super::super::DEFAULT_TIME_LIMIT,
            group: None,
        });
        template
    }

    #[test]
    fn arguments_leave_every_command_a_program() {
        let template = running(&["{{text}}{{ text }}", "x"], &[]);
        let wrong = check_arguments(&template, &given(&[("text", "")])).unwrap_err();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].field, "arguments[\"text\"]");
        for word in ["step run", "no program"] {
            assert!(wrong[0].description.contains(word), "{}", wrong[0].description);
        }
        assert!(check_arguments(&template, &given(&[("text", "make")])).is_ok());
    }

    #[test]
    fn an_argument_is_no_longer_than_linux_takes() {
        // 4,096 bytes each.
        let many = "{{text}}".repeat(32);
        let long = given(&[("text", &"x".repeat(MOST_VALUE))]);
        let wrong = check_arguments(&running(&["echo", &many], &[]), &long).unwrap_err();
        assert_eq!(wrong[0].field, "arguments[\"text\"]");
        for word in ["argv[1] of step run", "131072 bytes", "131071"] {
            assert!(wrong[0].description.contains(word), "{}", wrong[0].description);
        }
        let one_less = given(&[("text", &"x".repeat(MOST_VALUE - 1))]);
        assert!(check_arguments(&running(&["echo", &many], &[]), &one_less).is_ok());
        // A variable counts with its name.
        let many = "{{text}}".repeat(31);
        let padded = format!("{many}{}", "y".repeat(MOST_VALUE - 4));
        let fits = running(&["echo"], &[("AB", &padded)]);
        assert!(check_arguments(&fits, &long).is_ok());
        let wrong = check_arguments(&running(&["echo"], &[("ABC", &padded)]), &long).unwrap_err();
        assert!(wrong[0].description.contains("variable ABC of step run"), "{wrong:?}");
    }

    #[test]
    fn a_value_is_not_read_again() {
        let values = given(&[("a", "{{b}}"), ("b", "no")]);
        assert_eq!(filled("x{{a}}y{{b}}", &values), "x{{b}}yno");
    }
}
