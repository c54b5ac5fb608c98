//! The gRPC side: messages become checked values, errors become statuses.

mod check;
mod commands;
mod convert;
mod delivery;
mod keep_alive;
mod lock_service;
mod observe;
mod session;
mod status;
mod watch;

use service_kit::grpc::{DescriptorError, Health};
use tonic::transport::server::Router;

pub use self::lock_service::LockApi;
use crate::config::NetworkConfig;

/// The service whose health is the readiness of the server.
pub const SERVICE_NAME: &str = "lock.v1.LockService";
/// A header of every `Check` response: the engine, `postgres` or `sqlite`.
pub const LOCK_STORE_HEADER: &str = "lock-store";
/// A header of every `Check` response: the server's version.
pub const VERSION_HEADER: &str = "lock-server-version";

/// Everything that a server answers to: the lock service, health, reflection
/// in both versions.
///
/// # Errors
/// When the built-in descriptors do not decode.
pub fn router(
    api: LockApi,
    health: Health,
    network: &NetworkConfig,
) -> Result<Router, DescriptorError> {
    let most = network.transport.max_message_size;
    let locks = proto::lock::v1::lock_service_server::LockServiceServer::new(api)
        .max_decoding_message_size(most);
    let router = service_kit::grpc::router(&network.transport, health, proto::FILE_DESCRIPTOR_SET)?;
    Ok(router.add_service(delivery::Delivery(locks)))
}
