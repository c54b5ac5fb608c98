//! One call to the service, with its time limit.
//!
//! There is one attempt: whether a move may be sent again depends on what became
//! of the first, and the service tells that better than a second attempt would.

use std::{future::Future, time::Duration};

use proto::plan::v1::plan_service_client::PlanServiceClient;
use service_kit::cli::{Away, Failure, span};
use tokio::time::timeout;
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{args::Global, failure};

/// How long a connection may take to be made, if there is time for more.
const CONNECT: Duration = Duration::from_secs(3);
/// A service that went away without a word is noticed after two of these.
const PING: Duration = Duration::from_secs(5);
/// The most bytes of an answer: a page of plans with a thousand steps each.
const MOST_BYTES: usize = 256 << 20;

/// The service's contract, on one connection.
pub(crate) type Stub = PlanServiceClient<Channel>;

/// The service, connected.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    stub: Stub,
    limit: Duration,
}

impl Client {
    /// Connects, so that a service that is not there is known for that.
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let limit = global.timeout;
        let endpoint = endpoint(&global.addr)?.connect_timeout(CONNECT.min(limit));
        let channel = match timeout(limit, endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(failure::not_connected(&failure::innermost(&error))),
            Err(_) => return Err(timed_out(limit, false)),
        };
        let stub = PlanServiceClient::new(channel).max_decoding_message_size(MOST_BYTES);
        Ok(Self { stub, limit })
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Makes a call.
    pub(crate) async fn call<T, F>(&self, call: impl FnOnce(Stub) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(self.limit, call, failure::from_status).await
    }

    /// Makes the call that ends a plan.
    pub(crate) async fn call_to_cancel<T, F>(
        &self,
        call: impl FnOnce(Stub) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(self.limit, call, failure::of_cancel).await
    }

    /// Makes a call that may take so much longer than others.
    pub(crate) async fn call_waiting<T, F>(
        &self,
        wait: Duration,
        call: impl FnOnce(Stub) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(self.limit.saturating_add(wait), call, failure::from_status).await
    }

    async fn call_within<T, F>(
        &self,
        limit: Duration,
        call: impl FnOnce(Stub) -> F,
        refused: fn(&Status) -> Failure,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match timeout(limit, call(self.stub.clone())).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(refused(&status)),
            Err(_) => Err(timed_out(limit, true)),
        }
    }
}

fn timed_out(limit: Duration, sent: bool) -> Failure {
    // Timers count milliseconds.
    let within = span::human(limit.max(Duration::from_millis(1)));
    let message = format!("no answer from plan-service within {within}");
    Failure::unavailable("UNAVAILABLE", message, Away { timed_out: true, sent })
}

/// The service at this address.
fn endpoint(url: &str) -> Result<Endpoint, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--addr {url:?} {why}; write http://HOST:PORT, such as http://127.0.0.1:50052"
        ))
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong("is not a URL"))?;
    match endpoint.uri().scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong("asks for TLS, which planctl does not speak")),
        Some(scheme) => return Err(wrong(&format!("has the scheme {scheme}"))),
        None => return Err(wrong("has no scheme")),
    }
    if endpoint.uri().host().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    Ok(endpoint
        .user_agent(concat!("planctl/", env!("CARGO_PKG_VERSION")))
        .map_err(|_| wrong("can't be called"))?
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_waited_is_told_as_people_read_it() {
        for (limit, words) in [
            (Duration::from_secs(30), "within 30s"),
            (Duration::from_millis(200), "within 200ms"),
            (Duration::from_nanos(1), "within 1ms"),
        ] {
            let failure = timed_out(limit, true);
            assert!(failure.to_text().0.ends_with(words), "{failure:?}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_named_with_what_would_be_right() {
        for (url, why) in [
            ("127.0.0.1:50052", "has no scheme"),
            ("ftp://host", "has the scheme ftp; write http://HOST:PORT"),
            ("https://host:50052", "asks for TLS"),
            ("http://:50052", "names no host"),
            ("not a url", "is not a URL"),
            ("", "is not a URL"),
        ] {
            let failure = endpoint(url).unwrap_err();
            let (message, _) = failure.to_text();
            assert!(message.contains(why), "{url:?}: {message}");
            assert!(message.contains("write http://HOST:PORT"), "{url:?}: {message}");
        }
        assert!(endpoint("http://127.0.0.1:50052").is_ok());
    }
}
