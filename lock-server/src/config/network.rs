//! What connections may do, and how much may be under way.

use std::time::Duration;

use clap::Args;
use service_kit::settings::span;

use super::ConfigError;

/// What connections may do.
#[derive(Debug, Clone, Args)]
pub struct NetworkConfig {
    /// The largest message that is read, in bytes.
    #[arg(
        long,
        global = true,
        value_name = "BYTES",
        default_value_t = 16 * 1024 * 1024,
        env = "LOCK_SERVER_MAX_MESSAGE_SIZE"
    )]
    pub max_message_size: usize,

    /// The most calls and streams at a time on one connection; further ones
    /// wait at the client.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 1024,
        env = "LOCK_SERVER_MAX_CONCURRENT_STREAMS"
    )]
    pub max_concurrent_streams: u32,

    /// The most requests that are under way or wait for the database, up to
    /// 1000000; further ones are refused as OVERLOADED. 64 leases of a
    /// keep-alive count as one.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 10_000,
        env = "LOCK_SERVER_MAX_QUEUE"
    )]
    pub max_queue: usize,

    /// The most watches that are open at this server, up to 1000000; further ones
    /// are refused as OVERLOADED.
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        default_value_t = 1_000,
        env = "LOCK_SERVER_MAX_WATCHES"
    )]
    pub max_watches: usize,

    /// How often to ping a client, to notice one that has vanished.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "10s",
        value_parser = span,
        env = "LOCK_SERVER_PING_INTERVAL"
    )]
    pub ping_interval: Duration,

    /// How long a client may take to answer a ping.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "5s",
        value_parser = span,
        env = "LOCK_SERVER_PING_TIMEOUT"
    )]
    pub ping_timeout: Duration,
}

impl NetworkConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const LEAST_MESSAGE: usize = 4 * 1024;
        if self.max_message_size < LEAST_MESSAGE {
            let problem = "is too small for a request at its limits; at least 4096 is right";
            return Err(ConfigError::range("max-message-size", problem));
        }
        if self.max_concurrent_streams == 0 {
            return Err(ConfigError::range("max-concurrent-streams", "is 0; at least 1 is right"));
        }
        const MOST: usize = 1_000_000;
        for (flag, given) in [("max-queue", self.max_queue), ("max-watches", self.max_watches)] {
            if !(1..=MOST).contains(&given) {
                let problem = format!("is {given}; 1 to {MOST} are right");
                return Err(ConfigError::range(flag, problem));
            }
        }
        for (flag, given) in
            [("ping-interval", self.ping_interval), ("ping-timeout", self.ping_timeout)]
        {
            if given.is_zero() {
                return Err(ConfigError::range(flag, "is 0s; write a span such as 10s"));
            }
        }
        Ok(())
    }
}
