//! `planctl`: plans from the shell.
//!
//! `args.rs` holds what can be asked for, `commands/` what is done about it (one
//! file a command), `client.rs` the call, `output/` how the answer looks,
//! `failure.rs` what went wrong and with which exit code. What it shares with
//! `lockctl` is in `service_kit::cli`.

mod action_file;
mod args;
mod client;
mod commands;
mod exit;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;
use service_kit::cli::{Failure, Output, not_parsed};

use crate::args::Cli;

/// As it calls itself.
const NAME: &str = "planctl";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(not_parsed(NAME, &error)),
    };
    let output = Output::new(NAME, cli.global.output);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("cannot start a runtime: {error}");
            return ExitCode::from(output.failure(&Failure::new("FAILED", message)));
        }
    };
    let code = match runtime.block_on(commands::execute(&cli, output)) {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    };
    // A read of standard input that nobody waits for any more is not waited for.
    runtime.shutdown_background();
    ExitCode::from(code)
}
