//! Watches over the command and its lease while both last: passes signals on,
//! lends it the terminal, stops when it is stopped.

use lock_client::{ForcedRelease, LockGuard, Lost, LostReason};
use nix::sys::signal::{Signal, raise};
use proto::reason;
use tokio::time::{Instant, sleep_until};

use super::{
    group::{Event, Group},
    lease::{self, Lease},
    signals::{self, Signals},
    terminal::{self, Terminal},
};
use crate::output::Output;

/// How the watch ended.
#[derive(Debug)]
pub(super) enum End {
    /// The command has ended by itself, with this code.
    Ended(u8),
    /// The command must end.
    Lost(Loss),
}

/// Why the command must end, and when at the latest.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) kill_at: Instant,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) holder: Option<String>,
    pub(super) forced: Option<Box<ForcedRelease>>,
}

/// What is watched, and with what.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    guard: &'a LockGuard,
    group: &'a mut Group,
    signals: &'a mut Signals,
    terminal: Option<&'a Terminal>,
    /// The command has, or had when it was stopped, the terminal.
    lent: bool,
    lease: Lease,
    output: Output,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        guard: &'a LockGuard,
        group: &'a mut Group,
        signals: &'a mut Signals,
        terminal: Option<&'a Terminal>,
        output: Output,
    ) -> Self {
        let lease = Lease::new(guard.trusted_until(), Instant::now());
        Self { guard, group, signals, terminal, lent: false, lease, output }
    }

    /// Watches until the command ends or must end. It keeps the terminal if it
    /// was lent to it.
    pub(super) async fn watch(mut self) -> End {
        if terminal::is_interactive() && self.lend_terminal() {
            // It may have been stopped for reaching for the terminal too soon.
            self.group.signal(Signal::SIGCONT);
        }
        let mut lost = Box::pin(self.guard.lost());
        loop {
            // One that has ended tells more of it below.
            if self.guard.check().is_ok() && self.term_is_due() {
                return End::Lost(self.not_renewed());
            }
            let look_at = self.lease.term_at().min(Instant::now() + lease::LOOK_AGAIN);
            tokio::select! {
                // The lease comes first, or a flood of signals could outlast it.
                biased;
                lost = &mut lost => return End::Lost(self.told_of(lost)),
                () = sleep_until(look_at) => {}
                event = self.group.event() => match event {
                    Event::Ended(code) => return End::Ended(code),
                    Event::Stopped(signal) => self.stopped(signal),
                },
                signal = self.signals.next() => self.pass_on(signal),
            }
        }
    }

    fn term_is_due(&mut self) -> bool {
        let now = Instant::now();
        self.lease.see(self.guard.trusted_until(), now);
        now >= self.lease.term_at()
    }

    /// Whether the command must end, so that one that is stopped must not run
    /// another line.
    fn must_end(&mut self) -> bool {
        self.guard.check().is_err() || self.term_is_due()
    }

    fn pass_on(&mut self, signal: Signal) {
        if self.must_end() {
            // Which the next look tells; and it might wake the command up.
            return;
        }
        self.group.signal(signal);
        if signals::asks_to_end(signal) {
            // One that is stopped cannot act on it otherwise.
            self.group.signal(Signal::SIGCONT);
        }
    }

    /// No renewal was confirmed, and the time that is left is just enough to
    /// end the command in.
    fn not_renewed(&self) -> Loss {
        Loss {
            kill_at: self.guard.trusted_until(),
            reason: "LEASE_LOST",
            message: "it could not be renewed in time".to_owned(),
            holder: None,
            forced: None,
        }
    }

    fn told_of(&self, lost: Lost) -> Loss {
        let now = Instant::now();
        let (kill_at, reason) = match lost.reason {
            LostReason::Expired => (now + lease::LOST_GRACE, reason::LOCK_EXPIRED),
            LostReason::NotHeld => (now + lease::LOST_GRACE, reason::LOCK_NOT_HELD),
            // Its time is over already.
            _ => (now, "LEASE_LOST"),
        };
        let Lost { message, holder, forced, .. } = lost;
        Loss { kill_at, reason, message, holder, forced }
    }

    fn lend_terminal(&mut self) -> bool {
        let lent = self.terminal.is_some_and(|tty| tty.lend_to(self.group.id()));
        self.lent |= lent;
        lent
    }

    fn has_terminal(&self) -> bool {
        self.terminal.is_some_and(|tty| tty.is_lent_to(self.group.id()))
    }

    /// The command was stopped: by somebody who pressed Ctrl-Z, because it
    /// reached for a terminal that it does not have, or on purpose.
    fn stopped(&mut self, signal: Signal) {
        match signal {
            // Or it reached for the terminal just before it was lent to it.
            Signal::SIGTTIN | Signal::SIGTTOU if self.lend_terminal() || self.has_terminal() => {
                self.group.signal(Signal::SIGCONT);
            }
            Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU if terminal::can_be_resumed() => {
                self.suspend();
            }
            // Nobody could say `fg`: not to be stopped is the lesser evil.
            Signal::SIGTSTP => self.group.signal(Signal::SIGCONT),
            Signal::SIGTTIN | Signal::SIGTTOU => {
                self.output.note("the command is stopped: it wants a terminal and there is none");
            }
            // Whoever sent STOP sends CONT. The lease is kept meanwhile.
            _ => {}
        }
    }

    /// Stops with the command, as the shell expects, and goes on with it when
    /// the shell says so. The lease runs on meanwhile: if it has run out by
    /// then, the command is not woken up, and ends for it.
    fn suspend(&mut self) {
        if let Some(terminal) = self.terminal {
            terminal.take_back_from(self.group.id());
        }
        // As it is now, or a renewal of just now would look like one of then.
        self.lease.see(self.guard.trusted_until(), Instant::now());
        // Returns when a CONT arrives.
        let _ = raise(Signal::SIGSTOP);
        if self.must_end() {
            return;
        }
        if self.lent {
            self.lend_terminal();
        }
        self.group.signal(Signal::SIGCONT);
    }
}
