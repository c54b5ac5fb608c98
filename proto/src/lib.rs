//! The gRPC contracts of this workspace as Rust types, generated from the
//! `.proto` files beside this crate at build time.
//!
//! - [`lock::v1`]: leases on named resources, served by `lock-server`.
//! - [`plan::v1`]: plans on git projects, served by `plan-service`.
//! - [`reason`]: the words by which programs tell errors apart, shared by
//!   server and client so that they cannot drift.
//! - [`plan_reason`]: the same of the plan service.
//! - [`FILE_DESCRIPTOR_SET`]: the same contracts for server reflection.

pub mod plan_reason;
pub mod reason;
mod resource;

pub use resource::ParseResourceError;

/// The contract of the lock server.
pub mod lock {
    /// Version 1, package `lock.v1`.
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::doc_markdown,
        clippy::too_long_first_doc_paragraph,
        clippy::too_many_lines,
        clippy::allow_attributes_without_reason,
        reason = "generated from lock/v1/lock.proto"
    )]
    pub mod v1 {
        tonic::include_proto!("lock.v1");
    }
}

/// The contract of the plan service.
pub mod plan {
    /// Version 1, package `plan.v1`.
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::doc_markdown,
        clippy::large_enum_variant,
        clippy::too_long_first_doc_paragraph,
        clippy::too_many_lines,
        clippy::allow_attributes_without_reason,
        reason = "generated from plan/v1/plan.proto"
    )]
    pub mod v1 {
        tonic::include_proto!("plan.v1");
    }
}

/// The encoded descriptors of all contracts, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_descriptors_decode_and_hold_the_services() {
        let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let services: Vec<_> =
            set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
        assert_eq!(services, ["LockService", "PlanService"]);
    }
}
