//! Watches over a running step until nobody of it is left.

use std::{
    io::{self, PipeReader},
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use super::{
    clock::Deadline,
    family::{self, Family},
    link::{self, Link},
    protocol::{Command, End},
    schedule::{Due, Schedule, Why},
};

/// Signals that are meant for the step when somebody sends them here.
pub(super) const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
/// How long killed processes are waited for. Those that are still there cannot
/// be killed: another user's, or stuck in the kernel.
const UNKILLABLE: Duration = Duration::from_secs(10);
/// How much is still read once nobody is left who could have written it: as much
/// as the largest pipe holds. More comes from somebody else who was given it.
const REST: usize = 1024 * 1024;

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&watched(), flags)?))
    }

    /// From now on they come here, and nowhere else. Not before the program is
    /// started, which would inherit that: one that comes just then ends the
    /// supervisor, and the service the step.
    pub(super) fn block(&self) {
        watched().thread_block().expect("signals can be blocked");
    }

    fn next(&self) -> Option<Signal> {
        let signal = self.0.read_signal().ok().flatten()?;
        Signal::try_from(signal.ssi_signo.cast_signed()).ok()
    }
}

fn watched() -> SigSet {
    // A child that has ended before they were blocked is seen all the same: each
    // round looks for such.
    PASSED_ON.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Wakes up at a moment, also when the machine has slept until after it.
#[derive(Debug)]
pub(super) struct Timer(TimerFd);

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?))
    }

    fn set(&self, moment: Deadline) {
        // Zero would mean never.
        let moment = moment.since_boot().max(Duration::from_nanos(1));
        self.0
            .set(Expiration::OneShot(TimeSpec::from(moment)), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            .expect("a timer takes every moment");
    }
}

/// All that the supervisor has in hand.
#[derive(Debug)]
pub(super) struct Watch {
    link: Link,
    family: Family,
    schedule: Schedule,
    signals: Signals,
    timer: Timer,
    /// What the step writes; none after its end.
    output: Option<PipeReader>,
    /// How the step ended, once its program has.
    end: Option<End>,
}

impl Watch {
    pub(super) fn new(
        link: Link,
        family: Family,
        output: PipeReader,
        schedule: Schedule,
        signals: Signals,
        timer: Timer,
    ) -> Self {
        // It is a pipe: this cannot fail, and without it a slow step could keep
        // the supervisor waiting.
        let set = link::set_nonblocking(output.as_fd(), true);
        let output = set.is_ok().then_some(output);
        Self { link, family, schedule, signals, timer, output, end: None }
    }

    /// Watches until nobody is left, and tells the service.
    pub(super) fn run(mut self) -> ExitCode {
        let is_all_gone = self.watch();
        if self.link.is_open() {
            self.pass_on_the_rest();
            if !is_all_gone {
                let message = format!("\nplan-step: could not be ended: {}\n", who_is_left());
                self.link.tell_output(message.as_bytes());
            }
            let end = self.end.take().unwrap_or_else(|| self.judge());
            self.link.tell_end(&end);
        }
        if is_all_gone { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Whether nobody is left.
    fn watch(&mut self) -> bool {
        loop {
            self.obey();
            while let Some(signal) = self.signals.next() {
                if signal != Signal::SIGCHLD {
                    self.family.signal_group(signal);
                }
            }
            self.reap();
            if self.family.is_gone() {
                return true;
            }
            let now = Deadline::now();
            if self.schedule.killing(now) > UNKILLABLE {
                return false;
            }
            self.act(now);
            self.pass_on();
            self.timer.set(self.schedule.next(Deadline::now()));
            self.wait();
        }
    }

    fn obey(&mut self) {
        while let Some(command) = self.link.command() {
            let now = Deadline::now();
            match command {
                Command::Deadline(deadline) => self.schedule.set_deadline(now, deadline),
                Command::Stop(how) => self.schedule.stop(now, how),
                // There is one step for each supervisor.
                Command::Start(_) => self.link.close(),
            }
        }
    }

    fn reap(&mut self) {
        self.family.reap();
        if self.end.is_none() && self.family.end().is_some() {
            self.end = Some(self.judge());
            if !self.family.is_gone() {
                self.schedule.left_behind(Deadline::now());
            }
        }
    }

    fn act(&mut self, now: Deadline) {
        if !self.link.is_open() {
            self.schedule.alone(now);
        }
        match self.schedule.due(now) {
            Due::Nothing => {}
            // While the program runs, it is its to end those that it has started.
            Due::Ask if self.end.is_none() => {
                self.family.signal_group(Signal::SIGTERM);
                // One that is stopped cannot act on it otherwise.
                self.family.signal_group(Signal::SIGCONT);
            }
            Due::Ask => {
                self.family.signal_all(Signal::SIGTERM);
                self.family.signal_all(Signal::SIGCONT);
            }
            Due::Kill => self.family.signal_all(Signal::SIGKILL),
        }
    }

    /// How the step ended, as things are: what was done to it tells more than how
    /// its program took that.
    fn judge(&self) -> End {
        match self.schedule.why() {
            Some(Why::TimeLimit) => End::TimedOut,
            Some(Why::Deadline) => End::DeadlinePassed,
            Some(Why::Stop) => End::Stopped,
            Some(Why::Alone | Why::Left) | None => self.family.end().unwrap_or(End::SupervisorGone),
        }
    }

    /// Passes on what the pipes take. Nothing more is read from the step before
    /// the service has taken what was, so that a step waits for its reader.
    fn pass_on(&mut self) {
        self.link.pass_on();
        if !self.link.is_behind()
            && let Some(output) = &self.output
        {
            if self.link.take_from(output.as_fd()) == Some(0) {
                self.output = None;
            }
            self.link.pass_on();
        }
    }

    /// What those who are gone have written and nobody has read. Whoever is not a
    /// descendant and still has the pipe is not waited for.
    fn pass_on_the_rest(&mut self) {
        self.link.flush();
        let Some(output) = self.output.take() else { return };
        let mut rest = REST;
        while let Some(count @ 1..) = self.link.take_from(output.as_fd()) {
            self.link.flush();
            rest = rest.saturating_sub(count);
            if rest == 0 || !self.link.is_open() {
                return;
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        let is_open = self.link.is_open();
        let is_behind = self.link.is_behind();
        // Without a wish, it is still told when nobody reads any more.
        let write = if is_behind { PollFlags::POLLOUT } else { PollFlags::empty() };
        let read = |file| PollFd::new(file, PollFlags::POLLIN);
        let mut files = vec![read(self.signals.0.as_fd()), read(self.timer.0.as_fd())];
        if let Some(output) = self.output.as_ref().filter(|_| is_open && !is_behind) {
            files.push(read(output.as_fd()));
        }
        if is_open {
            files.push(read(self.link.input()));
            files.push(PollFd::new(self.link.output(), write));
        }
        // Interrupted, or out of memory: the next round tries again.
        let _ = poll(&mut files, PollTimeout::NONE);
        if is_open && files.last().is_some_and(has_no_reader) {
            self.link.close();
        }
    }
}

fn has_no_reader(file: &PollFd<'_>) -> bool {
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    file.revents().is_some_and(|events| events.intersects(gone))
}

fn who_is_left() -> String {
    let left: Vec<_> = family::left().iter().map(|one| format!("process {}", one.id)).collect();
    if left.is_empty() { "processes that /proc does not show".to_owned() } else { left.join(", ") }
}
