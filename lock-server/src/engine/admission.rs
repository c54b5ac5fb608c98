//! The bound on requests that are under way: past it callers are told to come
//! back, instead of filling memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::LockError;

/// Places for requests.
#[derive(Debug)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    most: usize,
    stopping: CancellationToken,
}

/// What a request takes of the bound, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// What a command takes of the bound: a place of its own, or its share of the
/// place that its request has, which is kept until the last of them is done.
#[derive(Debug)]
pub(super) enum Share {
    Whole {
        _place: Place,
    },
    Part {
        _place: Arc<Place>,
    },
    /// Nothing: the server itself asks, for somebody who was let in before.
    Free,
}

impl Admission {
    pub(super) fn new(most: usize, stopping: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), most, stopping }
    }

    /// Takes places for a request. One that is larger than the bound takes all
    /// of it.
    pub(super) fn enter(&self, places: usize) -> Result<Place, LockError> {
        if self.stopping.is_cancelled() {
            return Err(LockError::ShuttingDown);
        }
        let places = u32::try_from(places.min(self.most)).unwrap_or(u32::MAX);
        let full = LockError::Overloaded {
            limit: "--max-queue",
            value: self.most,
            what: "requests are under way",
        };
        let permit = Arc::clone(&self.places).try_acquire_many_owned(places);
        permit.map(|permit| Place { _permit: permit }).map_err(|_full| full)
    }

    /// Waits until nobody has a place.
    pub(super) async fn empty(&self) {
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        // It is never closed, so this ends only when all places are there.
        drop(self.places.acquire_many(all).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_opens_again() {
        let admission = Admission::new(3, CancellationToken::new());
        let first = admission.enter(1).unwrap();
        let _second = admission.enter(2).unwrap();
        let full = admission.enter(1).unwrap_err();
        assert!(matches!(full, LockError::Overloaded { value: 3, .. }), "{full:?}");
        drop(first);
        let _third = admission.enter(1).unwrap();
    }

    #[test]
    fn what_is_larger_than_the_bound_fits_alone() {
        let admission = Admission::new(3, CancellationToken::new());
        let _all = admission.enter(100).unwrap();
        assert!(admission.enter(1).is_err());
    }

    #[test]
    fn lets_nobody_in_when_stopping() {
        let stopping = CancellationToken::new();
        let admission = Admission::new(3, stopping.clone());
        stopping.cancel();
        assert!(matches!(admission.enter(1), Err(LockError::ShuttingDown)));
    }
}
