//! How plans are run: under whose locks, where, with what, and how many.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use service_kit::{
    database,
    settings::{RangeError, check_count, check_span, span},
};

/// The service's own folder in the user's data folder.
const FOLDER: &str = "plan-service";
/// The most bytes of `--instance-name`: it stands in locks, for others to read.
const MOST_NAME: usize = 128;

/// How plans are run.
#[derive(Debug, Clone, Args)]
pub struct WorkConfig {
    /// Where the lock server is; several, repeated or separated by commas, are
    /// servers on one database, any of which may answer.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        value_parser = lock_server,
    )]
    pub lock_server: Vec<String>,

    /// How long to ask for a lock before a move is refused because no lock server
    /// answers, 100ms to 1m.
    #[arg(long, global = true, value_name = "SPAN", default_value = "5s", value_parser = span)]
    pub lock_timeout: Duration,

    /// This instance's own folder, for worktrees of running plans. Without it,
    /// plan-service in your data folder. Two instances cannot share one.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Load the actions from the files *.toml in this folder at start: this
    /// instance knows no others then, and nobody can create any here. Those in the
    /// database stay as they are, for instances without this flag; give it to all
    /// of them, or to none. Plans that were made before keep their actions.
    #[arg(long, global = true, value_name = "DIR")]
    pub allow_actions_from: Option<PathBuf>,

    /// What this instance is called, in plans and in the metadata of its locks.
    /// Without it, the machine's name and the port that it listens on.
    #[arg(long, global = true, value_name = "NAME")]
    pub instance_name: Option<String>,

    /// The git to call: 2.38 or newer.
    #[arg(long, global = true, value_name = "PROGRAM", default_value = "git")]
    pub git: PathBuf,

    /// The most runs that work at a time at this instance, up to 1000; further
    /// ones hold their lock and wait.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 16)]
    pub max_runs: usize,

    /// The most runs that wait to work, up to 100000; further ones are refused as
    /// OVERLOADED.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 1_000)]
    pub max_queued_runs: usize,

    /// The most steps of one run beside each other, up to 64.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 8)]
    pub max_parallel_steps: usize,

    /// How many bytes are kept of what each step writes, the last ones: 1024 to
    /// 1048576.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 64 * 1024)]
    pub output_tail_bytes: usize,

    /// How often to look for plans whose run is gone, 100ms to 1h.
    #[arg(long, global = true, value_name = "SPAN", default_value = "1m", value_parser = span)]
    pub recovery_interval: Duration,
}

impl WorkConfig {
    /// This instance's own folder.
    ///
    /// # Errors
    /// When none is given, and the user has no data folder.
    pub fn data_dir(&self) -> Result<PathBuf, RangeError> {
        match &self.data_dir {
            Some(given) => Ok(given.clone()),
            None => match database::data_folder() {
                Ok(folder) => Ok(folder.join(FOLDER)),
                Err(problem) => Err(RangeError::new(
                    "data-dir",
                    format!("is missing: {problem}: give --data-dir DIR"),
                )),
            },
        }
    }

    pub(super) fn validate(&self) -> Result<(), RangeError> {
        let span = |least, most| Duration::from_millis(least)..=Duration::from_secs(most);
        check_span("lock-timeout", self.lock_timeout, span(100, 60))?;
        check_span("recovery-interval", self.recovery_interval, span(100, 60 * 60))?;
        check_count("max-runs", self.max_runs, 1..=1_000)?;
        check_count("max-queued-runs", self.max_queued_runs, 1..=100_000)?;
        check_count("max-parallel-steps", self.max_parallel_steps, 1..=64)?;
        check_count("output-tail-bytes", self.output_tail_bytes, 1_024..=1_048_576)?;
        self.instance_name.as_deref().map_or(Ok(()), check_name)
    }
}

fn check_name(name: &str) -> Result<(), RangeError> {
    let problem = if name.is_empty() {
        "is empty; write a name, or leave the flag out".to_owned()
    } else if name.len() > MOST_NAME {
        format!("has {} bytes; at most {MOST_NAME} are right", name.len())
    } else if name.chars().any(char::is_control) {
        "holds a control character; write a name such as host:50052".to_owned()
    } else {
        return Ok(());
    };
    Err(RangeError::new("instance-name", problem))
}

fn lock_server(text: &str) -> Result<String, String> {
    const FORM: &str = "write http://HOST:PORT, such as http://127.0.0.1:50051";
    if text.starts_with("https://") {
        return Err(format!("asks for TLS, which this service does not speak; {FORM}"));
    }
    let host = text.strip_prefix("http://").ok_or_else(|| format!("has no scheme; {FORM}"))?;
    if host.is_empty() || host.starts_with(':') {
        return Err(format!("names no host; {FORM}"));
    }
    Ok(text.to_owned())
}
