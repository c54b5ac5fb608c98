//! How long callers may wait in line, and how many.

use std::time::Duration;

use clap::Args;
use service_kit::settings::{check_count, check_span, span};

use super::ConfigError;
use crate::store::WaitLimits;

/// The longest `--max-wait`.
const MOST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// The most waiters, of a lock and of a server.
const MOST_WAITERS: usize = 1_000_000;
/// What `--waiter-grace` may be: long enough to be said again in between.
const GRACE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(10 * 60);

/// How long callers may wait in line, and how many.
#[derive(Debug, Clone, Args)]
pub struct WaitConfig {
    /// The longest wait that a caller may ask for. At most 1day; 0s allows none.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "1h",
        value_parser = span,
        env = "LOCK_SERVER_MAX_WAIT"
    )]
    pub max_wait: Duration,

    /// The most callers that wait at this server, up to 1000000; further ones
    /// are refused as OVERLOADED.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 100_000,
        env = "LOCK_SERVER_MAX_WAITERS"
    )]
    pub max_waiters: usize,

    /// The most that wait for one resource, over all servers, up to 1000000;
    /// further ones are refused as OVERLOADED.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 20_000,
        env = "LOCK_SERVER_MAX_WAITERS_PER_RESOURCE"
    )]
    pub max_waiters_per_resource: usize,

    /// How long places in line are kept when this server is gone, for callers
    /// who ask again elsewhere. What was granted to them and not taken is passed
    /// on after it. 1s to 10m.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "10s",
        value_parser = span,
        env = "LOCK_SERVER_WAITER_GRACE"
    )]
    pub waiter_grace: Duration,
}

impl WaitConfig {
    /// How the store bounds it.
    pub(super) fn limits(&self) -> WaitLimits {
        WaitLimits {
            most_for_one: u32::try_from(self.max_waiters_per_resource).unwrap_or(u32::MAX),
            grace: self.waiter_grace,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.max_wait > MOST_WAIT {
            return Err(ConfigError::range("max-wait", "is too long; at most 1day is right"));
        }
        let waiters = 1..=MOST_WAITERS;
        check_count("max-waiters", self.max_waiters, waiters.clone())?;
        check_count("max-waiters-per-resource", self.max_waiters_per_resource, waiters)?;
        check_span("waiter-grace", self.waiter_grace, GRACE)?;
        Ok(())
    }
}
