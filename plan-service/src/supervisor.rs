//! The process that stands between the service and a step's program:
//! `plan-service supervise`. Its one promise is that the step is over when its
//! lease is, whatever becomes of the service meanwhile.
//!
//! The service starts one for each step (see [`crate::runner`]) and speaks with
//! it over its standard input and output ([`protocol`]). It has one thread,
//! which waits in `poll` for whatever comes first: a word of the service, a
//! moment, a signal, the step's output, or room to pass that on. So nothing can
//! keep it from its deadline, not even a service that is stopped and reads
//! nothing.
//!
//! - It has a session of its own, so that no Ctrl-C or Ctrl-Z of the service's
//!   terminal reaches it, and no step can ask that terminal for a password.
//! - It is a subreaper: processes that left the step's group, or lost their
//!   parent, become its children and are found.
//! - When its input ends, the service is gone: everything is killed.
//!
//! - Signals that are sent to it and ask for an end are the step's: they are
//!   passed on.
//!
//! Linux only: it needs subreapers, `CLOCK_BOOTTIME` and `/proc`.
//!
//! Who stops or kills the supervisor itself takes this guard away. The service
//! then ends what it finds of the session, which is all but those that left
//! it, and if the service is gone too, the step runs on.

pub(crate) mod clock;
mod family;
mod link;
pub(crate) mod processes;
mod program;
pub(crate) mod protocol;
mod schedule;
mod watch;

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use nix::{
    sys::{prctl, signal::SigSet},
    unistd,
};

use self::{
    clock::Deadline,
    family::Family,
    link::Link,
    program::NotStarted,
    protocol::{End, Order},
    schedule::Schedule,
    watch::Watch,
};

/// Its name in the process table: a `pkill plan-service` is not meant for it.
const NAME: &std::ffi::CStr = c"plan-step";

/// What `plan-service supervise` does, from its start to its end. To be called
/// before the process has started any other thread.
///
/// The code tells the service whether everything that was started is gone.
pub fn run() -> ExitCode {
    if io::stdin().is_terminal() {
        complain(&"supervise is for plan-service itself, which starts one for each step");
        return ExitCode::from(2);
    }
    match supervise() {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Where nobody listens, nobody needs to know.
fn complain(problem: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "plan-step: {problem}");
}

fn supervise() -> io::Result<ExitCode> {
    // Fails only where it leads its group already, and then that is its own.
    let _ = unistd::setsid();
    prctl::set_name(NAME)?;
    prctl::set_child_subreaper(true)?;
    let mut link = Link::new();
    let Some(order) = link.order()? else {
        // The service has died, or thought better of it.
        return Ok(ExitCode::SUCCESS);
    };
    // Before the program: once that runs, nothing may fail any more.
    let signals = watch::Signals::new()?;
    let timer = watch::Timer::new()?;
    // What is blocked here would be blocked in the program, too.
    SigSet::empty().thread_set_mask()?;
    let (family, output, schedule) = match start(&order) {
        Ok(started) => started,
        Err(end) => {
            link.tell_end(&end);
            return Ok(ExitCode::SUCCESS);
        }
    };
    signals.block();
    Ok(Watch::new(link, family, output, schedule, signals, timer).run())
}

/// Starts the program, unless it is too late for that.
fn start(order: &Order) -> Result<(Family, io::PipeReader, Schedule), End> {
    let program = program::find(order).map_err(NotStarted::into_end)?;
    let now = Deadline::now();
    if now >= order.deadline {
        return Err(End::DeadlinePassed);
    }
    let schedule = Schedule::new(now, order.deadline, order.time_limit);
    let (child, output) = program::start(&program, order).map_err(NotStarted::into_end)?;
    Ok((Family::new(child), output, schedule))
}
