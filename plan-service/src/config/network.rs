//! What connections may do, and how many may watch.

use clap::Args;
use service_kit::{
    grpc::TransportConfig,
    settings::{RangeError, check_count},
};

/// What connections may do.
#[derive(Debug, Clone, Args)]
pub struct NetworkConfig {
    /// What they carry.
    #[command(flatten)]
    pub transport: TransportConfig,

    /// The most watches that are open at this instance, up to 100000; further ones
    /// are refused as OVERLOADED.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 256)]
    pub max_watches: usize,
}

impl NetworkConfig {
    pub(super) fn validate(&self) -> Result<(), RangeError> {
        self.transport.validate()?;
        check_count("max-watches", self.max_watches, 1..=100_000)
    }
}
