//! How long leases are, and how long the table remembers.

use std::time::Duration;

use clap::Args;
use service_kit::settings::span;

use super::ConfigError;
use crate::{
    domain::{ResourceType, Span, TtlLimits, TtlPolicy, TtlPolicyError},
    engine::SweeperOptions,
};

/// The shortest `--min-ttl`: below, a lease is over before its answer arrives.
const LEAST_TTL: Duration = Duration::from_millis(100);
/// The longest `--max-ttl`: who holds a lock for longer renews it.
const MOST_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest `--event-retention`.
const LEAST_EVENT_RETENTION: Duration = Duration::from_secs(60);
/// The shortest `--free-retention`: far above the time after which a stalled
/// grant refuses itself.
const LEAST_FREE_RETENTION: Duration = Duration::from_secs(10 * 60);

/// How long leases are, and how long the table remembers.
#[derive(Debug, Clone, Args)]
pub struct LeaseConfig {
    /// The shortest time to live that a caller may ask for. At least 100ms.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "5s",
        value_parser = span,
        env = "LOCK_SERVER_MIN_TTL"
    )]
    pub min_ttl: Duration,

    /// The longest time to live that a caller may ask for. At most 1day.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "1h",
        value_parser = span,
        env = "LOCK_SERVER_MAX_TTL"
    )]
    pub max_ttl: Duration,

    /// The time to live for a resource type when the caller asks for none.
    /// Repeatable; * stands for every type that is not named. Without it:
    /// plan=300s, project=600s, *=300s, each cut to the limits.
    #[arg(
        long,
        global = true,
        value_name = "TYPE=SPAN",
        value_delimiter = ',',
        value_parser = default_ttl,
        env = "LOCK_SERVER_DEFAULT_TTL"
    )]
    pub default_ttl: Vec<(String, Span)>,

    /// How often to free locks that have been stale for --stale-retention.
    /// Nothing waits for it: a stale lock is anyone's to take.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "30s",
        value_parser = span,
        env = "LOCK_SERVER_SWEEP_INTERVAL"
    )]
    pub sweep_interval: Duration,

    /// How long a stale lock is kept to be seen. A start frees all of them.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "10m",
        value_parser = span,
        env = "LOCK_SERVER_STALE_RETENTION"
    )]
    pub stale_retention: Duration,

    /// How long the row of a free resource is kept. At least 10m.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "1day",
        value_parser = span,
        env = "LOCK_SERVER_FREE_RETENTION"
    )]
    pub free_retention: Duration,

    /// How long the audit trail is kept. At least 1m.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "90days",
        value_parser = span,
        env = "LOCK_SERVER_EVENT_RETENTION"
    )]
    pub event_retention: Duration,
}

impl LeaseConfig {
    /// Limits and defaults of the time to live.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn ttl_policy(&self) -> Result<TtlPolicy, TtlPolicyError> {
        let limits = TtlLimits { min: self.min_ttl.into(), max: self.max_ttl.into() };
        TtlPolicy::new(limits, &self.default_ttl)
    }

    /// When to sweep what.
    pub fn sweeper(&self) -> SweeperOptions {
        SweeperOptions {
            interval: self.sweep_interval,
            stale_retention: self.stale_retention.into(),
            free_retention: self.free_retention.into(),
            event_retention: self.event_retention.into(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.min_ttl < LEAST_TTL {
            return Err(ConfigError::range("min-ttl", "is too short; at least 100ms is right"));
        }
        if self.max_ttl > MOST_TTL {
            return Err(ConfigError::range("max-ttl", "is too long; at most 1day is right"));
        }
        if self.sweep_interval.is_zero() {
            return Err(ConfigError::range("sweep-interval", "is 0s; write a span such as 30s"));
        }
        if self.free_retention < LEAST_FREE_RETENTION {
            return Err(ConfigError::range(
                "free-retention",
                "is too short for fencing tokens to stay in order; at least 10m is right",
            ));
        }
        if self.event_retention < LEAST_EVENT_RETENTION {
            return Err(ConfigError::range(
                "event-retention",
                "is too short for who was broken to hear why; at least 1m is right",
            ));
        }
        Ok(())
    }
}

fn default_ttl(text: &str) -> Result<(String, Span), String> {
    let (kind, ttl) =
        text.split_once('=').ok_or("write TYPE=SPAN, such as plan=300s, or *=300s for any type")?;
    if kind != TtlPolicy::ANY {
        ResourceType::parse(kind)
            .map_err(|problem| format!("the type {problem}, or is * for any"))?;
    }
    Ok((kind.to_owned(), span(ttl)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_a_type_and_a_span() {
        assert_eq!(default_ttl("plan=2s").unwrap(), ("plan".into(), Span::from_micros(2_000_000)));
        assert_eq!(default_ttl("*=1m").unwrap().0, "*");
        for wrong in ["plan", "Plan=1s", "=1s", "plan=1", "plan="] {
            assert!(default_ttl(wrong).is_err(), "{wrong}");
        }
    }
}
