//! What connections may do, and how much may be under way.

use clap::Args;
use service_kit::{grpc::TransportConfig, settings::check_count};

use super::ConfigError;

/// What connections may do.
#[derive(Debug, Clone, Args)]
pub struct NetworkConfig {
    /// What they carry.
    #[command(flatten)]
    pub transport: TransportConfig,

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
}

impl NetworkConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.transport.validate()?;
        check_count("max-queue", self.max_queue, 1..=1_000_000)?;
        check_count("max-watches", self.max_watches, 1..=1_000_000)?;
        Ok(())
    }
}
