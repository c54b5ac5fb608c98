//! The built binaries, run to their end.

use service_kit::testing::Answer;
use tokio::process::Command;

use super::DEADLINE;

/// The service.
pub(crate) const PLAN_SERVICE: &str = env!("CARGO_BIN_EXE_plan-service");
/// Its command line for people.
pub(crate) const PLANCTL: &str = env!("CARGO_BIN_EXE_planctl");

/// Runs a program to its end.
pub(crate) async fn run(program: &str, args: &[&str]) -> Answer {
    let mut command = Command::new(program);
    command.args(args);
    Answer::of(command, "", DEADLINE).await.in_utf8()
}
