//! The settings of the server: flags, then environment, then `--config FILE`,
//! then defaults.

mod lease;
mod network;
mod store;
mod waiting;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
pub use service_kit::settings::{LogConfig, ShutdownConfig};
use service_kit::{
    settings::{self, PlainText, RangeError, SettingsError, listen},
    telemetry::TelemetryOptions,
};

pub use self::{
    lease::LeaseConfig, network::NetworkConfig, store::StoreConfig, waiting::WaitConfig,
};

/// Hands out leases on named resources over gRPC.
///
/// Without a setting, locks are kept in a SQLite file in your data folder and
/// served on 127.0.0.1:50051. To run several servers, give all of them one
/// Postgres: --database-url postgres://USER@HOST/DATABASE.
///
/// A lease alone does not exclude a holder that was paused: what a lock
/// protects must check the fencing token that each grant comes with.
///
/// Spans are written as 100ms, 30s, 5m, 1h. Every flag can also be set by the
/// environment variable shown with it, or in a TOML file given by --config,
/// under the flag's name without the dashes; a flag comes before a variable,
/// a variable before the file.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "lock-server",
    version,
    after_help = "Exit codes: 0 after a graceful stop, 1 when the server cannot start or a check \
                  fails, 64 when a setting is wrong.\n\n\
                  On SIGTERM or SIGINT the server turns its readiness off, refuses new requests, \
                  finishes those under way and exits within --shutdown-grace. Locks stay held."
)]
#[expect(clippy::doc_markdown, reason = "shown by --help, where backticks would stand out")]
pub struct Config {
    /// What to do; without one, serve.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE", env = "LOCK_SERVER_CONFIG")]
    pub config: Option<PathBuf>,

    /// Serve on this address. Port 0 takes a free one, which is printed.
    #[arg(
        long,
        global = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50051",
        value_parser = listen::<50051>,
        env = "LOCK_SERVER_LISTEN"
    )]
    pub listen: SocketAddr,

    /// Serve without encryption on an address that is not loopback. Whoever
    /// can reach it can then take and break every lock.
    #[arg(long, global = true, env = "LOCK_SERVER_INSECURE")]
    pub insecure: bool,

    /// Where locks are kept.
    #[command(flatten)]
    pub store: StoreConfig,

    /// How long leases are.
    #[command(flatten)]
    pub lease: LeaseConfig,

    /// How long callers may wait in line, and how many.
    #[command(flatten)]
    pub waiting: WaitConfig,

    /// What connections may do.
    #[command(flatten)]
    pub network: NetworkConfig,

    /// How the server stops.
    #[command(flatten)]
    pub shutdown: ShutdownConfig,

    /// What the server logs.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Bring the database's schema up to date, and exit.
    Migrate,
    /// Ask the server at --listen whether it is ready, and exit with 0 if it is.
    Health {
        /// Ask only whether the process lives, whatever its database does.
        #[arg(long)]
        live: bool,
    },
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Plain text on an address that others can reach.
    #[error(transparent)]
    PlainText(#[from] PlainText),
    /// The time to live cannot be.
    #[error(transparent)]
    Ttl(#[from] crate::domain::TtlPolicyError),
    /// A setting is out of range.
    #[error(transparent)]
    Range(#[from] RangeError),
}

impl Config {
    /// The settings from arguments (the first is the program's name), the
    /// environment and the file that they name.
    ///
    /// # Errors
    /// When one is wrong, or help was asked for.
    pub fn parse_from_args(
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, SettingsError> {
        settings::parse(args.into_iter().map(Into::into))
    }

    /// Checks what no single setting shows.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), ConfigError> {
        settings::check_plain_text(self.listen, self.insecure)?;
        self.lease.ttl_policy()?;
        self.lease.validate()?;
        self.waiting.validate()?;
        self.store.validate()?;
        self.network.validate()
    }

    /// How to log.
    pub fn telemetry(&self) -> TelemetryOptions {
        self.log.telemetry()
    }
}

impl ConfigError {
    fn range(flag: &'static str, problem: impl Into<String>) -> Self {
        Self::Range(RangeError::new(flag, problem))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(args: &[&str]) -> Config {
        let args = std::iter::once("lock-server").chain(args.iter().copied());
        Config::try_parse_from(args).unwrap()
    }

    fn refused(args: &[&str]) -> String {
        parsed(args).validate().unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = parsed(&[]);
        config.validate().unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
    }

    #[test]
    fn plain_text_is_for_loopback_unless_insecure() {
        assert!(refused(&["--listen", "0.0.0.0:1"]).contains("--insecure"));
        parsed(&["--listen", "0.0.0.0:1", "--insecure"]).validate().unwrap();
        parsed(&["--listen", "[::1]:1"]).validate().unwrap();
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (args, words) in [
            (["--min-ttl", "50ms"], "--min-ttl"),
            (["--max-ttl", "2d"], "--max-ttl"),
            (["--max-ttl", "1s"], "--min-ttl 5s is above --max-ttl 1s"),
            (["--default-ttl", "plan=1s"], "--default-ttl plan=1s"),
            (["--sweep-interval", "0s"], "--sweep-interval"),
            (["--free-retention", "1m"], "--free-retention"),
            (["--event-retention", "59s"], "--event-retention"),
            (["--ping-interval", "0s"], "--ping-interval"),
            (["--max-queue", "0"], "--max-queue"),
            (["--max-queue", "18446744073709551615"], "--max-queue"),
            (["--store-timeout", "60d"], "--store-timeout"),
            (["--store-timeout", "1ms"], "--store-timeout"),
            (["--database-connections", "0"], "--database-connections"),
        ] {
            let problem = refused(&args);
            assert!(problem.contains(words), "{args:?}: {problem}");
        }
    }
}
