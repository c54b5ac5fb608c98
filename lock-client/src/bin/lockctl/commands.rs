//! What each command does: one file a command, each with one function that
//! gives the exit code or says what went wrong.

mod acquire;
mod completions;
mod diagnostics;
mod events;
mod force_release;
mod get;
mod list;
mod purge;
mod release;
mod release_all;
mod renew;
mod run;
mod stale;
mod waiting;
mod watch;

use lock_client::{LockClient, LockClientBuilder, Resource, StaleFilter};

use crate::{
    args::{Cli, Command, Global, StaleFilterArgs},
    escape::shell_word,
    failure::{Failure, SERVER, explained},
    output::Output,
};

/// The most locks or events that the server gives out at once.
const FULL_PAGE: i32 = 1_000;

/// Does what was asked for, and gives the exit code.
pub(crate) async fn execute(cli: &Cli, output: Output) -> Result<u8, Failure> {
    let global = &cli.global;
    let done = match &cli.command {
        Command::Acquire(args) => acquire::execute(global, args, output).await,
        Command::Renew(args) => renew::execute(global, args, output).await,
        Command::Release(args) => release::execute(global, args, output).await,
        Command::ReleaseAll(args) => release_all::execute(global, args, output).await,
        Command::Get(args) => get::execute(global, args, output).await,
        Command::List(args) => list::execute(global, args, output).await,
        Command::Stale(args) => stale::execute(global, args, output).await,
        Command::Purge(args) => purge::execute(global, args, output).await,
        Command::ForceRelease(args) => force_release::execute(global, args, output).await,
        Command::Events(args) => events::execute(global, args, output).await,
        Command::Watch(args) => watch::execute(global, args, output).await,
        Command::Run(args) => run::execute(global, args, output).await,
        Command::Diagnostics(args) => diagnostics::execute(global, args, output).await,
        Command::Completions(args) => completions::execute(args),
    };
    done.map_err(|failure| failure.at(SERVER, &global.addr, in_doubt(&cli.command)))
}

/// What a command may have done although no answer came, and what to do then.
/// None for those that change nothing, and for `force-release`, which says so of
/// its second call alone.
fn in_doubt(command: &Command) -> Option<String> {
    let taken = |resource: &Resource| {
        let get = format!("`lockctl get {}`", shell_word(&resource.to_string()));
        format!("The lock may have been taken all the same: {get} tells. It runs out by itself.")
    };
    Some(match command {
        Command::Acquire(args) => taken(&args.resource),
        Command::Run(args) => format!("Nothing was run. {}", taken(&args.resource)),
        Command::Renew(_) => again("renewed"),
        Command::Release(_) | Command::ReleaseAll(_) => again("released"),
        Command::Purge(_) => again("purged"),
        _ => return None,
    })
}

fn again(done: &str) -> String {
    format!("It may have been {done} all the same: asking again does no harm.")
}

/// A client for the servers that were named, as they were named.
fn builder(global: &Global) -> LockClientBuilder {
    LockClient::builder().endpoints(&global.addr).timeout(global.timeout)
}

/// A client for commands that hold nothing in a name of their own.
fn client(global: &Global) -> Result<LockClient, Failure> {
    builder(global).build().map_err(explained)
}

/// A client that acts for this owner, or for a new one.
fn client_of(global: &Global, owner: Option<&String>) -> Result<LockClient, Failure> {
    match owner {
        Some(owner) => builder(global).owner_id(owner).build().map_err(explained),
        None => client(global),
    }
}

fn stale_filter(args: &StaleFilterArgs) -> StaleFilter {
    StaleFilter { resource_type: args.resource_type.clone(), older_than: args.older_than }
}

/// How many to ask for next: what is left of the limit, or a full page.
fn page_size(limit: Option<u64>, have: usize) -> i32 {
    service_kit::cli::page_size(limit, have, FULL_PAGE)
}

/// A number of locks, in words.
fn locks(count: u64) -> String {
    match count {
        1 => "1 lock".to_owned(),
        count => format!("{count} locks"),
    }
}

/// How many locks a call ended or freed: all of them, or those of its last
/// attempt.
fn counted(count: u64, retried: bool) -> String {
    match retried {
        true => format!("at least {}", locks(count)),
        false => locks(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_after_an_unanswered_attempt_is_the_least() {
        assert_eq!(counted(0, false), "0 locks");
        assert_eq!(counted(1, true), "at least 1 lock");
    }
}
