//! `lockctl`: locks from the shell.
//!
//! `args.rs` holds what can be asked for, `commands/` what is done about it (one
//! file a command), `output/` how the answer looks, `failure.rs` what went wrong
//! and with which exit code.

mod args;
mod commands;
mod exit;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;
use service_kit::cli::{escape, not_parsed};

use crate::{args::Cli, failure::Failure, output::Output};

/// As it calls itself.
const NAME: &str = "lockctl";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(not_parsed(NAME, &error)),
    };
    let output = Output::new(NAME, cli.global.output);
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
