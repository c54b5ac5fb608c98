//! Who may begin a run: so many at a time, and nobody while the instance stops.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

use crate::error::PlanError;

/// The places for runs that work, and for those that wait to.
#[derive(Debug)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    closing: CancellationToken,
    most: usize,
}

/// A place. Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(working: usize, queued: usize) -> Self {
        let most = working + queued;
        let places = Arc::new(Semaphore::new(most));
        Self { places, closing: CancellationToken::new(), most }
    }

    /// A place for a run.
    ///
    /// # Errors
    /// When all are taken, or the instance stops.
    pub(super) fn enter(&self) -> Result<Place, PlanError> {
        match self.places.clone().try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(TryAcquireError::Closed) => Err(PlanError::ShuttingDown),
            Err(TryAcquireError::NoPermits) => Err(PlanError::Overloaded {
                limit: "--max-runs and --max-queued-runs",
                value: self.most,
                what: "runs are under way",
            }),
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.places.close();
        self.closing.cancel();
    }

    /// Resolves when nobody is let in any more.
    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }
}
