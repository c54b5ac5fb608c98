//! What this client holds, by owner and resource, and whose turn it is to
//! change that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{OwnedMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

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

/// The place of one resource of one owner: there while somebody holds it, waits in
/// line for it or has the turn.
#[derive(Debug, Default)]
struct Slot {
    /// Counts the turns.
    turn: Arc<tokio::sync::Mutex<u64>>,
    hold: Option<Arc<Hold>>,
    /// How many wait in line at the server.
    in_line: usize,
}

/// The right to acquire or release one resource for one owner.
#[derive(Debug)]
pub(crate) struct Turn {
    holds: Arc<Holds>,
    key: Key,
    /// None while it waits.
    permit: Option<OwnedMutexGuard<u64>>,
}

/// A turn that was given up to wait in line at the server, for as long as others
/// may need it before that wait is over.
#[derive(Debug)]
pub(crate) struct InLine {
    holds: Arc<Holds>,
    key: Key,
    /// Which turn it was.
    turn: u64,
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
        let mut permit = slot.lock_owned().await;
        *permit += 1;
        turn.permit = Some(permit);
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
        self.hold.is_some() || self.in_line > 0 || Arc::strong_count(&self.turn) > 1 + own
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

    /// Lets others have their turn while this one waits in line at the server.
    pub(crate) fn wait_in_line(self) -> InLine {
        let turn = self.permit.as_deref().copied().unwrap_or_default();
        self.holds.slots().entry(self.key.clone()).or_default().in_line += 1;
        InLine { holds: self.holds.clone(), key: self.key.clone(), turn }
    }

    /// Whether anybody waits in line for the same lock in the same name.
    pub(crate) fn others_in_line(&self) -> bool {
        self.holds.slots().get(&self.key).is_some_and(|slot| slot.in_line > 0)
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

impl InLine {
    /// The turn again, and whether nobody else had one meanwhile: what the server
    /// said is then as good as if it had been asked in this turn.
    pub(crate) async fn over(self) -> (Turn, bool) {
        let turn = self.holds.turn(self.key.clone()).await;
        let alone = turn.permit.as_deref() == Some(&(self.turn + 1));
        (turn, alone)
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(slot) = self.holds.slots().get_mut(&self.key) {
            slot.in_line -= 1;
        }
        self.holds.tidy(&self.key, 0);
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
    /// Tells who waits in line that everything is being released.
    releasing: watch::Sender<()>,
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

    /// For the release of everything. Ends the waits in line that began before.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.gate.write().await;
        self.releasing.send_replace(());
        alone
    }

    /// Changes when everything is released from now on.
    pub(crate) fn releases(&self) -> watch::Receiver<()> {
        self.releasing.subscribe()
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
        let (id, gate, releasing) = (id.to_owned(), RwLock::new(()), watch::Sender::new(()));
        let owner = Arc::new(Owner { id, own, gate, releasing });
        owners.by_id.insert(owner.id.clone(), Arc::downgrade(&owner));
        owner
    }
}

#[cfg(test)]
mod tests;
