//! `grpc.health.v1`, and how it ends: the watch streams of tonic-health would
//! keep a stopping server up until its grace is over, so they end with the
//! server here.
//!
//! The empty service name stands for the process, which lives whatever its
//! database does; [`SERVICE_NAME`] for the readiness to serve.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, metadata::MetadataValue};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus as Wire,
        health_server,
    },
    server::{HealthReporter, HealthService},
};

/// The service whose health is the readiness of the server.
pub const SERVICE_NAME: &str = "lock.v1.LockService";
/// A header of every `Check` response: the engine, `postgres` or `sqlite`.
pub const LOCK_STORE_HEADER: &str = "lock-store";
/// A header of every `Check` response: the server's version.
pub const VERSION_HEADER: &str = "lock-server-version";

/// Serves `grpc.health.v1.Health`.
#[derive(Debug)]
pub struct Health {
    service: HealthService,
    engine: &'static str,
    stopping: CancellationToken,
}

impl Health {
    /// A service that shows what a reporter reports, until `stopping`.
    pub fn new(
        reporter: &HealthReporter,
        engine: &'static str,
        stopping: CancellationToken,
    ) -> Self {
        Self { service: HealthService::from_health_reporter(reporter.clone()), engine, stopping }
    }

    /// Reports whether the server is ready.
    pub async fn report(reporter: &HealthReporter, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(SERVICE_NAME, status).await;
    }
}

type Updates = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let mut response = self.service.check(request).await?;
        let headers = response.metadata_mut();
        headers.insert(LOCK_STORE_HEADER, MetadataValue::from_static(self.engine));
        headers.insert(VERSION_HEADER, MetadataValue::from_static(env!("CARGO_PKG_VERSION")));
        Ok(response)
    }

    type WatchStream = Updates;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_readiness = request.get_ref().service == SERVICE_NAME;
        let updates = self.service.watch(request).await?.into_inner();
        let stopping = self.stopping.clone().cancelled_owned();
        // The last word is said here: the stream ends before it would see it.
        let not_ready = HealthCheckResponse { status: Wire::NotServing.into() };
        let last_word = stream::iter(is_readiness.then_some(Ok(not_ready)));
        Ok(Response::new(Box::pin(updates.take_until(stopping).chain(last_word))))
    }
}
