//! The settings of the service: flags, then environment, then `--config FILE`,
//! then defaults.

mod actions;
mod network;
mod store;
mod work;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
pub use service_kit::settings::{LogConfig, ShutdownConfig};
use service_kit::{
    settings::{self, PlainText, RangeError, SettingsError, listen},
    telemetry::TelemetryOptions,
};

pub use self::{
    actions::{ActionsError, load_actions},
    network::NetworkConfig,
    store::StoreConfig,
    work::WorkConfig,
};

/// Runs plans on git projects, every transition under a lock of lock-server.
///
/// Without a setting, plans are kept in a SQLite file in your data folder, locks
/// are taken at http://127.0.0.1:50051, and the service listens on
/// 127.0.0.1:50052. To run several instances, give all of them one Postgres
/// (--database-url postgres://USER@HOST/DATABASE), the same lock servers, and
/// each a --data-dir of its own; the projects must be at the same paths for all.
///
/// Actions are commands that this service runs with its own rights: whoever may
/// create actions may do what its user may. --allow-actions-from takes them from
/// files, and from nobody else.
///
/// Spans are written as 100ms, 30s, 5m, 1h. Every flag can also be set by the
/// environment variable shown with it, or in a TOML file given by --config,
/// under the flag's name without the dashes; a flag comes before a variable,
/// a variable before the file.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "plan-service",
    version,
    after_help = "Exit codes: 0 after a graceful stop, 1 when the service cannot start or a check \
                  fails, 64 when a setting is wrong.\n\n\
                  On SIGTERM or SIGINT the service turns its readiness off and refuses new work; \
                  running phases have --shutdown-grace to finish, then they are stopped and marked \
                  as INTERRUPTED, so that they can be retried. Its locks are released."
)]
#[expect(clippy::doc_markdown, reason = "shown by --help, where backticks would stand out")]
pub struct Config {
    /// What to do; without one, serve.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Serve on this address. Port 0 takes a free one, which is printed.
    #[arg(
        long,
        global = true,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50052",
        value_parser = listen::<50052>,
    )]
    pub listen: SocketAddr,

    /// Serve without encryption on an address that is not loopback. Whoever
    /// can reach it can then run plans, and create actions unless these come
    /// from files.
    #[arg(long, global = true)]
    pub insecure: bool,

    /// Where plans are kept.
    #[command(flatten)]
    pub store: StoreConfig,

    /// How plans are run.
    #[command(flatten)]
    pub work: WorkConfig,

    /// What connections may do.
    #[command(flatten)]
    pub network: NetworkConfig,

    /// How the service stops.
    #[command(flatten)]
    pub shutdown: ShutdownConfig,

    /// What the service logs.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Bring the database's schema up to date, and exit.
    Migrate,
    /// Ask the service at --listen whether it is ready, and exit with 0 if it is.
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
    /// A setting is out of range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The actions of `--allow-actions-from` are wrong.
    #[error(transparent)]
    Actions(#[from] ActionsError),
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
        self.store.validate()?;
        self.work.validate()?;
        self.network.validate()?;
        Ok(())
    }

    /// How to log.
    pub fn telemetry(&self) -> TelemetryOptions {
        self.log.telemetry()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(args: &[&str]) -> Config {
        let args = std::iter::once("plan-service").chain(args.iter().copied());
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
    fn the_defaults_are_valid_and_those_of_the_contract() {
        let config = parsed(&[]);
        config.validate().unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:50052");
        assert_eq!(config.work.lock_server, ["http://127.0.0.1:50051"]);
        assert_eq!(config.shutdown.shutdown_grace.as_secs(), 20);
        assert_eq!(config.work.output_tail_bytes, 64 * 1024);
        assert_eq!(config.work.recovery_interval.as_secs(), 60);
    }

    #[test]
    fn lock_servers_are_repeated_or_separated_by_commas() {
        let both = ["http://a:1", "http://b:2"];
        let repeated = parsed(&["--lock-server", both[0], "--lock-server", both[1]]);
        assert_eq!(repeated.work.lock_server, both);
        let joined = both.join(",");
        assert_eq!(parsed(&["--lock-server", &joined]).work.lock_server, both);
    }

    #[test]
    fn plain_text_is_for_loopback_unless_insecure() {
        assert!(refused(&["--listen", "0.0.0.0:1"]).contains("--insecure"));
        parsed(&["--listen", "0.0.0.0:1", "--insecure"]).validate().unwrap();
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_would_be_right() {
        for (args, words) in [
            (["--max-runs", "0"], "--max-runs is 0; 1 to 1000 are right"),
            (["--max-queued-runs", "0"], "--max-queued-runs is 0; 1 to 100000 are right"),
            (["--max-parallel-steps", "65"], "--max-parallel-steps is 65; 1 to 64 are right"),
            (["--max-watches", "0"], "--max-watches is 0; 1 to 100000 are right"),
            (["--output-tail-bytes", "1"], "--output-tail-bytes is 1; 1024 to 1048576 are right"),
            (["--recovery-interval", "0s"], "--recovery-interval is 0s; 100ms to 1h are right"),
            (["--lock-timeout", "0s"], "--lock-timeout is 0s; 100ms to 1m are right"),
            (["--store-timeout", "1ms"], "--store-timeout is 1ms; 10ms to 1m are right"),
            (["--database-connections", "0"], "--database-connections is 0; 1 to 10000 are right"),
            (["--ping-interval", "0s"], "--ping-interval is 0s; write a span such as 10s"),
            (["--max-message-size", "1"], "at least 4096 is right"),
            (["--instance-name", ""], "--instance-name is empty"),
            (["--instance-name", "a\nb"], "--instance-name holds a control character"),
        ] {
            let problem = refused(&args);
            assert!(problem.contains(words), "{args:?}: {problem}");
        }
        let long = "x".repeat(129);
        assert!(refused(&["--instance-name", &long]).contains("at most 128"));
    }

    #[test]
    fn what_is_no_lock_server_is_told_what_would_be_one() {
        for wrong in ["127.0.0.1:50051", "https://host:1", "http://", "ftp://host", "http://:1"] {
            let args = ["plan-service", "--lock-server", wrong];
            let problem = Config::try_parse_from(args).unwrap_err().to_string();
            assert!(problem.contains("write http://HOST:PORT"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn the_database_is_in_the_data_dir_unless_another_is_named() {
        let config = parsed(&["--data-dir", "/data"]);
        let folder = config.work.data_dir().unwrap();
        assert_eq!(config.store.url(&folder).unwrap().as_str(), "sqlite:///data/plans.db");
        let config = parsed(&["--data-dir", "/data", "--database-url", "sqlite::memory:"]);
        assert_eq!(config.store.url(&folder).unwrap().as_str(), "sqlite::memory:");
        let config = parsed(&["--data-dir", "/what?"]);
        let problem = config.store.url(&config.work.data_dir().unwrap()).unwrap_err().to_string();
        assert!(problem.contains("--database-url"), "{problem}");
    }

    #[test]
    fn every_flag_can_be_set_by_a_variable() {
        let help = Config::parse_from_args(["plan-service", "--help"]).unwrap_err().to_string();
        let command = Config::command();
        let flags = command.get_arguments().filter(|arg| arg.is_global_set());
        let flags: Vec<_> = flags.filter_map(clap::Arg::get_long).collect();
        assert!(flags.len() > 20, "{flags:?}");
        for flag in flags {
            let variable = flag.replace('-', "_").to_uppercase();
            assert!(help.contains(&format!("[env: PLAN_SERVICE_{variable}")), "{flag}: {help}");
        }
    }
}
