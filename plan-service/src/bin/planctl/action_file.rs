//! Actions in TOML files: read, checked as the service checks them, and told by
//! file, line and field when they are wrong.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use plan_service::domain::{ActionDraft, ParameterDraft, StepDraft, Violation};
use proto::plan::v1::{Action, Parameter, ParameterType, StepTemplate};
use serde_json::Map;
use service_kit::cli::{Failure, escape};
use toml::de::{DeTable, DeValue};

use crate::{exit, failure::by_name, output::words};

/// How many mistakes to show.
const MOST_LINES: usize = 40;

/// The action of one file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Action, Failure> {
    let name = match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => escape::escaped(&path.to_string_lossy()),
    };
    let text = text(path).map_err(|error| {
        Failure::new("FILE_NOT_READABLE", format!("cannot read {name}: {error}"))
            .with_code(exit::USAGE)
            .with("file", &name)
    })?;
    action(&name, &text)
}

fn text(path: &Path) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn action(name: &str, text: &str) -> Result<Action, Failure> {
    let invalid = |message: String| {
        Failure::new("ACTION_FILE_INVALID", message).with_code(exit::USAGE).with("file", name)
    };
    let draft: ActionDraft = toml::from_str(text).map_err(|error| {
        // The library says the line, the column, and what would be right.
        invalid(format!("{name}: {}", error.to_string().trim_end()))
    })?;
    match draft.clone().check() {
        Ok(_) => Ok(to_wire(draft)),
        Err(violations) => {
            let lines: Vec<_> =
                violations.iter().map(|one| escape::line(&told(name, text, one))).collect();
            let fields = by_name(
                violations.iter().map(|one| (one.field.as_str(), one.description.as_str())),
            );
            let at: Map<_, _> = violations
                .iter()
                .filter_map(|one| Some((one.field.clone(), line_of(text, &short(one))?.into())))
                .collect();
            Err(match lines.as_slice() {
                [one] => invalid(one.clone()),
                all => invalid(format!("{name} is not a valid action"))
                    .with_advice(words::at_most(all, MOST_LINES)),
            }
            .with_value("fields", fields)
            .with_value("lines", at.into()))
        }
    }
}

/// `rename.toml:7: steps[0].argv is empty …`
fn told(name: &str, text: &str, violation: &Violation) -> String {
    let (field, description) = (short(violation), &violation.description);
    match line_of(text, &field) {
        Some(line) => format!("{name}:{line}: {field} {description}"),
        None => format!("{name}: {field} {description}"),
    }
}

/// The field under the short name that it has in files.
fn short(violation: &Violation) -> String {
    violation.field.replace(".default_value", ".default")
}

/// The line of a field, or of the nearest thing around it that is there.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut segments = segments(field).into_iter();
    let mut found = document.get_ref().get(segments.next()?.as_str())?;
    let mut at = found.span().start;
    for segment in segments {
        let inner = match found.get_ref() {
            DeValue::Table(table) => table.get(segment.as_str()),
            DeValue::Array(array) => segment.parse::<usize>().ok().and_then(|at| array.get(at)),
            _ => None,
        };
        let Some(inner) = inner else { break };
        found = inner;
        at = found.span().start;
    }
    Some(1 + text.get(..at)?.matches('\n').count())
}

/// `steps[1].env["A"]` as `steps`, `1`, `env`, `A`.
fn segments(field: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let Some((key, after)) = quoted.split_once("\"]") else { break };
            segments.push(key.to_owned());
            rest = after;
        } else if let Some(index) = rest.strip_prefix('[') {
            let Some((index, after)) = index.split_once(']') else { break };
            segments.push(index.to_owned());
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            segments.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    segments
}

fn to_wire(draft: ActionDraft) -> Action {
    let ActionDraft { name, description, parameters, steps, checks } = draft;
    Action {
        name,
        description,
        parameters: parameters.into_iter().map(parameter).collect(),
        steps: steps.into_iter().map(step).collect(),
        checks: checks.into_iter().map(step).collect(),
        create_time: None,
    }
}

fn parameter(draft: ParameterDraft) -> Parameter {
    use plan_service::domain::ParameterType as Type;
    let r#type = match draft.r#type {
        None => ParameterType::Unspecified,
        Some(Type::String) => ParameterType::String,
        Some(Type::Integer) => ParameterType::Integer,
        Some(Type::Boolean) => ParameterType::Boolean,
        Some(Type::Choice) => ParameterType::Choice,
        Some(Type::Path) => ParameterType::Path,
    };
    Parameter {
        name: draft.name,
        description: draft.description,
        r#type: r#type.into(),
        default_value: draft.default,
        choices: draft.choices,
    }
}

fn step(draft: StepDraft) -> StepTemplate {
    let span = |limit: Duration| prost_types::Duration::try_from(limit).ok();
    StepTemplate {
        name: draft.name,
        argv: draft.argv,
        env: draft.env.into_iter().collect(),
        time_limit: draft.time_limit.and_then(span),
        group: draft.group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "edit/rename"
description = "renames"
[[parameters]]
name = "n"
type = "integer"
default = "3"
[[steps]]
name = "sed"
argv = ["sed", "s/a/{{n}}/"]
env = { LC_ALL = "C" }
time_limit = "90s"
group = "g"
[[checks]]
name = "test"
argv = ["make"]
"#;

    #[test]
    fn a_file_becomes_a_request() {
        let action = action("x.toml", GOOD).unwrap();
        assert_eq!(action.name, "edit/rename");
        assert_eq!(action.parameters[0].r#type(), ParameterType::Integer);
        assert_eq!(action.parameters[0].default_value.as_deref(), Some("3"));
        let step = &action.steps[0];
        assert_eq!((step.argv.len(), step.group.as_str()), (2, "g"));
        assert_eq!(step.time_limit, Some(prost_types::Duration { seconds: 90, nanos: 0 }));
        // The service's default is the service's.
        assert_eq!(action.checks[0].time_limit, None);
    }

    #[test]
    fn what_is_no_toml_is_told_by_file_line_and_key() {
        for (from, to, words) in [
            ("description =", "descriptoin =", &["line 3", "`descriptoin`", "`description`"][..]),
            ("\"90s\"", "\"90\"", &["line 12", "90s, 10m or 1h"]),
            ("type = \"integer\"", "type = \"int\"", &["line 6", "`int`", "`integer`"]),
            ("argv = [\"make\"]", "argv = [\"make\"", &["line 16"]),
        ] {
            let failure = action("x.toml", &GOOD.replace(from, to)).unwrap_err();
            let (message, _) = failure.to_text();
            assert_eq!(failure.code, exit::USAGE);
            assert!(message.starts_with("x.toml: "), "{message}");
            for word in words {
                assert!(message.contains(word), "{word:?} is missing: {message}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_file_line_and_field() {
        let failure = action("x.toml", &GOOD.replace("{{n}}", "{{m}}")).unwrap_err();
        let (message, _) = failure.to_text();
        assert!(message.starts_with("x.toml:10: steps[0].argv[1] names {{m}}"), "{message}");
        let twice = GOOD.replace("\"3\"", "\"many\"").replace("[\"make\"]", "[]");
        let failure = action("x.toml", &twice).unwrap_err();
        let (message, lines) = failure.to_text();
        assert_eq!(message, "x.toml is not a valid action");
        assert!(lines.contains("  x.toml:7: parameters[0].default "), "{lines}");
        assert!(lines.contains("  x.toml:16: checks[0].argv is empty"), "{lines}");
        let metadata = &failure.to_json("error")["error"]["metadata"];
        assert!(metadata["fields"]["checks[0].argv"].is_string(), "{metadata}");
        let lines = serde_json::json!({"parameters[0].default_value": 7, "checks[0].argv": 16});
        assert_eq!(metadata["lines"], lines);
        let keys: Vec<_> = metadata.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["fields", "file", "lines"]);
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_is_around_it() {
        assert_eq!(line_of(GOOD, "steps[0].argv[7]"), Some(10));
        assert_eq!(line_of(GOOD, "steps[0].env[\"LC_ALL\"]"), Some(11));
        assert_eq!(line_of(GOOD, "nothing"), None);
        let missing = GOOD.replace("argv = [\"make\"]\n", "");
        let failure = action("x.toml", &missing).unwrap_err();
        let (message, _) = failure.to_text();
        assert!(message.starts_with("x.toml:14: checks[0].argv is empty"), "{message}");
    }
}
