//! The command line: what `lockctl --help` says and what it makes of the
//! arguments.

mod help;
mod value;

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use lock_client::{Resource, Timestamp};
use service_kit::cli::Format;

/// Takes, keeps, shows and gives back locks on a lock server.
///
/// A lock is a lease: it is held until it is given back or its time to live
/// has passed without a renewal. A lease alone does not stop a holder that was
/// paused and wakes up late; the fencing token does, where the thing that the
/// lock protects checks it.
#[derive(Debug, Parser)]
#[command(name = "lockctl", version, after_help = help::after(), max_term_width = 100)]
pub(crate) struct Cli {
    /// Where and how.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where the server is; several, repeated or separated by commas, are
    /// servers on one database, any of which may answer.
    #[arg(
        long,
        value_name = "URL",
        env = "LOCKCTL_ADDR",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) addr: Vec<String>,

    /// How to print the answer: for people or for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true)]
    pub(crate) output: Format,

    /// For how long to try each call, retries and all.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = value::span, global = true)]
    pub(crate) timeout: Duration,
}

/// What `lockctl` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a lock and leave it held: nobody renews it, so it lasts for its
    /// TTL.
    ///
    /// The same owner may acquire again: the lock keeps its token, and its
    /// expiry never moves closer. If another owner holds the resource, still
    /// when the --wait is over, says who, since when and for how long, and ends
    /// with 75.
    Acquire(AcquireArgs),
    /// Give a lock that is held more time, from now.
    ///
    /// Never brings back a lease that ran out: that ends with 76.
    ///
    /// A shorter TTL takes time away. Whoever else keeps the lock, such as
    /// `lockctl run`, hears of it only with its own next renewal and goes on
    /// until then, past the end of the lease if that comes first: never make a
    /// lease shorter that somebody else works under.
    Renew(RenewArgs),
    /// Give a lock back.
    ///
    /// If it is free already, says so and ends with 0. If another owner or
    /// another token holds it, changes nothing and ends with 76.
    Release(ReleaseArgs),
    /// Give back everything that an owner holds.
    ReleaseAll(ReleaseAllArgs),
    /// Show the lock of one resource, held or stale.
    ///
    /// Ends with 3 if the resource is free.
    Get(GetArgs),
    /// List the locks that are held, by type and id.
    List(ListArgs),
    /// List the locks whose lease ran out and that nobody has released, taken
    /// over or purged yet, the oldest first.
    Stale(StaleArgs),
    /// Free stale locks. A lock that is held is never touched.
    Purge(PurgeArgs),
    /// Break a lock that somebody else holds: exactly the hold that was seen.
    ///
    /// Takes the token that `lockctl get` shows. If the lock has moved on to
    /// another token, nothing is changed: that ends with 76, and with 3 if the
    /// resource is free.
    ///
    /// Shows the holder first and asks; without a terminal to ask on, --yes is
    /// required. Who held the lock hears by whom and why it was broken, with
    /// its next renewal only, and may work on until then: what the lock
    /// protects should check the fencing token. The audit trail keeps it, and
    /// attempts that were refused, too: see `lockctl events`.
    #[command(override_usage = help::FORCE_RELEASE_USAGE)]
    ForceRelease(ForceReleaseArgs),
    /// List the audit trail, the newest event first: stale locks that were
    /// taken over or purged, and locks that were broken.
    ///
    /// Acquiring, renewing and releasing as usual leaves nothing there.
    Events(EventsArgs),
    /// Show what happens to locks, as it happens.
    ///
    /// First the locks that are held, then a line for each event, until Ctrl-C,
    /// which ends it with 0. When the server goes away, says so, and begins anew
    /// as soon as one can be reached: what happened meanwhile is not told.
    ///
    /// With --output json, one object a line with `kind` and `lock`, as in
    /// lock.v1.WatchResponse. `INTERRUPTED`, with a `reason` and a `message`, is
    /// lockctl's own kind: forget what was told before, for a new snapshot
    /// follows.
    Watch(WatchArgs),
    /// Hold a lock while a command runs.
    #[command(long_about = help::RUN)]
    Run(RunArgs),
    /// Say in one screen whether the servers are well and whether something
    /// needs attention.
    ///
    /// Ends with 0 if all is well, 2 if something needs attention, 69 if no
    /// server can be reached.
    Diagnostics(DiagnosticsArgs),
    /// Print a completion script for a shell.
    ///
    /// For bash: source <(lockctl completions bash)
    Completions(CompletionsArgs),
}

/// Arguments of `acquire`.
#[derive(Debug, Args)]
pub(crate) struct AcquireArgs {
    /// What to lock, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
    /// Who asks: an id of one session of work [default: a new UUIDv7].
    #[arg(long, value_name = "ID", env = "LOCKCTL_OWNER")]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
}

/// What describes a lease that is asked for.
#[derive(Debug, Args)]
pub(crate) struct LeaseArgs {
    /// For how long, from the grant [default: the server's for the type].
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    pub(crate) ttl: Option<Duration>,
    /// For how long to wait in line if another owner holds it [default: not at
    /// all]. At most 1h unless the server is set otherwise.
    ///
    /// Whoever came first is served first, whichever server was asked. A server
    /// that goes away is replaced by another one (--addr), and the place in line
    /// is kept if that one can be reached within 10 s. Who waits is out of line
    /// when lockctl ends.
    #[arg(
        long,
        value_name = "SPAN",
        value_parser = value::wait,
        allow_hyphen_values = true
    )]
    pub(crate) wait: Option<Duration>,
    /// What to tell others about this hold. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::entry)]
    pub(crate) metadata: Vec<(String, String)>,
}

/// Arguments of `renew`.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// What is locked, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
    /// The owner that holds it.
    #[arg(long, value_name = "ID", env = "LOCKCTL_OWNER")]
    pub(crate) owner: String,
    /// The fencing token that the lock was granted with.
    #[arg(long, value_parser = value::token())]
    pub(crate) token: u64,
    /// For how long, from now [default: the lock's own, as last granted].
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    pub(crate) ttl: Option<Duration>,
}

/// Arguments of `release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// What is locked, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
    /// The owner that holds it.
    #[arg(long, value_name = "ID", env = "LOCKCTL_OWNER")]
    pub(crate) owner: String,
    /// Release only this grant [default: whichever the owner holds].
    #[arg(long, value_parser = value::token())]
    pub(crate) token: Option<u64>,
}

/// Arguments of `release-all`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseAllArgs {
    /// The owner.
    #[arg(long, value_name = "ID", env = "LOCKCTL_OWNER")]
    pub(crate) owner: String,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to look at, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only locks of this resource type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) resource_type: Option<String>,
    /// Only ids that start with exactly this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Only locks of this owner.
    #[arg(long, value_name = "ID")]
    pub(crate) owner: Option<String>,
    /// At most this many [default: all].
    #[arg(long, value_name = "N", value_parser = value::limit())]
    pub(crate) limit: Option<u64>,
}

/// Which stale locks.
#[derive(Debug, Args)]
pub(crate) struct StaleFilterArgs {
    /// Only locks of this resource type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) resource_type: Option<String>,
    /// Only locks that ran out at least this long ago.
    #[arg(long, value_name = "SPAN", value_parser = value::span_or_zero)]
    pub(crate) older_than: Option<Duration>,
}

/// Arguments of `stale`.
#[derive(Debug, Args)]
pub(crate) struct StaleArgs {
    #[command(flatten)]
    pub(crate) filter: StaleFilterArgs,
    /// Show at most this many [default: all]. The total counts them all.
    #[arg(long, value_name = "N", value_parser = value::limit())]
    pub(crate) limit: Option<u64>,
}

/// Arguments of `purge`.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) filter: StaleFilterArgs,
}

/// Arguments of `force-release`.
#[derive(Debug, Args)]
pub(crate) struct ForceReleaseArgs {
    /// What to release, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
    /// The fencing token of the hold to break, as `lockctl get` shows it.
    /// Required.
    // Not by clap, which could not say where to find it.
    #[arg(long, value_parser = value::token())]
    pub(crate) token: Option<u64>,
    /// Why, for who held it and for the audit trail.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this resource, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Option<Resource>,
    /// Only events of the last while, by this machine's clock.
    #[arg(long, value_name = "SPAN", value_parser = value::span, conflicts_with = "from")]
    pub(crate) since: Option<Duration>,
    /// Only events from this moment on, such as 2026-01-02T15:04:05Z.
    #[arg(long, value_name = "TIME", value_parser = value::time)]
    pub(crate) from: Option<Timestamp>,
    /// Only events before this moment.
    #[arg(long, value_name = "TIME", value_parser = value::time)]
    pub(crate) until: Option<Timestamp>,
    /// At most this many [default: all].
    #[arg(long, value_name = "N", value_parser = value::limit())]
    pub(crate) limit: Option<u64>,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only this resource, TYPE/ID [default: all].
    #[arg(value_name = "TYPE/ID", conflicts_with_all = ["resource_type", "prefix"])]
    pub(crate) resource: Option<Resource>,
    /// Only locks of this resource type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) resource_type: Option<String>,
    /// Only ids that start with exactly this, of the --type.
    #[arg(long, value_name = "TEXT", requires = "resource_type")]
    pub(crate) prefix: Option<String>,
    /// Tell of renewals, too.
    #[arg(long)]
    pub(crate) renewals: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What to lock, TYPE/ID.
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: Resource,
    /// Who asks: an id of one session of work [default: a new UUIDv7].
    ///
    /// Not read from the environment as elsewhere: two runs that share an owner
    /// do not exclude each other.
    #[arg(long, value_name = "ID")]
    pub(crate) owner: Option<String>,
    /// Go on if the owner holds the lock already, and give it back at the end
    /// whoever else works under it.
    #[arg(long, requires = "owner")]
    pub(crate) reenter: bool,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Arguments of `diagnostics`.
#[derive(Debug, Args)]
pub(crate) struct DiagnosticsArgs {
    /// Stale locks need attention once they have been stale for this long.
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = value::span_or_zero)]
    pub(crate) stale_after: Duration,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_repeated_or_separated_by_commas() {
        let cli = Cli::try_parse_from([
            "lockctl",
            "--addr",
            "http://a:1,http://b:2",
            "list",
            "--addr",
            "http://c:3",
        ]);
        // A global flag after the subcommand replaces the one before it.
        assert_eq!(cli.unwrap().global.addr, ["http://c:3"]);
        let cli = Cli::try_parse_from(["lockctl", "list", "--addr", "http://a:1,http://b:2"]);
        assert_eq!(cli.unwrap().global.addr, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn reentering_takes_an_owner() {
        let parse = |arguments: &str| {
            Cli::try_parse_from(format!("lockctl run plan/42 {arguments} -- ls").split(' '))
        };
        assert!(parse("--reenter --owner me").is_ok());
        assert!(parse("--reenter").is_err());
    }

    #[test]
    fn a_watch_is_of_one_resource_or_of_a_type_with_a_prefix() {
        let parse =
            |arguments: &str| Cli::try_parse_from(format!("lockctl watch {arguments}").split(' '));
        assert!(Cli::try_parse_from(["lockctl", "watch"]).is_ok());
        assert!(parse("plan/42 --renewals").is_ok());
        assert!(parse("--type plan --prefix a").is_ok());
        assert!(parse("--prefix a").is_err());
        assert!(parse("plan/42 --type plan").is_err());
    }

    #[test]
    fn events_begin_at_a_time_or_a_while_ago_and_not_at_both() {
        let parse =
            |arguments: &str| Cli::try_parse_from(format!("lockctl events {arguments}").split(' '));
        assert!(parse("plan/42 --since 2h --until 2026-01-02T15:04:05Z").is_ok());
        assert!(parse("--from 2026-01-02T15:04:05Z").is_ok());
        assert!(parse("--since 2h --from 2026-01-02T15:04:05Z").is_err());
    }

    #[test]
    fn the_command_of_run_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(["lockctl", "run", "plan/42", "--", "ls", "--output", "x"]);
        let Command::Run(run) = cli.unwrap().command else { panic!("not run") };
        assert_eq!(run.command, ["ls", "--output", "x"]);
    }
}
