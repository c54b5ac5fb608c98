//! What connections may do, and the standard services that stand beside a server's own.

use std::time::Duration;

use clap::Args;
use tonic::transport::server::{Router, Server};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use super::Health;
use crate::settings::{RangeError, span};

/// The descriptors that a program was built with do not decode.
pub type DescriptorError = tonic_reflection::server::Error;

/// What connections may do.
#[derive(Debug, Clone, Args)]
pub struct TransportConfig {
    /// The largest message that is read, in bytes.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    pub max_message_size: usize,

    /// The most calls and streams at a time on one connection; further ones
    /// wait at the client.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 1024)]
    pub max_concurrent_streams: u32,

    /// How often to ping a client, to notice one that has vanished.
    #[arg(long, global = true, value_name = "SPAN", default_value = "10s", value_parser = span)]
    pub ping_interval: Duration,

    /// How long a client may take to answer a ping.
    #[arg(long, global = true, value_name = "SPAN", default_value = "5s", value_parser = span)]
    pub ping_timeout: Duration,
}

impl TransportConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub fn validate(&self) -> Result<(), RangeError> {
        const LEAST_MESSAGE: usize = 4 * 1024;
        if self.max_message_size < LEAST_MESSAGE {
            let problem = "is too small for a request at its limits; at least 4096 is right";
            return Err(RangeError::new("max-message-size", problem));
        }
        if self.max_concurrent_streams == 0 {
            return Err(RangeError::new("max-concurrent-streams", "is 0; at least 1 is right"));
        }
        for (flag, given) in
            [("ping-interval", self.ping_interval), ("ping-timeout", self.ping_timeout)]
        {
            if given.is_zero() {
                return Err(RangeError::new(flag, "is 0s; write a span such as 10s"));
            }
        }
        Ok(())
    }
}

/// The standard services: health, and reflection in both versions.
///
/// Reflection describes what is in these descriptors, health, and the error details. It lists the
/// service whose readiness health shows and the standard ones: the descriptors may have others,
/// which are not served here.
///
/// # Errors
///
/// When the descriptors do not decode.
pub fn router(
    transport: &TransportConfig,
    health: Health,
    descriptors: &[u8],
) -> Result<Router, DescriptorError> {
    const HEALTH: &str = "grpc.health.v1.Health";
    let service = health.service();
    let reflection = |own: &str| {
        [service, HEALTH, own]
            .into_iter()
            .fold(Builder::configure(), Builder::with_service_name)
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection("grpc.reflection.v1.ServerReflection").build_v1()?;
    let v1alpha = reflection("grpc.reflection.v1alpha.ServerReflection").build_v1alpha()?;
    let router = Server::builder()
        .max_concurrent_streams(transport.max_concurrent_streams)
        .http2_keepalive_interval(Some(transport.ping_interval))
        .http2_keepalive_timeout(Some(transport.ping_timeout))
        .add_service(HealthServer::new(health))
        .add_service(v1)
        .add_service(v1alpha);
    Ok(router)
}
