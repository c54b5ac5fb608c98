//! Actions as features write them: as a table of scripts, or as the file that a
//! person would write.

use std::{collections::HashMap, path::Path, time::Duration};

use cucumber::gherkin::Step;
use plan_service::domain::{ActionDraft, ParameterType, StepDraft};
use proto::plan::v1 as wire;

use crate::vocabulary::rows;

/// What every script can call: `reach x` says that it has come there, `await x`
/// waits until the scenario gives x.
const WORDS: &str = r#"reach() { : > "$OUT/$1"; }
await() { until [ -e "$OUT/$1" ]; do sleep 0.03; done; }
"#;

/// A step that runs a script.
pub(crate) fn script_step(name: &str, script: &str, out: &Path) -> wire::StepTemplate {
    let argv = ["sh", "-c", &format!("{WORDS}{script}")];
    wire::StepTemplate {
        name: name.to_owned(),
        argv: argv.map(str::to_owned).to_vec(),
        env: variables(out),
        ..Default::default()
    }
}

fn variables(out: &Path) -> HashMap<String, String> {
    HashMap::from([("OUT".to_owned(), out.to_str().expect("a path of text").to_owned())])
}

/// The action of a table: rows of `step`, `check` or `param`, a name, and the
/// script or the type; then, if there is one, `group=…`.
pub(crate) fn from_table(name: &str, step: &Step, out: &Path) -> wire::Action {
    let mut action = wire::Action { name: name.to_owned(), ..Default::default() };
    for row in rows(step) {
        let (kind, name, what) = match row.as_slice() {
            [kind, name, what, ..] => (kind.as_str(), name.as_str(), what.as_str()),
            other => panic!("a row of three cells or four, not {other:?}"),
        };
        if kind == "param" {
            assert_eq!(what, "string", "other types are written as a file");
            action.parameters.push(wire::Parameter {
                name: name.to_owned(),
                r#type: wire::ParameterType::String.into(),
                ..Default::default()
            });
            continue;
        }
        let mut made = script_step(name, what, out);
        if let Some(group) = row.get(3).filter(|cell| !cell.is_empty()) {
            let group = group.strip_prefix("group=").expect("group=…");
            group.clone_into(&mut made.group);
        }
        match kind {
            "step" => action.steps.push(made),
            "check" => action.checks.push(made),
            other => panic!("step, check or param, not {other}"),
        }
    }
    action
}

/// The action of a file, as people write it. Every command is told where `$OUT`
/// is.
pub(crate) fn from_toml(text: &str, out: &Path) -> wire::Action {
    let draft: ActionDraft = toml::from_str(text).expect("a file that can be read");
    let commands = |steps: Vec<StepDraft>| steps.into_iter().map(|one| command(one, out)).collect();
    let parameters = draft.parameters.into_iter().map(|one| wire::Parameter {
        name: one.name,
        description: one.description,
        r#type: wire_type(one.r#type.expect("the file names a type that there is)")).into(),
        default_value: one.default,
        choices: one.choices,
    });
    wire::Action {
        name: draft.name,
        description: draft.description,
        parameters: parameters.collect(),
        steps: commands(draft.steps),
        checks: commands(draft.checks),
        create_time: None,
    }
}

fn command(draft: StepDraft, out: &Path) -> wire::StepTemplate {
    let limit = |span: Duration| span.try_into().expect("a span");
    let mut env = variables(out);
    env.extend(draft.env);
    wire::StepTemplate {
        name: draft.name,
        argv: draft.argv,
        env,
        time_limit: draft.time_limit.map(limit),
        group: draft.group,
    }
}

fn wire_type(given: ParameterType) -> wire::ParameterType {
    match given {
        ParameterType::String => wire::ParameterType::String,
        ParameterType::Integer => wire::ParameterType::Integer,
        ParameterType::Boolean => wire::ParameterType::Boolean,
        ParameterType::Choice => wire::ParameterType::Choice,
        ParameterType::Path => wire::ParameterType::Path,
    }
}
