//! `planctl completions`: a completion script for a shell.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use service_kit::cli::Failure;

use crate::{
    NAME,
    args::{Cli, CompletionsArgs},
    exit,
};

pub(super) fn execute(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(exit::OK)
}
