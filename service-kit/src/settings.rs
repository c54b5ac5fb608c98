//! Layered settings for any clap command.
//!
//! A value comes from the first of these that has it: a flag, the flag's environment variable, the
//! TOML file named by `--config`, the flag's default. The file's keys are the long names of the
//! flags. Its values reach clap as defaults, so that all three sources share one parser and one
//! set of messages for each setting.
//!
//! An environment variable that is set but empty counts as not set: a manifest often has to set a
//! variable it has nothing to say about.
//!
//! A global flag that names no variable gets the one that every flag of its program has:
//! `LOCK_SERVER_LOG_LEVEL` of `--log-level`, where the program is `lock-server`. So programs can
//! share the flags of [`LogConfig`] and others.
//!
//! Relations between flags (clap's `requires` and `conflicts_with`) see flags and environment, not
//! the file. A program checks relations that must hold for all three after parsing.

mod common;
mod error;
mod file;
mod range;
mod span;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Arg, ArgMatches, Command, Parser};

pub use common::{LogConfig, PlainText, ShutdownConfig, check_plain_text, listen};
pub use error::SettingsError;
pub use range::{RangeError, check_count, check_span};
pub use span::span;

/// The flag that names the file. The file itself cannot set it.
const CONFIG: &str = "config";

/// Parses the arguments (the first is the program's name), with the environment and the file given
/// by `--config` below them.
pub fn parse<T: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, SettingsError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = ignoring_empty_variables(with_variables(T::command()));
    if let Some(path) = config_file(&command, &args)? {
        command = file::apply(&path, command)?;
    }
    let mut matches = matches(&command, &args)?;
    T::from_arg_matches_mut(&mut matches)
        .map_err(|error| SettingsError::usage(error.format(&mut command), &command, &args))
}

fn matches(command: &Command, args: &[OsString]) -> Result<ArgMatches, SettingsError> {
    let parsed = command.clone().try_get_matches_from(args);
    parsed.map_err(|error| SettingsError::usage(error, command, args))
}

/// Finds the file's path by a first parse that asks for nothing, since the file may hold what is
/// required. Help, version and wrong arguments end here, told by the real command.
fn config_file(command: &Command, args: &[OsString]) -> Result<Option<PathBuf>, SettingsError> {
    let found = match relaxed(command.clone()).try_get_matches_from(args) {
        Ok(found) => found,
        Err(error) => {
            matches(command, args)?;
            return Err(SettingsError::usage(error, command, args));
        }
    };
    let config = all_args(command).into_iter().find(|arg| arg.get_long() == Some(CONFIG));
    let path = config.and_then(|config| raw_value(&found, config.get_id().as_str()));
    Ok(path.map(PathBuf::from))
}

/// The value of an argument, wherever in the chain of subcommands it was given. (clap hands a
/// global argument's value up as well as down.)
fn raw_value(matches: &ArgMatches, id: &str) -> Option<OsString> {
    let here = matches.try_get_raw(id).ok().flatten().and_then(|mut values| values.next());
    match here {
        Some(value) => Some(value.to_owned()),
        None => raw_value(matches.subcommand()?.1, id),
    }
}

fn relaxed(command: Command) -> Command {
    command
        .subcommand_required(false)
        .arg_required_else_help(false)
        .mut_args(|arg| arg.required(false))
        .mut_subcommands(relaxed)
}

/// Gives each global flag that has no variable the program's own.
fn with_variables(command: Command) -> Command {
    let program = variable(command.get_name());
    command.mut_args(|arg| match arg.get_long() {
        Some(flag) if arg.is_global_set() && arg.get_env().is_none() => {
            let variable = format!("{program}_{}", variable(flag));
            arg.env(variable)
        }
        _ => arg,
    })
}

fn variable(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

fn ignoring_empty_variables(command: Command) -> Command {
    let forget_if_empty = |arg: Arg| {
        let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { arg.env(Resettable::Reset) } else { arg }
    };
    command.mut_args(forget_if_empty).mut_subcommands(ignoring_empty_variables)
}

/// Every argument of the command and of its subcommands.
fn all_args(command: &Command) -> Vec<&Arg> {
    let below = command.get_subcommands().flat_map(all_args);
    command.get_arguments().chain(below).collect()
}
