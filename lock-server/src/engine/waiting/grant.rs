//! A grant on its way to a caller.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Waiting;
use crate::domain::Lock;

/// A lock that was granted to a caller who waited for it. Dropped before any of
/// the calls that it is for has taken it, it is handed on.
#[derive(Debug)]
pub(in crate::engine) struct Grant {
    waiting: Waiting,
    /// The place that was granted; none when the caller did not have to wait.
    place: Option<i64>,
    lock: Lock,
    is_taken: AtomicBool,
}

/// Of a grant whose answer is being made: it is handed on unless it is said that
/// the answer was sent.
#[derive(Debug, Clone)]
pub struct Receipt(pub(in crate::engine) Arc<Grant>);

impl Receipt {
    /// The answer is on its way to the caller.
    pub fn sent(&self) {
        self.0.take();
    }
}

impl Grant {
    pub(super) fn new(waiting: &Waiting, place: Option<i64>, lock: Lock) -> Arc<Self> {
        let (waiting, is_taken) = (waiting.clone(), AtomicBool::new(false));
        Arc::new(Self { waiting, place, lock, is_taken })
    }

    pub(super) fn place(&self) -> Option<i64> {
        self.place
    }

    pub(super) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The caller has it.
    fn take(&self) {
        self.is_taken.store(true, Ordering::Release);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        // A server that stops leaves it for who asks elsewhere.
        if !*self.is_taken.get_mut() && !self.waiting.stopping.is_cancelled() {
            self.waiting.pass_on(&self.lock);
        }
    }
}
