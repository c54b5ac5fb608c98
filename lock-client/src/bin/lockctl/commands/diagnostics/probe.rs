//! One server by itself: whether it can be reached, and what it says of itself.
//!
//! The client library is made to get an answer from somewhere, sooner or
//! later. Here the question is how this one server fares at the first attempt.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// The header of a health check's answer that names the kind of store. No
/// message of the contract does.
const STORE_HEADER: &str = "lock-store";

/// The header beside it that names the server's version.
const VERSION_HEADER: &str = "lock-server-version";

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Server {
    /// As it was named.
    pub(super) address: String,
    /// What it said, or why it could not be reached.
    pub(super) answer: Result<Answer, String>,
}

/// What a server says of itself.
#[derive(Debug)]
pub(super) struct Answer {
    /// How long one empty call took.
    pub(super) latency: Duration,
    /// The process is well.
    pub(super) live: bool,
    /// It takes calls: its store answers, and it is not stopping.
    pub(super) ready: bool,
    /// Where it keeps the locks, if it says.
    pub(super) store: Option<String>,
    /// Which release it is, if it says.
    pub(super) version: Option<String>,
}

impl Server {
    /// Whether it takes calls.
    pub(super) fn is_ready(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.ready)
    }
}

/// Asks one server, for so long.
pub(super) async fn probe(address: &str, limit: Duration) -> Server {
    let answer = match timeout(limit, ask(address)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    };
    Server { address: address.to_owned(), answer }
}

async fn ask(address: &str) -> Result<Answer, String> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|_| "not a URL; write http://HOST:PORT".to_owned())?;
    let channel = endpoint.connect().await.map_err(|error| innermost(&error))?;
    let process = check(&channel, "").await?;
    // The second call: the first one also pays for the connection's settings.
    let started = Instant::now();
    let service = check(&channel, "lock.v1.LockService").await?;
    let latency = started.elapsed();
    let (store, version) = (process.store, process.version);
    Ok(Answer { latency, live: process.serving, ready: service.serving, store, version })
}

#[derive(Debug, Default)]
struct Health {
    serving: bool,
    store: Option<String>,
    version: Option<String>,
}

async fn check(channel: &Channel, service: &str) -> Result<Health, String> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let response = match HealthClient::new(channel.clone()).check(request).await {
        Ok(response) => response,
        // It is there, and is not (yet) what it should be.
        Err(status) if status.code() == tonic::Code::NotFound => return Ok(Health::default()),
        Err(status) => return Err(status.message().to_owned()),
    };
    let header = |name| Some(response.metadata().get(name)?.to_str().ok()?.to_owned());
    let (store, version) = (header(STORE_HEADER), header(VERSION_HEADER));
    let serving = response.into_inner().status() == ServingStatus::Serving;
    Ok(Health { serving, store, version })
}

/// What is at the bottom of an error: the part that says something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
