//! `lockctl run`: holds a lock while a command runs, and no longer.
//!
//! The promise: no process of the command's group runs when the lease can be
//! somebody else's. So the group ends before the lock is given back, and before
//! the lease runs out unrenewed (`run/lease.rs` has the arithmetic). `lockctl`
//! cannot keep it if it is itself killed or stopped: then only the fencing
//! token protects.
//!
//! `run/group.rs` is the group, `run/supervise.rs` the watch over command and
//! lease while both last, `run/terminal.rs` and `run/signals.rs` what a command
//! expects of whoever started it, `run/give_back.rs` what becomes of the lock
//! afterwards.

mod give_back;
mod group;
mod lease;
mod signals;
mod supervise;
mod terminal;

use std::{ffi::OsString, io, time::Duration};

use lock_client::{LockClient, LockGuard};
use nix::sys::signal::Signal;
use tokio::time::{Instant, timeout};

use self::{
    give_back::give_back,
    group::Group,
    signals::{Signals, asked_to_end},
    supervise::{End, Loss, Supervisor},
    terminal::Terminal,
};
use super::{acquire::options, client_of, waiting};
use crate::{
    args::{Global, RunArgs},
    escape::escaped,
    exit,
    failure::{Failure, broken, explained, with_forced},
    output::Output,
};

/// How long killed processes may take to be gone. Only what hangs inside the
/// kernel, or belongs to another user, takes longer.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// How long to try to tell the server that a lease is not wanted any more once
/// it is lost, or somebody asks to end: it runs out by itself, this is only
/// sooner.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) async fn execute(
    global: &Global,
    args: &RunArgs,
    output: Output,
) -> Result<u8, Failure> {
    // Before anything is held: a signal from here on finds somebody at home.
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new("FAILED", format!("cannot listen for signals: {error}")))?;
    let client = client_of(global, args.owner.as_ref())?;
    let guard = tokio::select! {
        guard = acquire(&client, args, output) => guard?,
        signal = asked_to_end(&mut signals) => {
            // What is granted all the same goes back in the background, and so
            // does a place in line.
            let _ = timeout(FAREWELL, client.flush()).await;
            return Ok(exit::by_signal(signal as i32));
        }
    };
    let mut group = match Group::start(&args.command, &environment(&guard)) {
        Ok(group) => group,
        Err(error) => {
            give_back(guard, &mut signals, output).await;
            return Err(not_started(&args.command, &error));
        }
    };
    let terminal = Terminal::open();
    let supervisor = Supervisor::new(&guard, &mut group, &mut signals, terminal.as_ref(), output);
    let end = supervisor.watch().await;
    let gone = match &end {
        End::Ended(_) => end_leftovers(&group, &guard, output).await,
        // Before the terminal is taken away: the command may want to tidy it.
        End::Lost(loss) => end_by(&group, loss.kill_at).await,
    };
    if let Some(terminal) = terminal {
        terminal.take_back_from(group.id());
    }
    match end {
        End::Ended(code) => {
            match gone {
                true => give_back(guard, &mut signals, output).await,
                false => give_back::keep(guard, output),
            }
            Ok(code)
        }
        End::Lost(loss) => {
            let failure = lost(&guard, &loss, gone);
            say_farewell(&client, guard, gone).await;
            Err(failure)
        }
    }
}

/// Takes the lock, and not one that its owner has taken before: whoever works
/// under that would not be alone.
///
/// It looks first because acquiring again changes the lease; and the grant has
/// the last word because somebody may come in between.
async fn acquire(
    client: &LockClient,
    args: &RunArgs,
    output: Output,
) -> Result<LockGuard, Failure> {
    if args.owner.is_some() && !args.reenter {
        let lock = client.get(&args.resource).await.map_err(explained)?;
        if let Some(lock) = lock.filter(|lock| !lock.stale && lock.owner_id == client.owner_id()) {
            return Err(held_already(args, client.owner_id(), lock.fencing_token));
        }
    }
    let acquisition = client.acquire(&args.resource, options(&args.lease));
    let guard = waiting::told(client, &args.resource, args.lease.wait, output, acquisition);
    let guard = guard.await.map_err(explained)?;
    if args.owner.is_some() && !args.reenter && guard.reentrant() {
        let failure = held_already(args, guard.owner_id(), guard.fencing_token());
        let retried = guard.retried();
        // Not to be given back: somebody may work under it.
        std::mem::forget(guard);
        return Err(match retried {
            true => failure.with_advice(
                "It may be this run's own, of an attempt without an answer: it runs out by itself.",
            ),
            false => failure,
        });
    }
    Ok(guard)
}

fn held_already(args: &RunArgs, owner: &str, token: u64) -> Failure {
    let resource = args.resource.to_string();
    let message = format!("{} is held by {} already", escaped(&resource), escaped(owner));
    Failure::new("HELD_ALREADY", message)
        .with_code(exit::CONFLICT)
        .with("resource", resource)
        .with("owner_id", owner)
        .with("fencing_token", token.to_string())
        .with_advice(
            "Nothing was run: it would not be alone. Leave --owner out, or go on all the same with \
             --reenter.",
        )
}

/// What the command is told about its lock.
fn environment(guard: &LockGuard) -> [(&'static str, String); 3] {
    [
        ("LOCK_RESOURCE", guard.resource().to_string()),
        ("LOCK_OWNER_ID", guard.owner_id().to_owned()),
        ("LOCK_FENCING_TOKEN", guard.fencing_token().to_string()),
    ]
}

fn not_started(command: &[OsString], error: &io::Error) -> Failure {
    let program = command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    let message = |what| format!("{} cannot be {what}: {error}", escaped(&program));
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new("COMMAND_NOT_FOUND", message("found")).with_code(exit::NOT_FOUND)
        }
        _ => Failure::new("COMMAND_NOT_EXECUTABLE", message("executed"))
            .with_code(exit::CANNOT_EXECUTE),
    }
    .with("command", program)
}

/// Ends what the command left running in its group. Whether all of it is gone.
async fn end_leftovers(group: &Group, guard: &LockGuard, output: Output) -> bool {
    if group.is_gone() {
        return true;
    }
    output.note("the command has ended and left processes behind: ending them");
    group.signal(Signal::SIGTERM);
    // One that is stopped cannot act on it otherwise.
    group.signal(Signal::SIGCONT);
    let kill_at = guard.trusted_until().min(Instant::now() + lease::LEFTOVER_GRACE);
    let gone = tokio::select! {
        gone = group.gone_by(kill_at) => gone,
        _ = guard.lost() => false,
    };
    gone || kill(group).await
}

/// Ends the group: TERM now, KILL at that moment. Whether all of it is gone.
///
/// No CONT here: what is stopped must not run another line.
async fn end_by(group: &Group, kill_at: Instant) -> bool {
    group.signal(Signal::SIGTERM);
    group.gone_by(kill_at).await || kill(group).await
}

async fn kill(group: &Group) -> bool {
    group.signal(Signal::SIGKILL);
    group.gone_by(Instant::now() + AFTER_KILL).await
}

fn lost(guard: &LockGuard, loss: &Loss, gone: bool) -> Failure {
    let resource = guard.resource().to_string();
    // The server shortens what it quotes, and a reason may be longer.
    let broken = loss.forced.as_deref().map(|forced| broken(forced, loss.holder.as_deref()));
    let message = format!(
        "the lease of {resource} is lost: {}; {}",
        broken.as_ref().unwrap_or(&loss.message),
        match gone {
            true => "the command was ended",
            false => "the command could not be ended, as a process of another user cannot",
        },
    );
    let failure = Failure::new(loss.reason, message)
        .with_code(exit::LOST)
        .with("resource", resource)
        .with("owner_id", guard.owner_id())
        .with("fencing_token", guard.fencing_token().to_string())
        .with_advice("Check what the command has done so far before running it again.");
    let failure = with_forced(failure, loss.forced.as_deref());
    match &loss.holder {
        Some(holder) => failure.with("holder", holder),
        None => failure,
    }
}

/// Tells the server, if it can be reached, that the lease is not wanted any
/// more. Not while anything still works under it.
async fn say_farewell(client: &LockClient, guard: LockGuard, gone: bool) {
    if !gone {
        return std::mem::forget(guard);
    }
    let farewell = async {
        // Lost is what it is; the server's word on it changes nothing.
        let _ = guard.release().await;
        client.flush().await;
    };
    let _ = timeout(FAREWELL, farewell).await;
}
