//! `lockctl completions`: a completion script for a shell.

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::{
    args::{Cli, CompletionsArgs},
    exit,
    failure::Failure,
};

pub(super) fn execute(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lockctl", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(exit::OK)
}
