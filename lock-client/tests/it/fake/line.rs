//! The fake's line: resources that somebody else has, and who waits for them.
//!
//! It keeps no order: all who wait are served when the resource is vacated.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lock_client::Resource;
use proto::lock::v1::AcquireRequest;
use service_kit::testing::eventually;
use tokio::{
    sync::{broadcast, watch},
    time::sleep,
};
use tonic::Status;

use super::{Fake, PATIENCE, Service, conflict};

pub(super) struct Line {
    occupied: watch::Sender<HashSet<Resource>>,
    in_line: AtomicUsize,
    waits: Mutex<Vec<Wait>>,
    end: broadcast::Sender<fn() -> Status>,
}

/// A request that was ready to wait.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) owner_id: String,
    pub(crate) wait: Duration,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            occupied: watch::Sender::default(),
            in_line: AtomicUsize::default(),
            waits: Mutex::default(),
            end: broadcast::channel(16).0,
        }
    }
}

impl Fake {
    /// Somebody else has this from now on.
    pub(crate) fn occupy(&self, resource: &Resource) {
        self.state.line.occupied.send_modify(|all| _ = all.insert(resource.clone()));
    }

    /// Nobody else has it any more.
    pub(crate) fn vacate(&self, resource: &Resource) {
        self.state.line.occupied.send_modify(|all| _ = all.remove(resource));
    }

    /// Ends all waits with this.
    pub(crate) fn end_waits(&self, status: fn() -> Status) {
        // There may be none.
        let _ = self.state.line.end.send(status);
    }

    /// Every request so far that was ready to wait.
    pub(crate) fn waits(&self) -> Vec<Wait> {
        self.state.line.waits.lock().unwrap().clone()
    }

    /// Waits until so many are in line.
    pub(crate) async fn has_in_line(&self, count: usize) {
        let state = &self.state;
        let probe = async || (state.line.in_line.load(Ordering::SeqCst) == count).then_some(());
        eventually(&format!("{count} in line"), PATIENCE, probe).await;
    }
}

/// A place in line, for as long as the call lasts.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(in_line: &'a AtomicUsize) -> Self {
        in_line.fetch_add(1, Ordering::SeqCst);
        Self(in_line)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service {
    /// Returns when nobody else has the resource.
    pub(super) async fn in_line(&self, request: &AcquireRequest) -> Result<(), Status> {
        let line = &self.0.line;
        let resource = request.resource.as_ref().unwrap();
        let wait = request.wait.map(|wait| Duration::try_from(wait).unwrap());
        if let Some(wait) = wait {
            let owner_id = request.owner_id.clone();
            line.waits.lock().unwrap().push(Wait { owner_id, wait });
        }
        let (mut occupied, mut end) = (line.occupied.subscribe(), line.end.subscribe());
        if !occupied.borrow().contains(resource) {
            return Ok(());
        }
        let Some(wait) = wait else { return Err(conflict()) };
        let _place = Place::take(&line.in_line);
        tokio::select! {
            _ = occupied.wait_for(|all| !all.contains(resource)) => Ok(()),
            status = end.recv() => Err(status.unwrap()()),
            () = sleep(wait) => Err(conflict()),
        }
    }
}
