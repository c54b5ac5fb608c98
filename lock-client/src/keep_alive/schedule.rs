//! Which leases are due for renewal, and which run out.
//!
//! No clock and no network here: the moments come in as arguments.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use proto::lock::v1::KeepAliveResult;
use tokio::time::Instant;

use crate::{hold::Hold, trust};

/// The leases that are kept alive.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    leases: HashMap<u64, Entry>,
    /// Of those that are not in a request under way.
    due: BTreeSet<(Instant, u64)>,
    /// When trust ends, for all of them.
    ends: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry {
    hold: Arc<Hold>,
    due: Option<Instant>,
    end: Instant,
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Hold>> {
        self.leases.get(&id).map(|entry| entry.hold.clone())
    }

    /// Keeps this lease from now on, at the times that it says. `random` is in
    /// `0.0..1.0`.
    pub(super) fn keep(&mut self, hold: Arc<Hold>, random: f64) {
        let id = hold.id();
        self.stop(id);
        let (due, end) = (hold.renewal_due(random), hold.trusted_until());
        self.due.insert((due, id));
        self.ends.insert((end, id));
        self.leases.insert(id, Entry { hold, due: Some(due), end });
    }

    /// Keeps this lease no more.
    pub(super) fn stop(&mut self, id: u64) {
        let Some(entry) = self.leases.remove(&id) else { return };
        self.ends.remove(&(entry.end, id));
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
    }

    /// When something is to be done next.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let end = self.ends.first().map(|(at, _)| *at);
        [self.next_due(), end].into_iter().flatten().min()
    }

    /// When the next renewal is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes leases that are due by then, the most urgent first.
    pub(super) fn take_due(&mut self, by: Instant, most: usize) -> Vec<Arc<Hold>> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= by) else {
                break;
            };
            self.due.pop_first();
            if let Some(entry) = self.leases.get_mut(&id) {
                entry.due = None;
                taken.push(entry.hold.clone());
            }
        }
        taken
    }

    /// Whether these are answers about these leases, one for each. Leases that
    /// have been stopped meanwhile fit anything.
    pub(super) fn fits(&self, ids: &[u64], results: &[KeepAliveResult]) -> bool {
        let fits = |(id, result): (&u64, &KeepAliveResult)| {
            let token = self.leases.get(id).map(|entry| entry.hold.fencing_token());
            result.outcome.is_some() && token.is_none_or(|token| token == result.fencing_token)
        };
        ids.len() == results.len() && ids.iter().zip(results).all(fits)
    }

    /// These were not answered: they are due again after the pause, or a tenth
    /// of their time to live if that is shorter.
    pub(super) fn retry(&mut self, ids: &[u64], now: Instant, pause: Duration) {
        for id in ids {
            // Due already, if it was kept anew while the request was under way.
            let Some(entry) = self.leases.get_mut(id).filter(|entry| entry.due.is_none()) else {
                continue;
            };
            let due = now + pause.min(trust::longest_pause(entry.hold.ttl()));
            entry.due = Some(due);
            self.due.insert((due, *id));
        }
    }

    /// Ends those whose trust is over, and keeps them no more.
    pub(super) fn end_overdue(&mut self, now: Instant) {
        while let Some((_, id)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            let Some(hold) = self.get(id) else { break };
            match hold.check() {
                Err(_) => self.stop(id),
                // Confirmed meanwhile by an acquisition.
                Ok(()) => self.keep(hold, fastrand::f64()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
