//! Callers who watch what happens to locks.

use proto::lock::v1::{self as wire, LockEventKind, lock_service_client::LockServiceClient};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::{LockWorld, PATIENCE};

/// An open watch, whose snapshot has been read.
#[derive(Debug)]
pub(crate) struct Watch {
    responses: Streaming<wire::WatchResponse>,
    /// The live locks as it began.
    pub(crate) snapshot: Vec<wire::Lock>,
    /// The events that were read last.
    pub(crate) events: Vec<wire::WatchResponse>,
}

impl LockWorld {
    /// Begins to watch, and reads the snapshot.
    pub(crate) async fn watch(&mut self, request: wire::WatchRequest) -> Result<Watch, Status> {
        let mut client = LockServiceClient::new(self.channel());
        let answer = timeout(PATIENCE, client.watch(request)).await.expect("the server answers");
        let responses = answer?.into_inner();
        let mut watch = Watch { responses, snapshot: Vec::new(), events: Vec::new() };
        loop {
            let response = watch.next().await?;
            match (response.kind(), response.lock) {
                (LockEventKind::Snapshot, Some(lock)) => watch.snapshot.push(lock),
                (LockEventKind::SnapshotComplete, None) => return Ok(watch),
                (other, lock) => panic!("{other:?} in the snapshot: {lock:?}"),
            }
        }
    }
}

impl Watch {
    /// Whatever it says next, or why it ends.
    pub(crate) async fn next(&mut self) -> Result<wire::WatchResponse, Status> {
        let response = timeout(PATIENCE, self.responses.message()).await;
        let response = response.expect("the watch goes on or ends")?;
        Ok(response.expect("a watch does not end without saying why"))
    }

    /// Reads as many events, whatever there is between them that is none.
    pub(crate) async fn read(&mut self, count: usize) {
        self.events.clear();
        while self.events.len() < count {
            let told = self.events.len();
            let response = self.next().await.unwrap_or_else(|status| {
                panic!("it ends after {told} of {count}: {}", crate::answer::shown(&status))
            });
            match (response.kind(), &response.lock) {
                (LockEventKind::Progress, None) => {}
                (_, Some(_)) => self.events.push(response),
                (other, None) => panic!("{other:?} without a lock"),
            }
        }
    }
}
