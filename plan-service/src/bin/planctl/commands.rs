//! What each command does: one file a command, each with one function that
//! gives the exit code or says what went wrong.

mod action;
mod cancel;
mod changes;
mod completions;
mod diagnostics;
mod diff;
mod following;
mod list;
mod moves;
mod project;
mod status;
mod use_action;
mod watch;

use proto::{
    plan::v1::{GetPlanRequest, Plan},
    plan_reason,
};
use service_kit::cli::{Failure, Output, escape::shell_word, page_size};

use self::moves::Asked;
use crate::{
    args::{Cli, Command},
    client::Client,
    failure::SERVER,
};

/// How many to ask for at once: plans with many steps are large.
const FULL_PAGE: i32 = 100;

/// Does what was asked for, and gives the exit code.
pub(crate) async fn execute(cli: &Cli, output: Output) -> Result<u8, Failure> {
    let global = &cli.global;
    let done = match &cli.command {
        Command::Project(command) => project::execute(global, command, output).await,
        Command::Action(command) => action::execute(global, command, output).await,
        Command::Use(args) => use_action::execute(global, args, output).await,
        Command::Status(args) => status::execute(global, args, output).await,
        Command::Execute(args) => {
            moves::execute(global, &args.plan, &args.watch, Asked::Execute, output).await
        }
        Command::Apply(args) => {
            moves::execute(global, &args.plan, &args.watch, Asked::Apply(args.wait), output).await
        }
        Command::Revert(args) => {
            moves::execute(global, &args.plan, &args.watch, Asked::Revert, output).await
        }
        Command::Retry(args) => {
            moves::execute(global, &args.plan, &args.watch, Asked::Retry(args.wait), output).await
        }
        Command::Cancel(args) => cancel::execute(global, args, output).await,
        Command::Diff(args) => diff::execute(global, args, output).await,
        Command::Changes(args) => changes::execute(global, args, output).await,
        Command::List(args) => list::execute(global, args, output).await,
        Command::Watch(args) => watch::execute(global, args, output).await,
        Command::Diagnostics(args) => diagnostics::execute(global, args, output).await,
        Command::Completions(args) => completions::execute(args),
    };
    done.map_err(|failure| match failure.reason() {
        // The service is there, and says so.
        plan_reason::LOCK_SERVER_UNAVAILABLE => failure,
        _ => failure.at(SERVER, std::slice::from_ref(&global.addr), in_doubt(&cli.command)),
    })
}

/// What a command may have done although no answer came, and what to do then.
/// None for those that change nothing, and for `use`, which makes the plan's id
/// itself.
fn in_doubt(command: &Command) -> Option<String> {
    let begun = |plan: &str| format!("It may have begun all the same: {} tells.", status_of(plan));
    Some(match command {
        Command::Execute(args) => begun(&args.plan.plan),
        Command::Apply(args) | Command::Retry(args) => begun(&args.plan.plan),
        Command::Revert(args) => begun(&args.plan.plan),
        Command::Cancel(args) => format!(
            "It may be cancelled all the same: {} tells, and asking again does no harm.",
            status_of(&args.plan.plan)
        ),
        Command::Project(_) | Command::Action(_) if changes_something(command) => {
            "It may be done all the same: asking again then says that it is there already."
                .to_owned()
        }
        _ => return None,
    })
}

fn changes_something(command: &Command) -> bool {
    use crate::args::{ActionCommand, ProjectCommand};
    matches!(
        command,
        Command::Project(ProjectCommand::Add(_)) | Command::Action(ActionCommand::Create(_))
    )
}

/// As one would type it.
fn status_of(plan: &str) -> String {
    format!("`planctl status {}`", shell_word(plan))
}

/// An answer's plan, which it always has.
fn present(plan: Option<Plan>) -> Result<Plan, Failure> {
    there(plan, "a plan")
}

/// A plan as it is now.
async fn find(client: &Client, plan_id: &str) -> Result<Plan, Failure> {
    let request = GetPlanRequest { plan_id: plan_id.to_owned(), ..Default::default() };
    present(client.call(|mut stub| async move { stub.get_plan(request).await }).await?.plan)
}

fn there<T>(thing: Option<T>, name: &str) -> Result<T, Failure> {
    thing.ok_or_else(|| {
        Failure::new("INTERNAL", format!("plan-service answered without {name}: see its log"))
    })
}

/// How many to ask for next: what is left of the limit, or a full page.
fn next_page(limit: Option<u64>, have: usize) -> i32 {
    page_size(limit, have, FULL_PAGE)
}

/// Whether a listing goes on after this page.
fn goes_on(limit: Option<u64>, have: usize, token: &str) -> bool {
    !token.is_empty() && limit.is_none_or(|limit| (have as u64) < limit)
}

/// Said below a listing that its limit has cut.
const MORE: &str = "There are more: raise --limit to see them.\n";
