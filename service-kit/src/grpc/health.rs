//! `grpc.health.v1`, and how it ends: the watch streams of tonic-health would keep a stopping
//! server up until its grace is over, so they end with the server here.
//!
//! The empty service name stands for the process, which lives whatever its database does; the
//! name of the server's own service for the readiness to serve.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus as Wire,
        health_server,
    },
    server::{HealthReporter, HealthService},
};

/// Where a server says whether it is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    reporter: HealthReporter,
    service: &'static str,
}

impl Readiness {
    /// The readiness of a service, such as `lock.v1.LockService`. It is not ready yet.
    pub async fn new(service: &'static str) -> Self {
        let readiness = Self { reporter: HealthReporter::new(), service };
        readiness.report(false).await;
        readiness
    }

    /// Says whether it is ready.
    pub async fn report(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(self.service, status).await;
    }
}

/// Serves `grpc.health.v1.Health`.
#[derive(Debug)]
pub struct Health {
    service: HealthService,
    name: &'static str,
    headers: MetadataMap,
    stopping: CancellationToken,
}

impl Health {
    /// A service that shows the readiness, until `stopping`. Each answer to `Check` carries the
    /// headers: lower-case names, and values that a header can hold.
    pub fn new(
        readiness: &Readiness,
        headers: impl IntoIterator<Item = (&'static str, &'static str)>,
        stopping: CancellationToken,
    ) -> Self {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(name, MetadataValue::from_static(value));
        }
        Self {
            service: HealthService::from_health_reporter(readiness.reporter.clone()),
            name: readiness.service,
            headers: map,
            stopping,
        }
    }

    /// The service whose readiness it shows.
    pub(super) fn service(&self) -> &'static str {
        self.name
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
        response.metadata_mut().as_mut().extend(self.headers.clone().into_headers());
        Ok(response)
    }

    type WatchStream = Updates;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_readiness = request.get_ref().service == self.name;
        let updates = self.service.watch(request).await?.into_inner();
        let stopping = self.stopping.clone().cancelled_owned();
        // The last word is said here: the stream ends before it would see it.
        let not_ready = HealthCheckResponse { status: Wire::NotServing.into() };
        let last_word = stream::iter(is_readiness.then_some(Ok(not_ready)));
        Ok(Response::new(Box::pin(updates.take_until(stopping).chain(last_word))))
    }
}

#[cfg(test)]
mod tests {
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    const SERVICE: &str = "test.v1.Service";

    fn about(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }

    #[tokio::test]
    async fn a_check_tells_the_state_and_carries_the_headers() {
        let readiness = Readiness::new(SERVICE).await;
        let health = Health::new(&readiness, [("the-store", "sqlite")], CancellationToken::new());
        for (ready, expected) in [(true, Wire::Serving), (false, Wire::NotServing)] {
            readiness.report(ready).await;
            let answer = health.check(about(SERVICE)).await.unwrap();
            assert_eq!(answer.metadata().get("the-store").unwrap(), "sqlite");
            assert_eq!(answer.into_inner().status(), expected);
            let alive = health.check(about("")).await.unwrap().into_inner();
            assert_eq!(alive.status(), Wire::Serving);
        }
    }

    #[tokio::test]
    async fn a_watch_ends_with_the_server_and_has_said_that_it_is_not_ready() {
        let readiness = Readiness::new(SERVICE).await;
        readiness.report(true).await;
        let stopping = CancellationToken::new();
        let health = Health::new(&readiness, [], stopping.clone());
        let mut updates = health.watch(about(SERVICE)).await.unwrap().into_inner();
        assert_eq!(updates.next().await.unwrap().unwrap().status(), Wire::Serving);
        stopping.cancel();
        assert_eq!(updates.next().await.unwrap().unwrap().status(), Wire::NotServing);
        assert!(updates.next().await.is_none());
    }
}
