//! The calls that wait at this server, by what they wait for: who is to be told of
//! what.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

use super::{Grant, Key};
use crate::domain::Circle;

/// Who is to be told of what.
#[derive(Debug, Default)]
pub(super) struct Callers {
    places: Mutex<HashMap<Key, Vec<Caller>>>,
    next_id: AtomicU64,
    /// Somebody has begun to wait.
    pub(super) begun: Notify,
}

/// One of the calls of an owner for a resource.
#[derive(Debug)]
struct Caller {
    id: u64,
    news: mpsc::UnboundedSender<News>,
}

/// What waiting calls are told. Who waits at another place than the news are
/// about, an older or a younger one of the same owner, takes no notice.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// The place was granted.
    Granted(Arc<Grant>),
    /// `ReleaseAll` has taken the place out of line.
    Cancelled(i64),
    /// The place is in a circle, and its youngest wait.
    Deadlock(Arc<Circle>),
    /// Something has become of the place.
    Ask,
}

fn tell_each<'a>(callers: impl Iterator<Item = &'a Caller>, news: &News) {
    // Who has left has taken the receiver along.
    callers.for_each(|caller| drop(caller.news.send(news.clone())));
}

// === impl Callers ===

impl Callers {
    fn places(&self) -> MutexGuard<'_, HashMap<Key, Vec<Caller>>> {
        // A panic while it is locked would be between operations of the map.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins to wait, and asks in the same step.
    pub(super) fn enter<T>(
        &self,
        key: Key,
        ask: impl FnOnce() -> T,
    ) -> (u64, mpsc::UnboundedReceiver<News>, T) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, news) = mpsc::unbounded_channel();
        let mut places = self.places();
        let was_empty = places.is_empty();
        places.entry(key).or_default().push(Caller { id, news: sender });
        let asked = ask();
        drop(places);
        if was_empty {
            self.begun.notify_one();
        }
        (id, news, asked)
    }

    /// A call does not wait any more. What is to be done when it was its owner's
    /// last one for the resource is done in the same step.
    pub(super) fn leave<T>(&self, key: &Key, id: u64, was_last: impl FnOnce() -> T) -> Option<T> {
        let mut places = self.places();
        let callers = places.get_mut(key)?;
        let at = callers.iter().position(|caller| caller.id == id)?;
        callers.remove(at);
        if !callers.is_empty() {
            return None;
        }
        places.remove(key);
        Some(was_last())
    }

    /// Tells the calls of an owner.
    pub(super) fn tell(&self, key: &Key, news: &News) {
        self.tell_or(key, news, || ());
    }

    /// Tells the calls of an owner. What is to be done when there is none is done
    /// in the same step.
    pub(super) fn tell_or(&self, key: &Key, news: &News, nobody: impl FnOnce()) {
        let places = self.places();
        match places.get(key) {
            Some(callers) => tell_each(callers.iter(), news),
            None => nobody(),
        }
    }

    /// Tells the other calls of an owner.
    pub(super) fn tell_others(&self, key: &Key, id: u64, news: &News) {
        let places = self.places();
        let callers = places.get(key).into_iter().flatten();
        tell_each(callers.filter(|caller| caller.id != id), news);
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.places().keys().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places().is_empty()
    }
}
