//! How a client is set up: where the servers are, who calls, and for how long
//! it tries.

use std::{sync::Arc, time::Duration};

use tonic::transport::Endpoint;
use uuid::Uuid;

use crate::{
    ClientError, LockClient, call::CallLimits, endpoints::Endpoints, io_thread::IoThread,
    keep_alive, shared::Shared,
};

/// No call is tried for longer, however long the caller would wait: it keeps
/// sums of instants in range.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// No call goes on for longer over a connection that is dead.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(10);
const _: () = assert!(
    DEAD_AFTER.as_secs() > PING_INTERVAL.as_secs() + PING_TIMEOUT.as_secs(),
    "a ping that is not answered ends it"
);

/// Sets up a [`LockClient`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LockClientBuilder {
    endpoints: Vec<String>,
    owner_id: Option<String>,
    connect_timeout: Duration,
    attempt_timeout: Duration,
    timeout: Duration,
}

impl Default for LockClientBuilder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            owner_id: None,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(6),
            timeout: Duration::from_secs(15),
        }
    }
}

impl LockClientBuilder {
    /// Adds a server, as `http://HOST:PORT`. With several, a call that one does
    /// not answer goes to the next. At least one is needed.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Adds several servers.
    pub fn endpoints<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.endpoints.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Who holds what this client acquires. Unset: a new UUIDv7.
    pub fn owner_id(mut self, owner_id: impl Into<String>) -> Self {
        self.owner_id = Some(owner_id.into());
        self
    }

    /// How long a connection may take to be made. Default: 3 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long one attempt of a call may take. Default: 6 s, a second more
    /// than the server takes to say that its database is away. Shorter than
    /// that, and the caller never learns why.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// How long a call may take with all its attempts. Default: 15 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// The client. Nothing is sent yet: connections are made when a call needs
    /// them, and made again when they break.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] without an endpoint or with one that is not
    /// `http://HOST:PORT`; [`ClientError::Other`] when the machine has no
    /// thread to give.
    pub fn build(self) -> Result<LockClient, ClientError> {
        if self.endpoints.is_empty() {
            let description =
                "is missing; give at least one, such as http://127.0.0.1:50051".to_owned();
            return Err(ClientError::invalid("endpoint", description));
        }
        let endpoints: Vec<_> =
            self.endpoints.iter().map(|url| endpoint(url)).collect::<Result<_, ClientError>>()?;
        let io = IoThread::start()?;
        let endpoints = {
            // Channels belong to the runtime that they are made in.
            let _inside = io.handle().enter();
            Arc::new(Endpoints::new(endpoints, self.connect_timeout))
        };
        let keep_alive = keep_alive::spawn(&io, endpoints.clone());
        let limits = CallLimits {
            attempt: self.attempt_timeout.min(LONGEST),
            total: self.timeout.min(LONGEST),
        };
        let shared = Shared::new(io, endpoints, limits, keep_alive);
        let shared = Arc::new(shared);
        Ok(match self.owner_id {
            Some(owner_id) => LockClient::new(shared, &owner_id, false),
            None => LockClient::new(shared, &new_owner_id(), true),
        })
    }
}

/// A name that no other session of work has: times sort, and the rest is random.
pub(crate) fn new_owner_id() -> String {
    Uuid::now_v7().to_string()
}

/// The server at this address, with the connection's own settings.
fn endpoint(url: &str) -> Result<Endpoint, ClientError> {
    let wrong = |why: &str| {
        let description =
            format!("{url:?} {why}; write http://HOST:PORT, such as http://127.0.0.1:50051");
        ClientError::invalid("endpoint", description)
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong("is not a URL"))?;
    match endpoint.uri().scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong("asks for TLS, which this client does not speak")),
        _ => return Err(wrong("has no scheme")),
    }
    if endpoint.uri().host().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    Ok(endpoint
        .user_agent(concat!("lock-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|_| wrong("can't be called"))?
        // A peer that went away without a word is noticed while idle, too: within
        // 8 s, since who waits in line there keeps its place for 10 s.
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: LockClientBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn an_endpoint_that_is_none_is_named_with_what_would_be_right() {
        let cases = [
            ("127.0.0.1:50051", "has no scheme"),
            ("ftp://host", "has no scheme"),
            ("https://host:50051", "asks for TLS"),
            ("http://", "is not a URL"),
            ("http://:50051", "names no host"),
            ("not a url", "is not a URL"),
            ("", "is not a URL"),
        ];
        for (url, why) in cases {
            let error = refusal(LockClientBuilder::default().endpoint(url));
            assert!(error.contains(why), "{url:?}: {error}");
            assert!(error.contains("write http://HOST:PORT"), "{url:?}: {error}");
            assert!(error.contains(&format!("{url:?}")), "{url:?}: {error}");
        }
    }

    #[test]
    fn one_endpoint_is_needed() {
        assert!(refusal(LockClient::builder()).contains("at least one"));
    }

    #[test]
    fn each_client_is_an_owner_of_its_own_unless_it_is_told_who_it_is() {
        let build = |builder: LockClientBuilder| {
            builder.endpoint("http://127.0.0.1:1").timeout(Duration::MAX).build().unwrap()
        };
        assert_ne!(
            build(LockClient::builder()).owner_id(),
            build(LockClient::builder()).owner_id()
        );
        assert_eq!(build(LockClient::builder().owner_id("me")).owner_id(), "me");
    }
}
