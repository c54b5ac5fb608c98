//! The command's process group: started, watched, signalled and waited for as
//! one, so that what the command starts in turn is not forgotten.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::mpsc::{self as blocking, Sender},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use crate::exit;

/// How often to look whether the last process of a group is gone. Nothing in
/// Unix tells of that.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running command and what it has started.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    events: mpsc::UnboundedReceiver<Event>,
}

/// What became of the command, the group's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal stopped it, and it can go on.
    Stopped(Signal),
    /// It has ended, with this code as shells count it.
    Ended(u8),
}

impl Group {
    /// Starts the command in a group of its own, with these variables added to
    /// its environment.
    pub(super) fn start(command: &[OsString], environment: &[(&str, String)]) -> io::Result<Self> {
        let [program, arguments @ ..] = command else {
            return Err(io::Error::other("no command"));
        };
        adopt_orphans();
        // Before the command: once that runs, nothing may fail any more, or it
        // would run on without its lock.
        let (reaper, events) = start_reaper()?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .spawn()?;
        let id = Pid::from_raw(child.id().cast_signed());
        // The thread waits for this; were it gone, `event` would tell.
        let _ = reaper.send(id);
        Ok(Self { id, events })
    }

    /// The group's number, which is its first process's.
    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// What became of the command next. Cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        // The thread sends `Ended` before it ends; without it the command's
        // code is not known.
        self.events.recv().await.unwrap_or(Event::Ended(exit::FAILURE))
    }

    /// Sends the signal to every process of the group. A group that is gone
    /// needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = killpg(self.id, signal);
    }

    /// Whether no process of the group is left.
    pub(super) fn is_gone(&self) -> bool {
        killpg(self.id, None) == Err(Errno::ESRCH)
    }

    /// Waits until no process of the group is left, or the moment has come, and
    /// says whether none is left.
    pub(super) async fn gone_by(&self, moment: Instant) -> bool {
        let gone = async {
            while !self.is_gone() {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout_at(moment, gone).await.is_ok()
    }
}

/// Makes processes whose parent ends children of this one, so that they can be
/// waited for and leave no zombie in the group, whatever the init process of
/// a container does.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    // Where it fails, orphans are init's as ever.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Starts what waits for the command once it is told which that is, and for
/// nothing if it never is.
///
/// A thread of its own, because only a blocking wait tells of stops. It waits
/// for the child in this process's stead and ends with it.
fn start_reaper() -> io::Result<(Sender<Pid>, mpsc::UnboundedReceiver<Event>)> {
    let (sender, events) = mpsc::unbounded_channel();
    let (reaper, started) = blocking::channel();
    thread::Builder::new().name("reaper".to_owned()).spawn(move || {
        if let Ok(command) = started.recv() {
            reap(command, &sender);
        }
    })?;
    Ok((reaper, events))
}

/// Waits for the command and for every orphan, and tells of the command.
fn reap(command: Pid, events: &mpsc::UnboundedSender<Event>) {
    loop {
        let event = match waitpid(None, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => {
                // Exit codes are one byte.
                Event::Ended(u8::try_from(code).unwrap_or(exit::FAILURE))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                Event::Ended(exit::by_signal(signal as i32))
            }
            Ok(WaitStatus::Stopped(pid, signal)) if pid == command => Event::Stopped(signal),
            // A real-time signal ended a child, and `nix` knows no name for it.
            Err(Errno::EINVAL) if kill(command, None) == Err(Errno::ESRCH) => {
                Event::Ended(exit::FAILURE)
            }
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => continue,
            Err(_) => return,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
