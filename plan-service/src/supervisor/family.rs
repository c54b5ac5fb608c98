//! A step's program and all that descends from it.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use super::{
    processes::{self, Process},
    protocol::End,
};

/// The program, its group, and its descendants: as this process is a subreaper,
/// each of them descends from this process as long as it lives.
#[derive(Debug)]
pub(super) struct Family {
    child: Child,
    id: Pid,
    status: Option<ExitStatus>,
    childless: bool,
}

impl Family {
    /// Of a program that was started as the first of its group.
    pub(super) fn new(child: Child) -> Self {
        let id = Pid::from_raw(child.id().cast_signed());
        Self { child, id, status: None, childless: false }
    }

    /// How the program has ended, if it has, by itself or not.
    pub(super) fn end(&self) -> Option<End> {
        let status = self.status?;
        let signal = || status.signal().expect("a code, or a signal");
        Some(status.code().map_or_else(|| End::Signaled(signal()), End::Exited))
    }

    /// Whether nobody is left: the program has ended and this process has no
    /// child, and so no descendant.
    pub(super) fn is_gone(&self) -> bool {
        self.status.is_some() && self.childless
    }

    /// Takes note of every child that has ended.
    pub(super) fn reap(&mut self) {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.childless = false;
        loop {
            match waitid(Id::All, ended) {
                // The program is waited for by its own handle, which can tell of
                // every signal.
                Ok(status) if status.pid() == Some(self.id) && self.status.is_none() => {
                    if !self.reap_program() {
                        return;
                    }
                }
                Ok(WaitStatus::StillAlive) => return,
                Ok(status) => {
                    // It has ended: this cannot wait, and how it ended tells nothing.
                    let _ = waitpid(status.pid(), Some(WaitPidFlag::WNOHANG));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EINVAL) => {
                    // A real-time signal ended one, for which nix has no name, and
                    // so it does not tell which one it was.
                    if !self.reap_program() && !reap_zombies(self.id) {
                        return;
                    }
                }
                Err(Errno::ECHILD) => {
                    self.childless = true;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Whether the program's end was news.
    fn reap_program(&mut self) -> bool {
        if self.status.is_some() {
            return false;
        }
        self.status = self.child.try_wait().ok().flatten();
        self.status.is_some()
    }

    /// Sends a signal to the program's group.
    pub(super) fn signal_group(&self, signal: Signal) {
        // Afterwards the number could be another group's. Those who are left of
        // the group are found as descendants.
        if self.status.is_none() {
            // It may be gone: that is as good.
            let _ = killpg(self.id, signal);
        }
    }

    /// Sends a signal to everyone.
    pub(super) fn signal_all(&self, signal: Signal) {
        // The group first, because that is one step, in which nobody can be born.
        self.signal_group(signal);
        for process in left() {
            let _ = kill(process.id, signal);
        }
    }
}

/// Everyone who descends from this process and has not ended.
pub(super) fn left() -> Vec<Process> {
    let all = processes::all().unwrap_or_default();
    let mut left = processes::descendants(&all, &[Pid::this()]);
    left.retain(|process| !process.is_zombie());
    left
}

/// Waits for each child that has ended, except one, and says whether there was
/// any.
fn reap_zombies(except: Pid) -> bool {
    let all = processes::all().unwrap_or_default();
    let is_ours = |process: &&Process| {
        process.parent == Pid::this() && process.is_zombie() && process.id != except
    };
    let zombies: Vec<_> = all.iter().filter(is_ours).collect();
    for zombie in &zombies {
        let _ = waitpid(zombie.id, Some(WaitPidFlag::WNOHANG));
    }
    !zombies.is_empty()
}
