//! The fake's `Watch`: a snapshot of what it holds, and then what a test tells.

use std::sync::Mutex;

use proto::lock::v1::{Lock, LockEventKind, WatchRequest, WatchResponse};
use service_kit::testing::eventually;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::{Fake, PATIENCE, Service};

type Told = Result<WatchResponse, Status>;

#[derive(Default)]
pub(super) struct Watches {
    refusal: Mutex<Option<fn() -> Status>>,
    requests: Mutex<Vec<WatchRequest>>,
    open: Mutex<Vec<mpsc::Sender<Told>>>,
}

fn event(kind: LockEventKind, lock: Option<Lock>) -> Told {
    Ok(WatchResponse { kind: kind.into(), lock })
}

impl Fake {
    /// No watch is opened from now on; again, with none.
    pub(crate) fn refuse_watches(&self, status: Option<fn() -> Status>) {
        *self.state.watches.refusal.lock().unwrap() = status;
    }

    /// Tells this on every open watch.
    pub(crate) async fn tell(&self, kind: LockEventKind, lock: Option<Lock>) {
        self.tell_all(event(kind, lock)).await;
    }

    /// Ends every open watch with this.
    pub(crate) async fn end_watches(&self, status: fn() -> Status) {
        self.tell_all(Err(status())).await;
        self.state.watches.open.lock().unwrap().clear();
    }

    async fn tell_all(&self, told: Told) {
        let open = self.state.watches.open.lock().unwrap().clone();
        for watch in open {
            // Whoever listened may have gone.
            let _ = watch.send(told.clone()).await;
        }
    }

    /// What was asked to be watched.
    pub(crate) fn watches(&self) -> Vec<WatchRequest> {
        self.state.watches.requests.lock().unwrap().clone()
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn is_not_watched(&self) {
        let open = &self.state.watches.open;
        let none = async || open.lock().unwrap().iter().all(mpsc::Sender::is_closed).then_some(());
        eventually("no open watch", PATIENCE, none).await;
    }
}

impl Service {
    pub(super) async fn open_watch(
        &self,
        request: WatchRequest,
    ) -> Result<Response<ReceiverStream<Told>>, Status> {
        let watches = &self.0.watches;
        watches.requests.lock().unwrap().push(request);
        let refusal = *watches.refusal.lock().unwrap();
        if let Some(refusal) = refusal {
            return Err(refusal());
        }
        let (watch, told) = mpsc::channel(64);
        let held: Vec<Lock> = self.0.held.lock().unwrap().values().cloned().collect();
        for lock in held {
            watch.send(event(LockEventKind::Snapshot, Some(lock))).await.unwrap();
        }
        watch.send(event(LockEventKind::SnapshotComplete, None)).await.unwrap();
        watches.open.lock().unwrap().push(watch);
        Ok(Response::new(ReceiverStream::new(told)))
    }
}
