//! Calls that touch no single lease: they look, list, count and sweep.
//!
//! Each may be made again after any error: by contract a repeated call changes
//! nothing that the first one did not.
//!
//! # Cancel safety
//!
//! Dropping a future here abandons the call; whether the server carried it out
//! is then unknown.

use std::time::Duration;

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::LockClient;
use crate::{
    AcquireOptions, ClientError, Counted, Health, IntoResource, ListFilter, Lock, Page, Resource,
    StaleFilter, StalePage,
};

/// More than any server lets wait: it keeps sums of instants in range.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

impl LockClient {
    /// Gives back everything that another owner holds, as
    /// [`release_all`](Self::release_all) does for this one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unavailable`] when no server answered; leases are then
    /// left to run out.
    pub async fn release_all_of(&self, owner_id: impl AsRef<str>) -> Result<Counted, ClientError> {
        self.with_owner(owner_id).release_all().await
    }

    /// The live or stale lock of a resource; none when it is free.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] or [`ClientError::Unavailable`].
    pub async fn get(&self, resource: impl IntoResource) -> Result<Option<Lock>, ClientError> {
        let request = wire::GetLockRequest { resource: Some(resource.into_resource()) };
        let response = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).get_lock(request).await
            })
            .await;
        match response {
            Ok(answer) => answered(answer.message.lock).map(Some),
            Err(error) if error.reason() == Some(proto::reason::LOCK_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Live locks, a page at a time. A `page_size` of 0 takes the server's.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] for a token that is not of this listing.
    pub async fn list(
        &self,
        filter: ListFilter,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<Page, ClientError> {
        let request = wire::ListLocksRequest {
            resource_type: filter.resource_type,
            id_prefix: filter.id_prefix,
            owner_id: filter.owner_id,
            page_size,
            page_token: page_token.into(),
        };
        let response = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).list_locks(request).await
            })
            .await?
            .message;
        Ok(Page { locks: locks(response.locks), next_page_token: response.next_page_token })
    }

    /// Stale locks, a page at a time, the oldest expiry first. A `page_size` of
    /// 0 takes the server's.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] for a token that is not of this listing.
    pub async fn list_stale(
        &self,
        filter: StaleFilter,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<StalePage, ClientError> {
        let request = wire::ListStaleRequest {
            resource_type: filter.resource_type,
            older_than: wire_span("older_than", filter.older_than)?,
            page_size,
            page_token: page_token.into(),
        };
        let response = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).list_stale(request).await
            })
            .await?
            .message;
        Ok(StalePage {
            locks: locks(response.locks),
            next_page_token: response.next_page_token,
            total_count: response.total_count,
        })
    }

    /// Frees stale locks and says how many. A live lock is never touched.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] or [`ClientError::Unavailable`].
    pub async fn purge_stale(&self, filter: StaleFilter) -> Result<Counted, ClientError> {
        let request = wire::PurgeStaleRequest {
            resource_type: filter.resource_type,
            older_than: wire_span("older_than", filter.older_than)?,
        };
        let answer = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).purge_stale(request).await
            })
            .await?;
        Ok(Counted { count: answer.message.purged_count, retried: answer.retried })
    }

    /// What the server says about itself: `""` asks whether the process lives,
    /// `"lock.v1.LockService"` whether it takes calls.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unavailable`] when no server answered.
    pub async fn health(&self, service: impl Into<String>) -> Result<Health, ClientError> {
        let request = HealthCheckRequest { service: service.into() };
        let response = self
            .shared
            .call(request, |channel, request| async move {
                HealthClient::new(channel).check(request).await
            })
            .await;
        match response.map(|answer| answer.message.status()) {
            Ok(ServingStatus::Serving) => Ok(Health::Serving),
            Ok(ServingStatus::NotServing) => Ok(Health::NotServing),
            Ok(_) | Err(ClientError::Other { code: Code::NotFound, .. }) => Ok(Health::Unknown),
            Err(error) => Err(error),
        }
    }
}

impl LockClient {
    /// The request that asks for a lock in this client's name, and until when to
    /// wait in line for it, if at all: from now on, by this machine's clock.
    pub(super) fn acquire_request(
        &self,
        resource: Resource,
        options: AcquireOptions,
    ) -> Result<(wire::AcquireRequest, Option<Instant>), ClientError> {
        let wait = options.wait.filter(|wait| !wait.is_zero());
        let request = wire::AcquireRequest {
            resource: Some(resource),
            owner_id: self.owner_id().to_owned(),
            ttl: wire_span("ttl", options.ttl)?,
            wait: wire_span("wait", wait)?,
            metadata: options.metadata.into_iter().collect(),
        };
        Ok((request, wait.map(|wait| Instant::now() + wait.min(LONGEST_WAIT))))
    }
}

pub(super) fn answered(lock: Option<wire::Lock>) -> Result<Lock, ClientError> {
    lock.map(Lock::from).ok_or_else(|| ClientError::internal("the answer holds no lock"))
}

fn locks(locks: Vec<wire::Lock>) -> Vec<Lock> {
    locks.into_iter().map(Lock::from).collect()
}

/// A span for the wire, or the field that it does not fit in.
pub(super) fn wire_span(
    field: &str,
    span: Option<Duration>,
) -> Result<Option<prost_types::Duration>, ClientError> {
    span.map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| ClientError::invalid(field, "is longer than any clock counts".to_owned()))
}
