//! What has happened to locks, from when it is on disk until who watches asks for
//! it. There is one process, so no table is needed.
//!
//! While nobody watches, the writer looks at one number in each transaction and
//! keeps nothing.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{Lock, LockEvent, LockEventKind, Resource, Row, Timestamp},
    store::StoreError,
};

/// After which silence who watched is taken for gone.
const SILENCE: Duration = Duration::from_secs(15);
/// How much is kept for who watches, in bytes.
const MOST_KEPT: usize = 64 * 1024 * 1024;

/// What has happened and was not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    watch: Option<Watch>,
    /// Of the next transaction in which something happens.
    number: u64,
}

#[derive(Debug)]
struct Watch {
    renewals: bool,
    asked: Instant,
    events: Vec<LockEvent>,
    weight: usize,
    expired_before: Timestamp,
    look_at: Instant,
}

/// What happens in one transaction.
#[derive(Debug)]
pub(super) struct Happened {
    renewals: bool,
    events: Vec<(LockEventKind, Lock)>,
}

// === impl Outbox ===

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it is locked would be between operations of a vector.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody watches from now on. Nobody listens to what was before.
    pub(super) fn watch(&self, renewals: bool) {
        let now = Instant::now();
        self.state().watch = Some(Watch {
            renewals,
            asked: now,
            events: Vec::new(),
            weight: 0,
            expired_before: Timestamp::default(),
            look_at: now,
        });
    }

    /// Who watches does so with the renewals.
    ///
    /// # Errors
    /// When something may be missing.
    pub(super) fn add_renewals(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let watch = state.watch.as_mut().ok_or(StoreError::ChangesLost)?;
        watch.renewals = true;
        watch.asked = Instant::now();
        Ok(())
    }

    /// A transaction begins: where what happens in it is noted; none while nobody
    /// watches.
    pub(super) fn begin(&self) -> Option<Happened> {
        let mut state = self.state();
        if state.watch.as_ref().is_some_and(|watch| watch.asked.elapsed() >= SILENCE) {
            state.watch = None;
        }
        let renewals = state.watch.as_ref()?.renewals;
        Some(Happened { renewals, events: Vec::new() })
    }

    /// What happened in a transaction is on disk.
    pub(super) fn put(&self, happened: Happened) {
        let mut state = self.state();
        let number = state.number;
        if happened.events.is_empty() {
            return;
        }
        state.number += 1;
        let Some(watch) = &mut state.watch else { return };
        for (kind, lock) in happened.events {
            let event = LockEvent { kind, lock, transaction: number };
            watch.weight += event.weight();
            watch.events.push(event);
        }
        if watch.weight > MOST_KEPT {
            state.watch = None;
        }
    }

    /// Something may have happened that is not known.
    pub(super) fn lose(&self) {
        self.state().watch = None;
    }

    /// The number that the next transaction will have in which something happens.
    pub(super) fn next_number(&self) -> u64 {
        self.state().number
    }

    /// Whether it is time to look for leases that have run out.
    pub(super) fn is_to_look(&self) -> bool {
        self.state().watch.as_ref().is_some_and(|watch| Instant::now() >= watch.look_at)
    }

    /// It has been looked, and is to be again after a while; all that had run out
    /// by then was found, if it is said when.
    pub(super) fn looked(&self, again_in: Duration, found_all: Option<Timestamp>) {
        if let Some(watch) = &mut self.state().watch {
            watch.look_at = Instant::now() + again_in;
            watch.expired_before = found_all.unwrap_or(watch.expired_before);
        }
    }

    /// What has happened, and before when all that had run out was found.
    ///
    /// # Errors
    /// When something may be missing.
    pub(super) fn take(&self, renewals: bool) -> Result<(Vec<LockEvent>, Timestamp), StoreError> {
        let mut state = self.state();
        let watch = state.watch.as_mut().ok_or(StoreError::ChangesLost)?;
        watch.renewals &= renewals;
        watch.asked = Instant::now();
        watch.weight = 0;
        Ok((std::mem::take(&mut watch.events), watch.expired_before))
    }
}

// === impl Happened ===

impl Happened {
    /// Notes what happened to a lock.
    pub(super) fn note(
        &mut self,
        kind: LockEventKind,
        resource: &Resource,
        row: &Row,
        now: Timestamp,
    ) {
        self.events.push((kind, row.lock(resource, now)));
    }

    /// Whether renewals are noted.
    pub(super) fn renewals(&self) -> bool {
        self.renewals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost<T>(told: Result<T, StoreError>) -> bool {
        matches!(told, Err(StoreError::ChangesLost))
    }

    #[test]
    fn to_go_on_with_the_renewals_does_not_hide_what_was_lost() {
        let outbox = Outbox::default();
        assert!(is_lost(outbox.add_renewals()), "nobody watches");
        outbox.watch(false);
        // A transaction that begins after a long silence is not kept.
        outbox.state().watch.as_mut().unwrap().asked =
            Instant::now().checked_sub(SILENCE).expect("the machine has run for a while");
        assert!(outbox.begin().is_none());
        assert!(is_lost(outbox.add_renewals()));
        assert!(is_lost(outbox.take(true)));
        outbox.watch(false);
        outbox.add_renewals().unwrap();
        assert!(outbox.begin().unwrap().renewals());
    }
}
