//! The gRPC side: messages become checked values, errors become statuses.

mod check;
mod convert;
mod observe;
mod page;
mod plan_service;
mod status;
mod watch;

use proto::plan::v1::plan_service_server::PlanServiceServer;
use service_kit::grpc::{DescriptorError, Health};
use tonic::transport::server::Router;

pub use self::plan_service::PlanApi;
use crate::config::NetworkConfig;

/// The service whose health is the readiness of the server.
pub const SERVICE_NAME: &str = "plan.v1.PlanService";
/// A header of every `Check` response: the engine, `postgres` or `sqlite`.
pub const PLAN_STORE_HEADER: &str = "plan-store";
/// A header of every `Check` response: the service's version.
pub const VERSION_HEADER: &str = "plan-service-version";

/// Everything that a server answers to: the plan service, health, reflection
/// in both versions.
///
/// # Errors
/// When the built-in descriptors do not decode.
pub fn router(
    api: PlanApi,
    health: Health,
    network: &NetworkConfig,
) -> Result<Router, DescriptorError> {
    let transport = &network.transport;
    let plans = PlanServiceServer::new(api).max_decoding_message_size(transport.max_message_size);
    let router = service_kit::grpc::router(transport, health, proto::FILE_DESCRIPTOR_SET)?;
    Ok(router.add_service(plans))
}
