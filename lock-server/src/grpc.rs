//! The gRPC side: messages become checked values, errors become statuses.

mod check;
mod commands;
mod convert;
mod delivery;
mod health;
mod keep_alive;
mod lock_service;
mod observe;
mod page_token;
mod session;
mod status;
mod watch;

use tonic::transport::server::{Router, Server};
use tonic_health::pb::health_server::HealthServer;

pub use self::{
    health::{Health, LOCK_STORE_HEADER, SERVICE_NAME, VERSION_HEADER},
    lock_service::LockApi,
};
use crate::config::NetworkConfig;

/// Everything that a server answers to: the lock service, health, reflection
/// in both versions.
///
/// # Errors
/// When the built-in descriptors do not decode.
pub fn router(
    api: LockApi,
    health: Health,
    network: &NetworkConfig,
) -> Result<Router, tonic_reflection::server::Error> {
    let most = network.max_message_size;
    let locks = proto::lock::v1::lock_service_server::LockServiceServer::new(api)
        .max_decoding_message_size(most);
    let router = Server::builder()
        .max_concurrent_streams(network.max_concurrent_streams)
        .http2_keepalive_interval(Some(network.ping_interval))
        .http2_keepalive_timeout(Some(network.ping_timeout))
        .add_service(delivery::Delivery(locks))
        .add_service(HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(router)
}

fn reflection<'b>() -> tonic_reflection::server::Builder<'b> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
