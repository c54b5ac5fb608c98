//! Lends the terminal to the command.
//!
//! A terminal serves one process group at a time, its foreground group; others
//! are stopped when they read from it. The command is in a group of its own, so
//! it needs to be given the terminal, and `lockctl` takes it back before the
//! shell gets its turn.

use std::{
    fs::{File, OpenOptions},
    io::{IsTerminal as _, stdin, stdout},
};

use nix::{
    sys::signal::{SigSet, SigmaskHow, Signal},
    unistd::{Pid, getpgid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp},
};

/// The terminal that this process belongs to.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: File,
}

impl Terminal {
    /// None where there is no terminal, as in a service.
    pub(super) fn open() -> Option<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self { tty })
    }

    /// Gives the group the terminal, if it is `lockctl`'s to give.
    pub(super) fn lend_to(&self, group: Pid) -> bool {
        self.foreground() == Some(getpgrp()) && self.set_foreground(group)
    }

    /// Whether the group has it.
    pub(super) fn is_lent_to(&self, group: Pid) -> bool {
        self.foreground() == Some(group)
    }

    /// Takes the terminal back from the group, if it has it.
    pub(super) fn take_back_from(&self, group: Pid) {
        if self.is_lent_to(group) {
            self.set_foreground(getpgrp());
        }
    }

    fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.tty).ok()
    }

    /// Who is not in the foreground is stopped by TTOU for this call, unless it
    /// blocks that signal.
    fn set_foreground(&self, group: Pid) -> bool {
        let mut ttou = SigSet::empty();
        ttou.add(Signal::SIGTTOU);
        let Ok(before) = ttou.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return false };
        let done = tcsetpgrp(&self.tty, group).is_ok();
        // Fails for no mask that was one before.
        let _ = before.thread_set_mask();
        done
    }
}

/// Whether the command is what somebody at a terminal works with, rather than
/// one part of a pipeline whose other parts need the terminal as much.
pub(super) fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Whether a shell with job control started this process and can let it go on
/// if it stops: the parent is of the same session and another group. Nobody
/// would ever wake up a process that stops without one.
pub(super) fn can_be_resumed() -> bool {
    let parent = Some(getppid());
    let same_session = getsid(parent).is_ok_and(|session| getsid(None) == Ok(session));
    same_session && getpgid(parent).is_ok_and(|group| group != getpgrp())
}
