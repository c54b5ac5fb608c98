//! The configuration file: its keys become defaults of the flags of the same names.

use std::collections::BTreeMap;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use toml::Value;

use super::{CONFIG, SettingsError, all_args};

/// Reads the file and makes its values the defaults of the command's flags.
pub(super) fn apply(path: &Path, command: Command) -> Result<Command, SettingsError> {
    let wrong = |message| SettingsError::File { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let table = parse(&text).map_err(wrong)?;
    let known = known(&command);
    let mut defaults = BTreeMap::new();
    for (key, value) in &table {
        let Some(arg) = known.get(key.as_str()) else {
            return Err(wrong(unknown(key, &known)));
        };
        let texts = texts(arg, value).and_then(|texts| check(arg, texts));
        defaults.insert(key.clone(), texts.map_err(|why| wrong(format!("`{key}`: {why}")))?);
    }
    Ok(with_defaults(command, &defaults))
}

/// The parser's own message quotes the line, which may hold a password: only its place is told.
fn parse(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}: {}", error.message())
    })
}

/// The flags a file may set. One file serves all subcommands, so theirs are known at any time.
fn known(command: &Command) -> BTreeMap<&str, &Arg> {
    let args = all_args(command).into_iter();
    args.filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(long, _)| ![CONFIG, "help", "version"].contains(long))
        .collect()
}

fn unknown(key: &str, known: &BTreeMap<&str, &Arg>) -> String {
    if key == CONFIG {
        return format!("`{key}`: a configuration file cannot name another; remove the key");
    }
    let dashed = key.replace('_', "-");
    let close =
        if known.contains_key(dashed.as_str()) { Some(dashed) } else { closest(key, known) };
    let hint = close.map_or_else(String::new, |close| format!(", did you mean `{close}`?"));
    let keys: Vec<&str> = known.keys().copied().collect();
    format!("unknown key `{key}`{hint} (known keys: {})", keys.join(", "))
}

/// clap's own suggestion for a mistyped flag.
fn closest(key: &str, known: &BTreeMap<&str, &Arg>) -> Option<String> {
    let flags = known.keys().map(|long| Arg::new(long.to_string()).long(long.to_string()));
    let probe = Command::new("file").no_binary_name(true).disable_help_flag(true).args(flags);
    let error = probe.try_get_matches_from([format!("--{key}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => Some(flag.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

/// The value as a user would write it after the flag; a list or a table is several.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue | ArgAction::SetFalse, Value::Boolean(on)) => Ok(vec![on.to_string()]),
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => Err("write true or false".into()),
        (_, Value::Array(_) | Value::Table(_)) if !takes_several(arg) => {
            Err("takes one value, not a list or a table".into())
        }
        (_, Value::Array(items)) => items.iter().map(scalar).collect(),
        (_, Value::Table(pairs)) => {
            let pair = |(name, value)| Ok(format!("{name}={}", scalar(value)?));
            pairs.iter().map(pair).collect()
        }
        (_, value) => Ok(vec![scalar(value)?]),
    }
}

fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Table(_) => {
            Err("write strings or numbers inside the list or table".into())
        }
        value => Ok(value.to_string()),
    }
}

/// Parses the values with the flag's own parser, alone, so that a wrong one can be blamed on its
/// key. (As a default of the real command it would be a bug in the program, and panic.)
fn check(arg: &Arg, texts: Vec<String>) -> Result<Vec<String>, String> {
    let Some(long) = arg.get_long().filter(|_| arg.get_action().takes_values()) else {
        return Ok(texts);
    };
    let mut alone = Arg::new("value")
        .long(long.to_owned())
        .action(ArgAction::Append)
        .value_parser(arg.get_value_parser().clone());
    if let Some(names) = arg.get_value_names() {
        alone = alone.value_names(names.to_vec());
    }
    if let Some(delimiter) = arg.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let probe = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(alone);
    let flags = texts.iter().map(|text| format!("--{long}={text}"));
    match probe.try_get_matches_from(flags) {
        Ok(_) => Ok(texts),
        Err(mut error) => {
            if arg.is_hide_env_values_set() && error.get(ContextKind::InvalidValue).is_some() {
                let hidden = ContextValue::String("[hidden]".into());
                error.insert(ContextKind::InvalidValue, hidden);
            }
            Err(error.to_string().trim_start_matches("error: ").trim_end().to_owned())
        }
    }
}

fn with_defaults(command: Command, defaults: &BTreeMap<String, Vec<String>>) -> Command {
    command
        .mut_args(|arg| match arg.get_long().and_then(|long| defaults.get(long)) {
            Some(texts) if !texts.is_empty() => arg.required(false).default_values(texts.clone()),
            _ => arg,
        })
        .mut_subcommands(|inner| with_defaults(inner, defaults))
}
