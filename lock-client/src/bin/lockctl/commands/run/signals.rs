//! The signals that `run` passes on to the command instead of dying of them.

use std::{fs, io};

use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Those that tell a program something. TSTP is among them so that a
/// suspended `lockctl` never leaves its command running unwatched, and CONT so
/// that whoever stopped the command need not know its number to wake it up.
const PASSED_ON: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];

/// The signals that arrive from now on, in their order.
#[derive(Debug)]
pub(super) struct Signals {
    arrived: mpsc::UnboundedReceiver<Signal>,
    // Keeps `next` waiting, rather than ending, if no signal can arrive.
    _sender: mpsc::UnboundedSender<Signal>,
}

impl Signals {
    /// Begins to listen: from here on they no longer do what they did.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, arrived) = mpsc::unbounded_channel();
        let ignored = ignored();
        for kind in PASSED_ON.into_iter().filter(|&kind| !ignored.holds(kind)) {
            let mut stream = signal(SignalKind::from_raw(kind as i32))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send(kind).is_ok() {}
            });
        }
        Ok(Self { arrived, _sender: sender })
    }

    /// The next one. Cancel safe: none is lost by dropping the future.
    pub(super) async fn next(&mut self) -> Signal {
        match self.arrived.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// A set of signals, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn holds(self, signal: Signal) -> bool {
        self.0 & (1 << (signal as i32 - 1)) != 0
    }
}

/// The signals that this process was told to ignore when it was started, as
/// `nohup` does. They stay ignored, here and in the command, which inherits
/// that: listening would undo it.
fn ignored() -> Set {
    // Only Linux tells; elsewhere none is known.
    fs::read_to_string("/proc/self/status").ok().and_then(|status| parse(&status)).unwrap_or(Set(0))
}

fn parse(status: &str) -> Option<Set> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok().map(Set)
}

/// The first signal that means that there should be no command at all. Cancel
/// safe, and takes those before it away.
pub(super) async fn asked_to_end(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if asks_to_end(signal) {
            return signal;
        }
    }
}

/// Whether the signal asks a program to end.
pub(super) fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_what_linux_tells() {
        let set =
            parse("Name:\tx\nSigBlk:\t00000000000000ff\nSigIgn:\t0000000000000001\n").unwrap();
        assert!(set.holds(Signal::SIGHUP));
        assert!(!set.holds(Signal::SIGINT));
        assert_eq!(parse("Name:\tx\n"), None);
    }
}
