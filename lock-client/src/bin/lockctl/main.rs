//! `lockctl`: locks from the shell.
//!
//! `args.rs` holds what can be asked for, `commands/` what is done about it (one
//! file a command), `output/` how the answer looks, `failure.rs` what went wrong
//! and with which exit code.

mod args;
mod commands;
mod escape;
mod exit;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Cli, Format},
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(not_parsed(&error)),
    };
    let output = Output::new(cli.global.output);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::execute(&cli, output)),
        Err(error) => Err(Failure::new("FAILED", format!("cannot start a runtime: {error}"))),
    };
    ExitCode::from(match done {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    })
}

/// Shows help, the version, or what is wrong with the arguments.
fn not_parsed(error: &clap::Error) -> u8 {
    if error.use_stderr() && wants_json(std::env::args().skip(1)) {
        let text = error.render().to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return Output::new(Format::Json).failure(&Failure::usage(message));
    }
    // Nobody is left to tell when the stream is closed.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}

/// Whether the arguments, which could not be read, ask for JSON.
fn wants_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<_> = arguments.take_while(|argument| argument != "--").collect();
    arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_wanted_where_it_is_asked_for() {
        let wanted = |line: &str| wants_json(line.split(' ').map(str::to_owned));
        assert!(wanted("list --output json"));
        assert!(wanted("--output=json list"));
        assert!(!wanted("list"));
        assert!(!wanted("run plan/42 -- curl --output json"));
    }
}
