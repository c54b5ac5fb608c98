//! Structured logs on standard error: readable on a terminal, JSON for a log collector.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Dependencies that say more at `info` than an operator wants to read.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,sqlx=warn,tonic=warn,tower=warn";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people, in colours when standard error is a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log and how.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// How a line looks.
    pub format: LogFormat,
    /// A level (error, warn, info, debug, trace, off), or a list of `target=level` with one.
    pub level: String,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The level is none.
    #[error(
        "invalid log level '{level}': write error, warn, info, debug, trace or off, \
         or a list such as info,h2=debug"
    )]
    Level {
        /// What was given.
        level: String,
    },
    /// Something else in this process already receives its logs.
    #[error("logging was started twice")]
    AlreadyStarted,
}

/// Starts logging for the whole process.
pub fn init(options: &TelemetryOptions) -> Result<(), TelemetryError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&options.level)?)
        .with_writer(std::io::stderr)
        .with_ansi(colours());
    let started = match options.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_span_list(false).finish().try_init()
        }
    };
    started.map_err(|_| TelemetryError::AlreadyStarted)
}

/// A clap value parser for a log level, so that a wrong one is a wrong setting like any other.
pub fn level(text: &str) -> Result<String, TelemetryError> {
    filter(text).map(|_| text.to_owned())
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = || TelemetryError::Level { level: level.to_owned() };
    // A mistyped level would pass for a target's name, and switch all logs off.
    let is_level = |word: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word.trim()));
    let known = |word: &str| word.contains('=') || is_level(word);
    if !level.contains('[') && !level.split(',').all(known) {
        return Err(wrong());
    }
    // Later directives win, so that a level asked for by name is not kept quiet.
    let silent = ["off", "error"].iter().any(|word| word.eq_ignore_ascii_case(level.trim()));
    let directives = if silent { level.to_owned() } else { format!("{QUIET},{level}") };
    EnvFilter::builder().parse(directives).map_err(|_| wrong())
}

fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !unwanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_accepted() {
        for right in ["info", "WARN", "off", "debug,h2=trace", "lock_server=debug,info"] {
            assert!(level(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn a_wrong_level_names_the_right_ones() {
        for wrong in ["", "loud", "inf", "h2=loud", "info,,", "info,h3"] {
            let error = level(wrong).unwrap_err().to_string();
            assert!(error.contains("error, warn, info, debug, trace"), "{wrong}: {error}");
        }
    }

    #[test]
    fn noisy_dependencies_are_quiet_unless_named() {
        let plain = filter("debug").unwrap().to_string();
        assert!(plain.contains("h2=warn") && plain.contains("debug"), "{plain}");
        let named = filter("debug,h2=trace").unwrap().to_string();
        assert!(named.contains("h2=trace") && !named.contains("h2=warn"), "{named}");
        assert_eq!(filter("error").unwrap().to_string(), "error");
    }

    #[test]
    fn logging_starts_once() {
        init(&TelemetryOptions { format: LogFormat::Json, ..Default::default() }).unwrap();
        let again = init(&TelemetryOptions::default());
        assert!(matches!(again, Err(TelemetryError::AlreadyStarted)));
    }
}
