//! Putting load on a target, and what is measured meanwhile.

mod closed;
mod open;
mod schedule;
mod script;
mod tally;

pub(crate) use self::{
    closed::{closed, counted},
    open::open,
    script::{Script, WAIT},
    tally::{Tally, histogram, micros},
};

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use crate::cpu;

/// For how long to put load on, and for how long before that without counting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Before anything counts.
    pub(crate) warm_up: Duration,
    /// What counts.
    pub(crate) time: Duration,
}

/// The processes whose CPU time counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// The server that is called.
    pub(crate) server: Option<u32>,
    /// The other one, where two of one database are called.
    pub(crate) second: Option<u32>,
    /// The database behind it.
    pub(crate) database: Option<u32>,
}

/// CPU seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Of the server, or of both.
    pub(crate) server: Option<f64>,
    /// Of the database.
    pub(crate) database: Option<f64>,
    /// Of this tool.
    pub(crate) tool: f64,
    /// Of the whole machine.
    pub(crate) machine: f64,
}

/// What came of one run.
#[derive(Debug)]
pub(crate) struct Run {
    /// For how long it was counted.
    pub(crate) seconds: f64,
    /// What was counted.
    pub(crate) tally: Tally,
    /// The steps of each caller, where its share matters.
    pub(crate) each: Vec<u64>,
    /// What it cost.
    pub(crate) cpu: Cpu,
}

impl Run {
    /// The smallest and the largest share of a caller, relative to an even one.
    pub(crate) fn shares(&self) -> Option<(f64, f64)> {
        let even = self.each.iter().sum::<u64>() as f64 / self.each.len() as f64;
        let (least, most) = (self.each.iter().min()?, self.each.iter().max()?);
        (even > 0.0).then(|| (*least as f64 / even, *most as f64 / even))
    }
}

impl Meter {
    /// This one, and the server of another one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { second: other.server, ..self }
    }

    /// What the processes have used so far.
    pub(crate) fn read(self) -> Cpu {
        let second = self.second.and_then(cpu::of_tree).unwrap_or(0.0);
        let of_both = self.server.and_then(cpu::of_tree).map(|first| first + second);
        Cpu {
            server: of_both,
            database: self.database.and_then(cpu::of_tree),
            tool: cpu::of_self(),
            machine: cpu::of_machine(),
        }
    }
}

impl Cpu {
    /// What has been used since.
    pub(crate) fn since(self, before: Self) -> Self {
        let since = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            server: since(self.server, before.server),
            database: since(self.database, before.database),
            tool: self.tool - before.tool,
            machine: self.machine - before.machine,
        }
    }

    /// Server and database, as far as there are any.
    pub(crate) fn of_target(self) -> f64 {
        self.server.unwrap_or(0.0) + self.database.unwrap_or(0.0)
    }

    /// Whatever else the machine did: the noise.
    pub(crate) fn of_others(self) -> f64 {
        (self.machine - self.of_target() - self.tool).max(0.0)
    }
}

/// Where a run is, seen by all its callers.
#[derive(Clone, Debug, Default)]
struct Phase(Arc<AtomicU8>);

impl Phase {
    const COUNTING: u8 = 1;
    const OVER: u8 = 2;

    fn counting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::COUNTING
    }

    fn over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::OVER
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    /// Goes through all phases, and says how long was counted and what it cost.
    async fn play(&self, span: Span, meter: Meter) -> (f64, Cpu) {
        tokio::time::sleep(span.warm_up).await;
        let before = meter.read();
        self.set(Self::COUNTING);
        let start = Instant::now();
        tokio::time::sleep(span.time).await;
        self.set(Self::OVER);
        let seconds = start.elapsed().as_secs_f64();
        (seconds, meter.read().since(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_relative_to_an_even_one() {
        let tally = Tally::default();
        let cpu = Meter::default().read();
        let run = |each| Run { seconds: 1.0, tally: tally.clone(), each, cpu };
        assert_eq!(run(vec![9, 10, 11]).shares(), Some((0.9, 1.1)));
        assert_eq!(run(vec![0, 0]).shares(), None);
        assert_eq!(run(Vec::new()).shares(), None);
    }
}
