//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args as Flags, Parser, Subcommand, ValueEnum};

use crate::{serve::Serve, target::Kind};

/// Puts load on lock-server and on what people use today, side by side.
///
/// Every target is started for the run as a process of its own, on loopback, with its data in the
/// folder for temporary files (TMPDIR), and is gone afterwards. Put that folder on a disk: a commit
/// that reaches no disk says nothing.
#[derive(Debug, Parser)]
#[command(name = "lock-bench", version)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure, print tables, and say which of the project's targets are met.
    Run(Box<Options>),
    /// Be one of the servers to compare with.
    #[command(hide = true, subcommand)]
    Serve(Serve),
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Acquire and release without contention, closed loop.
    Pairs,
    /// The latency of one caller alone.
    OneCaller,
    /// 64 callers for 1 lock and for 8.
    Contended,
    /// Renewals of held locks.
    Renewals,
    /// 80 % renewals, 15 % acquire and release, 5 % conflicts.
    Mixed,
    /// How often one lock changes hands among those who wait in line for it.
    Handoff,
    /// From a release to the answer of the next in line.
    HandoffTime,
    /// Latency over load, open loop.
    OpenLoop,
    /// Many locks kept alive by one client.
    KeepAlive,
    /// What many who wait for one lock cost.
    Waiters,
    /// A small table against a large one.
    Size,
    /// What millions of pairs leave behind.
    Churn,
}

/// How to measure.
#[derive(Clone, Debug, Flags)]
pub(crate) struct Options {
    /// Only these scenarios. Repeatable.
    #[arg(long = "scenario", value_enum, value_name = "NAME")]
    pub(crate) scenarios: Vec<Scenario>,

    /// Only these targets. Repeatable.
    #[arg(long = "target", value_enum, value_name = "NAME")]
    pub(crate) targets: Vec<Kind>,

    /// For how long each run counts, in seconds.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) seconds: Duration,

    /// How often each run is made, the targets in turns. The median is shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,

    /// How many connections the callers share. Without it, what is best for the server without a
    /// store is tried out and taken for all.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: Option<u16>,

    /// How many locks one client keeps alive.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_alive_locks: u32,

    /// For how long that is watched. A lease is renewed about every 100 seconds.
    #[arg(long, default_value = "120", value_parser = seconds)]
    pub(crate) keep_alive_seconds: Duration,

    /// How many wait for one lock while the server's memory is looked at.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) waiters: u32,

    /// How many rows the large table has.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) size_rows: u64,

    /// How many pairs make up the churn.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) churn_pairs: u64,

    /// Everything, but so short and small that the figures mean nothing: to see that it works.
    #[arg(long)]
    pub(crate) smoke: bool,

    /// The server to measure. Without it, lock-server beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) lock_server: Option<PathBuf>,

    /// Write all results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write results.json, report.md and plots (SVG) to this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    /// Whether a scenario is asked for.
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    /// Whether a target is asked for.
    pub(crate) fn measures(&self, kind: Kind) -> bool {
        self.targets.is_empty() || self.targets.contains(&kind)
    }

    /// As given, or cut down to a smoke test.
    pub(crate) fn sized(self) -> Self {
        if !self.smoke {
            return self;
        }
        Self {
            seconds: Duration::from_millis(200),
            rounds: 1,
            keep_alive_locks: 500,
            keep_alive_seconds: Duration::from_secs(1),
            waiters: 200,
            size_rows: 10_000,
            churn_pairs: 5_000,
            ..self
        }
    }
}

/// A number of seconds, such as `3` or `0.5`, up to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number of seconds from 0.05 to 3600, such as 3 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if (0.05..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn options(args: &[&str]) -> Result<Options, String> {
        let args = ["lock-bench", "run"].iter().chain(args);
        match Args::try_parse_from(args).map_err(|error| error.to_string())?.command {
            Command::Run(options) => Ok(*options),
            Command::Serve(_) => Err("not a run".to_owned()),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_is_measured_unless_something_is_named() {
        let all = options(&[]).unwrap();
        assert!(all.wants(Scenario::Churn) && all.measures(Kind::Zookeeper));
        let some = options(&["--scenario", "pairs", "--target", "postgres-256-rows"]).unwrap();
        assert!(some.wants(Scenario::Pairs) && !some.wants(Scenario::Churn));
        assert!(some.measures(Kind::PostgresRows) && !some.measures(Kind::Postgres));
    }

    #[test]
    fn names_on_the_command_line_are_those_of_the_results() {
        for kind in Kind::value_variants() {
            let value = kind.to_possible_value().unwrap();
            assert_eq!(value.get_name(), kind.name());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, words) in [
            (["--seconds", "0"], "0.05 to 3600"),
            (["--seconds", "1h"], "such as 3 or 0.5"),
            (["--rounds", "0"], "1..=100"),
            (["--target", "etcetera"], "etcd"),
            (["--connections", "1000"], "1..=256"),
            (["--waiters", "30000"], "1..=20000"),
        ] {
            let problem = options(&args).unwrap_err();
            assert!(problem.contains(words), "{args:?}: {problem}");
        }
    }

    #[test]
    fn a_smoke_test_is_small() {
        let options = options(&["--smoke", "--seconds", "9"]).unwrap().sized();
        assert!(options.seconds < Duration::from_secs(1));
        assert!(options.churn_pairs <= 5_000 && options.waiters <= 1_000);
    }
}
