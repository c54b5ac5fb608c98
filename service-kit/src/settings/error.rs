//! What can be wrong with settings, and how the program ends then.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

/// `EX_USAGE` of sysexits: the program was called in a wrong way.
const EXIT_USAGE: i32 = 64;

/// Why there are no settings: they are wrong, or help or the version was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The arguments or the environment are wrong; or help or the version was asked for.
    #[error("{error}{}", note(.variable.as_deref()))]
    Usage {
        /// What clap says about it.
        error: Box<clap::Error>,
        /// The environment variable that the wrong value comes from.
        variable: Option<String>,
    },
    /// The configuration file cannot be read, or holds something wrong.
    #[error("error: {}: {message}", .path.display())]
    File {
        /// The file, as named by `--config`.
        path: PathBuf,
        /// What is wrong, where, and what would be right.
        message: String,
    },
}

impl SettingsError {
    /// Keeps the value of a secret setting out of the message, and names the environment variable
    /// that a wrong value comes from: clap names the flag only.
    pub(super) fn usage(mut error: clap::Error, command: &Command, args: &[OsString]) -> Self {
        let named = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(named)) => named.clone(),
            _ => return Self::Usage { error: Box::new(error), variable: None },
        };
        // Only a built argument can be shown: clap panics otherwise.
        let mut built = command.clone();
        built.build();
        let arg = super::all_args(&built).into_iter().find(|arg| arg.to_string() == named);
        if arg.is_some_and(Arg::is_hide_env_values_set)
            && error.get(ContextKind::InvalidValue).is_some()
        {
            let hidden = ContextValue::String("[hidden]".into());
            error.insert(ContextKind::InvalidValue, hidden);
        }
        let variable = arg.filter(|arg| !given_as_flag(arg, args)).and_then(set_variable);
        Self::Usage { error: Box::new(error), variable }
    }

    /// 64 for a wrong setting, 0 when help or the version was asked for.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Usage { error, .. } if !error.use_stderr() => 0,
            _ => EXIT_USAGE,
        }
    }

    /// Prints help and version to standard output, anything wrong to standard error.
    pub fn print(&self) {
        match self {
            Self::Usage { error, variable } => {
                // Nobody can be told that the terminal has gone away.
                let _ = error.print();
                eprint!("{}", note(variable.as_deref()));
            }
            Self::File { .. } => eprintln!("{self}"),
        }
    }

    /// Prints and ends the process.
    pub fn exit(self) -> ! {
        self.print();
        std::process::exit(self.exit_code())
    }
}

fn note(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |name| format!("\nThe value comes from {name}.\n"))
}

fn given_as_flag(arg: &Arg, args: &[OsString]) -> bool {
    let flag = format!("--{}", arg.get_long().unwrap_or_default());
    arg.get_short().is_some() || args.iter().any(|given| given.to_string_lossy().starts_with(&flag))
}

fn set_variable(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?;
    std::env::var_os(name).map(|_| name.to_string_lossy().into_owned())
}
