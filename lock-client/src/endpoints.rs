//! The servers that a client may ask, and which of them it asks first.
//!
//! Every server answers for every lock, so one that fails is left for the next
//! one, by all calls at once, until that one fails in its turn.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tonic::transport::{Channel, Endpoint};

use crate::{connector::Connector, session::Session};

pub(crate) struct Endpoints {
    servers: Vec<Server>,
    connect_timeout: Duration,
    preferred: AtomicUsize,
}

struct Server {
    endpoint: Endpoint,
    line: Mutex<Arc<Line>>,
}

/// A connection, made when it is first used and made again when it breaks, the
/// command stream on it, and a second connection for who waits in line.
///
/// A server takes so many calls at a time on one connection, 1,024 say. Calls
/// that wait would leave no room there for the others, nor for the streams that
/// keep leases alive.
pub(crate) struct Line {
    pub(crate) channel: Channel,
    pub(crate) session: Session,
    pub(crate) waiting: Channel,
    generation: u64,
}

/// One server with the connection to it.
pub(crate) struct Pick {
    index: usize,
    pub(crate) line: Arc<Line>,
}

/// How a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It answered, or the connection broke: a broken one is made again by
    /// itself.
    Answered,
    /// It said nothing in time. The connection may be dead without anyone
    /// having noticed, so the next attempt gets a new one.
    Silent,
}

impl Endpoints {
    /// Must be called in the runtime that is to do the network work.
    pub(crate) fn new(endpoints: Vec<Endpoint>, connect_timeout: Duration) -> Self {
        let servers = endpoints
            .into_iter()
            .map(|endpoint| {
                let line = Line::new(&endpoint, connect_timeout, 0);
                Server { endpoint, line: Mutex::new(Arc::new(line)) }
            })
            .collect();
        Self { servers, connect_timeout, preferred: AtomicUsize::new(0) }
    }

    /// How many servers there are.
    pub(crate) fn count(&self) -> usize {
        self.servers.len()
    }

    /// The server to ask for now.
    pub(crate) fn pick(&self) -> Pick {
        self.pick_at(self.preferred.load(Ordering::Relaxed))
    }

    /// The one that comes after this one, whatever others prefer meanwhile: an
    /// attempt that failed here should see every server before this one again.
    pub(crate) fn pick_after(&self, pick: &Pick) -> Pick {
        self.pick_at((pick.index + 1) % self.servers.len())
    }

    fn pick_at(&self, index: usize) -> Pick {
        let line = self.servers[index].line.lock().unwrap_or_else(PoisonError::into_inner);
        Pick { index, line: line.clone() }
    }

    /// This server failed: others are asked from now on. Must be called in the
    /// runtime that does the network work.
    pub(crate) fn failed(&self, pick: &Pick, failure: Failure) {
        let next = (pick.index + 1) % self.servers.len();
        // Somebody else who failed here may have moved on already.
        let _ =
            self.preferred.compare_exchange(pick.index, next, Ordering::Relaxed, Ordering::Relaxed);
        if failure == Failure::Silent {
            let server = &self.servers[pick.index];
            let mut line = server.line.lock().unwrap_or_else(PoisonError::into_inner);
            if line.generation == pick.line.generation {
                let generation = line.generation + 1;
                *line = Arc::new(Line::new(&server.endpoint, self.connect_timeout, generation));
            }
        }
    }
}

impl Line {
    fn new(endpoint: &Endpoint, connect_timeout: Duration, generation: u64) -> Self {
        let connector = Connector::new(connect_timeout);
        let connections = connector.connections();
        let channel = endpoint.connect_with_connector_lazy(connector);
        let session = Session::new(channel.clone(), connections);
        let waiting = endpoint.connect_with_connector_lazy(Connector::new(connect_timeout));
        Self { channel, session, waiting, generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: usize) -> Endpoints {
        let endpoint = Endpoint::from_static("http://127.0.0.1:1");
        Endpoints::new(vec![endpoint; count], Duration::from_secs(1))
    }

    #[tokio::test]
    async fn a_server_that_failed_is_left_for_the_next_one_and_round() {
        let endpoints = endpoints(2);
        let first = endpoints.pick();
        endpoints.failed(&first, Failure::Answered);
        let second = endpoints.pick();
        assert_eq!((first.index, second.index), (0, 1));
        endpoints.failed(&second, Failure::Answered);
        assert_eq!(endpoints.pick().index, 0);
    }

    #[tokio::test]
    async fn two_who_failed_at_the_same_server_move_on_once() {
        let endpoints = endpoints(3);
        let (one, other) = (endpoints.pick(), endpoints.pick());
        endpoints.failed(&one, Failure::Answered);
        endpoints.failed(&other, Failure::Answered);
        assert_eq!(endpoints.pick().index, 1);
    }

    #[tokio::test]
    async fn a_silent_connection_is_replaced_once() {
        let endpoints = endpoints(1);
        let (one, other) = (endpoints.pick(), endpoints.pick());
        endpoints.failed(&one, Failure::Silent);
        endpoints.failed(&other, Failure::Silent);
        assert_eq!(endpoints.pick().line.generation, 1);
        endpoints.failed(&endpoints.pick(), Failure::Answered);
        assert_eq!(endpoints.pick().line.generation, 1);
    }
}
