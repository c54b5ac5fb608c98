//! Makes the connections to a server, and counts them: what was learned of a
//! server on one connection may be wrong on the next, which may lead to a newer
//! or an older one.
//!
//! The transport makes a broken connection again by itself and tells nobody;
//! so this is where it can be seen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::{codegen::Service, transport::Uri};

/// Makes TCP connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    connections: Connections,
}

/// How many connections have been made to one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<AtomicU64>);

impl Connector {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        // Small requests must not wait for a peer's delayed acknowledgement.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Self { tcp, connections: Connections::default() }
    }

    pub(crate) fn connections(&self) -> Connections {
        self.connections.clone()
    }
}

impl Connections {
    pub(crate) fn made(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, connections) = (self.tcp.call(uri), self.connections());
        Box::pin(async move {
            let connection = connecting.await?;
            connections.0.fetch_add(1, Ordering::Relaxed);
            Ok(connection)
        })
    }
}
