//! A watch that a test reads.

use proto::lock::v1::{self as wire, LockEventKind as Kind};
use tonic::{Status, Streaming};

use super::super::support::{DEADLINE, Locks, resource};

/// An open watch.
#[derive(Debug)]
pub(super) struct Watch(Streaming<wire::WatchResponse>);

/// All locks.
pub(super) fn everything() -> wire::WatchRequest {
    wire::WatchRequest::default()
}

/// All locks, with their renewals.
pub(super) fn everything_with_renewals() -> wire::WatchRequest {
    wire::WatchRequest { include_renewals: true, ..everything() }
}

/// One resource, written as `type/id`.
pub(super) fn one(text: &str) -> wire::WatchRequest {
    wire::WatchRequest { resource: resource(text), ..everything() }
}

/// What an event says of a lock, beside its kind: `type/id`, owner, token.
pub(super) type Said = (Kind, String, String, u64);

/// The same of what a test knows.
pub(super) fn said(kind: Kind, lock: &wire::Lock) -> Said {
    let name = lock.resource.as_ref().unwrap().to_string();
    (kind, name, lock.owner_id.clone(), lock.fencing_token)
}

impl Watch {
    /// Begins to watch, and does not read.
    pub(super) async fn open(locks: &Locks, request: wire::WatchRequest) -> Self {
        Self(locks.clone().watch(request).await.unwrap().into_inner())
    }

    /// Begins to watch, and reads the snapshot.
    pub(super) async fn begin(
        locks: &Locks,
        request: wire::WatchRequest,
    ) -> (Self, Vec<wire::Lock>) {
        let mut watch = Self::open(locks, request).await;
        let snapshot = watch.snapshot().await;
        (watch, snapshot)
    }

    /// Begins to watch where nothing is held.
    pub(super) async fn of_nothing(locks: &Locks, request: wire::WatchRequest) -> Self {
        let (watch, snapshot) = Self::begin(locks, request).await;
        assert_eq!(snapshot, []);
        watch
    }

    /// Reads the snapshot to its end, however long it takes to begin.
    pub(super) async fn snapshot(&mut self) -> Vec<wire::Lock> {
        let mut locks = Vec::new();
        loop {
            let event = self.any().await.unwrap();
            match event.kind() {
                Kind::Snapshot => locks.push(event.lock.unwrap()),
                Kind::SnapshotComplete => {
                    assert_eq!(event.lock, None);
                    return locks;
                }
                Kind::Progress if locks.is_empty() => {}
                other => panic!("{other:?} in the snapshot: {event:?}"),
            }
        }
    }

    /// The next message, of whatever kind.
    pub(super) async fn any(&mut self) -> Result<wire::WatchResponse, Status> {
        let message = tokio::time::timeout(DEADLINE, self.0.message()).await;
        message.expect("an event in time").map(|event| event.expect("not the end"))
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> (Kind, wire::Lock) {
        loop {
            let event = self.any().await.unwrap();
            if event.kind() != Kind::Progress {
                let kind = event.kind();
                return (kind, event.lock.unwrap());
            }
        }
    }

    /// What the next event says.
    pub(super) async fn said(&mut self) -> Said {
        let (kind, lock) = self.next().await;
        said(kind, &lock)
    }

    /// Why it ends, after whatever is told before.
    pub(super) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.any().await {
                return status;
            }
        }
    }
}
