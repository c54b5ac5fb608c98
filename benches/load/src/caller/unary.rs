//! A gRPC call for each command, with the generated client and nothing around it.

use std::time::Duration;

use proto::lock::v1::lock_service_client::LockServiceClient;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{Grant, locks};
use crate::{
    part::Part,
    trouble::{During, Result, Trouble},
};

/// One caller on a connection that others may share.
pub(crate) struct Unary {
    client: LockServiceClient<Channel>,
    locks: locks::Locks,
}

/// So many connections to a server, all made.
pub(crate) async fn connect(url: &str, connections: usize) -> Result<Vec<Channel>> {
    // Windows that never hold a burst of small messages back.
    const WINDOW: u32 = 1 << 20;
    let endpoint = Endpoint::from_shared(url.to_owned())
        .during("read a server's address")?
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        channels.push(endpoint.connect().await.during(&format!("connect to {url}"))?);
    }
    Ok(channels)
}

impl Unary {
    pub(crate) fn new(channel: Channel, part: Part) -> Self {
        Self { client: LockServiceClient::new(channel), locks: locks::Locks::new(part) }
    }

    pub(super) fn locks(&self) -> usize {
        self.locks.len()
    }

    pub(super) async fn acquire(&mut self, lock: usize, wait: Option<Duration>) -> Result<Grant> {
        match self.client.acquire(self.locks.acquire(lock, wait)).await {
            Ok(answer) => {
                self.locks.granted(lock, answer.get_ref())?;
                Ok(Grant::Granted)
            }
            Err(status) if status.code() == Code::FailedPrecondition => Ok(Grant::Conflict),
            Err(status) => Err(refused(&status)),
        }
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        let answer = self.client.release(self.locks.release(lock)).await;
        locks::released(answer.map_err(|status| refused(&status))?.get_ref())
    }

    pub(super) async fn renew(&mut self, lock: usize) -> Result<()> {
        let answer = self.client.renew(self.locks.renew(lock)).await;
        answer.map(drop).map_err(|status| refused(&status))
    }
}

fn refused(status: &Status) -> Trouble {
    Trouble::failed(format!("{:?}: {}", status.code(), status.message()))
}
