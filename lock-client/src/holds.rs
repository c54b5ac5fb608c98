//! What this client holds, by owner and resource, and whose turn it is to
//! change that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{OwnedMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    doubts::Doubts,
    hold::{Hold, Key},
};

#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// Changed only by who has the turn.
    pub(crate) doubts: Doubts,
    slots: Mutex<HashMap<Key, Slot>>,
    owners: Mutex<Owners>,
}

/// The place of one resource of one owner: there while somebody holds it or has
/// the turn.
#[derive(Debug, Default)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    hold: Option<Arc<Hold>>,
}

/// The right to acquire or release one resource for one owner.
#[derive(Debug)]
pub(crate) struct Turn {
    holds: Arc<Holds>,
    key: Key,
    /// None while it waits.
    permit: Option<OwnedMutexGuard<()>>,
}

impl Holds {
    /// Waits for the turn. Served in order.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the order up.
    pub(crate) async fn turn(self: &Arc<Self>, key: Key) -> Turn {
        let slot = self.slots().entry(key.clone()).or_default().turn.clone();
        // Looks after the slot from here on, also if this future is dropped
        // while it waits.
        let mut turn = Turn { holds: self.clone(), key, permit: None };
        turn.permit = Some(slot.lock_owned().await);
        turn
    }

    /// Takes every hold of this owner out.
    pub(crate) fn take_all(&self, owner_id: &str) -> Vec<Arc<Hold>> {
        let mut slots = self.slots();
        let mut taken = Vec::new();
        slots.retain(|key, slot| {
            if key.owner_id == owner_id {
                taken.extend(slot.hold.take());
            }
            slot.is_wanted(0)
        });
        taken
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the slot if nobody but the caller, who has `own` references to
    /// its turn, has anything to do with it. Nobody can join meanwhile: a turn
    /// is only ever taken up under this lock.
    fn tidy(&self, key: &Key, own: usize) {
        let mut slots = self.slots();
        if slots.get(key).is_some_and(|slot| !slot.is_wanted(own)) {
            slots.remove(key);
        }
    }
}

impl Slot {
    fn is_wanted(&self, own: usize) -> bool {
        self.hold.is_some() || Arc::strong_count(&self.turn) > 1 + own
    }
}

impl Turn {
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// What is held, ended or not.
    pub(crate) fn hold(&self) -> Option<Arc<Hold>> {
        self.holds.slots().get(&self.key).and_then(|slot| slot.hold.clone())
    }

    /// This is what is held from now on.
    pub(crate) fn put(&self, hold: Arc<Hold>) {
        self.holds.slots().entry(self.key.clone()).or_default().hold = Some(hold);
    }

    /// Whether it was this hold that is held, and now nothing is.
    pub(crate) fn take(&self, hold: &Arc<Hold>) -> bool {
        let mut slots = self.holds.slots();
        let Some(slot) = slots.get_mut(&self.key) else { return false };
        let same = slot.hold.as_ref().is_some_and(|held| Arc::ptr_eq(held, hold));
        if same {
            slot.hold = None;
        }
        same
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.holds.tidy(&self.key, usize::from(self.permit.is_some()));
    }
}

/// An owner that this client acts for. Its acquisitions go on side by side;
/// releasing everything excludes them.
#[derive(Debug)]
pub(crate) struct Owner {
    id: String,
    /// The id was made here, for this client.
    own: bool,
    gate: RwLock<()>,
}

impl Owner {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether nobody else acts for it, unless the program gave the id away.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// For an acquisition.
    pub(crate) async fn together(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// For the release of everything.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }
}

/// The owners that are in use, so that clients of one name share one gate.
#[derive(Debug, Default)]
struct Owners {
    by_id: HashMap<String, Weak<Owner>>,
    /// How many there may be before those that are gone are looked for.
    tidy_at: usize,
}

impl Holds {
    /// The owner of this name. `own`: the name was made just now.
    pub(crate) fn owner(&self, id: &str, own: bool) -> Arc<Owner> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.by_id.get(id).and_then(Weak::upgrade) {
            return owner;
        }
        if owners.by_id.len() >= owners.tidy_at {
            owners.by_id.retain(|_, owner| owner.strong_count() > 0);
            // Twice as many: so looking through all costs little for each.
            owners.tidy_at = 2 * owners.by_id.len().max(8);
        }
        let owner = Arc::new(Owner { id: id.to_owned(), own, gate: RwLock::new(()) });
        owners.by_id.insert(id.to_owned(), Arc::downgrade(&owner));
        owner
    }
}

#[cfg(test)]
mod tests;
