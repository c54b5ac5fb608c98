//! Who watches what, and what each of them is told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::inbox::{End, Inbox};
use crate::{
    domain::{LockEvent, Resource, ResourceType, WatchFilter},
    store::StoreError,
};

/// How much one watch may leave unread, and all of them together, in bytes. At
/// some 400 for an event, that of one is some 20,000 events.
const MOST_UNREAD: usize = 8 * 1024 * 1024;
const MOST_UNREAD_OF_ALL: usize = 64 * 1024 * 1024;
/// After how many events those who read get their turn.
const TURN: usize = 256;

/// Those who watch, by what they watch.
#[derive(Debug, Default)]
pub(super) struct Hub {
    watches: Mutex<Watches>,
    /// How often it has been looked, or begun to look, for what happened.
    looks: AtomicU64,
    /// Somebody has begun to watch.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Watches {
    /// Of one resource.
    of_one: HashMap<Resource, Vec<Arc<Inbox>>>,
    /// Of those of a type.
    of_type: HashMap<ResourceType, Vec<Watcher>>,
    /// Of those of any type.
    of_any: Vec<Watcher>,
    /// Those that have just begun.
    new: Vec<Arc<Inbox>>,
}

#[derive(Debug)]
struct Watcher {
    filter: WatchFilter,
    inbox: Arc<Inbox>,
}

/// What those who watch want.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Some want to be told of renewals.
    pub(super) renewals: bool,
    /// Those who have begun to watch since this was asked last.
    pub(super) new: Vec<Arc<Inbox>>,
}

// === impl Hub ===

impl Hub {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        // A panic while it is locked would be between operations of the maps.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody begins to watch: the inbox is told of what is read from now on.
    pub(super) fn enter(&self, filter: WatchFilter, renewals: bool) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(renewals));
        let mut watches = self.watches();
        watches.new.push(Arc::clone(&inbox));
        let watcher = Watcher { filter, inbox: Arc::clone(&inbox) };
        match &watcher.filter {
            WatchFilter::One(resource) => {
                watches.of_one.entry(resource.clone()).or_default().push(watcher.inbox);
            }
            WatchFilter::Many { kind: Some(kind), .. } => {
                watches.of_type.entry(kind.clone()).or_default().push(watcher);
            }
            WatchFilter::Many { kind: None, .. } => watches.of_any.push(watcher),
        }
        drop(watches);
        self.begun.notify_one();
        inbox
    }

    /// Somebody does not watch any more.
    pub(super) fn leave(&self, inbox: &Arc<Inbox>) {
        self.watches().retain(|one| !Arc::ptr_eq(one, inbox));
    }

    /// Waits until somebody begins to watch.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// What those who watch want; none when nobody does.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let mut watches = self.watches();
        watches.retain(|inbox| inbox.check().is_ok());
        let new = std::mem::take(&mut watches.new);
        let renewals = watches.inboxes().any(|inbox| inbox.renewals);
        let somebody = watches.inboxes().next().is_some();
        somebody.then_some(Wanted { renewals, new })
    }

    /// How often it has been looked, or begun to look.
    pub(super) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// It is about to be looked: the number of this look.
    pub(super) fn looking(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Tells all what a look has found.
    pub(super) async fn tell(&self, look: u64, events: Vec<LockEvent>) {
        let told = !events.is_empty();
        let mut events = events.into_iter().map(Arc::new).peekable();
        while events.peek().is_some() {
            {
                let watches = self.watches();
                for event in events.by_ref().take(TURN) {
                    watches.tell(look, &event);
                }
            }
            tokio::task::yield_now().await;
        }
        if told {
            self.watches().bound();
        }
    }

    /// Ends all watches: they are not told everything any more.
    pub(super) fn end_all(&self, error: &Arc<StoreError>) {
        for inbox in self.watches().inboxes() {
            inbox.end(End::Store(Arc::clone(error)));
        }
    }
}

// === impl Watches ===

impl Watches {
    fn retain(&mut self, stays: impl Fn(&Arc<Inbox>) -> bool) {
        self.new.retain(&stays);
        self.of_any.retain(|watcher| stays(&watcher.inbox));
        self.of_type.retain(|_, watchers| {
            watchers.retain(|watcher| stays(&watcher.inbox));
            !watchers.is_empty()
        });
        self.of_one.retain(|_, inboxes| {
            inboxes.retain(&stays);
            !inboxes.is_empty()
        });
    }

    fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        let of_type = self.of_type.values().flatten();
        let of_many = of_type.chain(&self.of_any).map(|watcher| &watcher.inbox);
        self.of_one.values().flatten().chain(of_many)
    }

    fn tell(&self, look: u64, event: &Arc<LockEvent>) {
        let resource = &event.lock.resource;
        for inbox in self.of_one.get(resource).into_iter().flatten() {
            inbox.put(look, event, MOST_UNREAD);
        }
        let of_type = self.of_type.get(resource.kind()).into_iter().flatten();
        for Watcher { filter, inbox } in of_type.chain(&self.of_any) {
            if filter.matches(resource) {
                inbox.put(look, event, MOST_UNREAD);
            }
        }
    }

    /// Ends the watches with the most unread, if there is too much in all.
    fn bound(&self) {
        let mut unread: usize = self.inboxes().map(|inbox| inbox.weight()).sum();
        while unread > MOST_UNREAD_OF_ALL
            && let Some(slowest) = self.inboxes().max_by_key(|inbox| inbox.weight())
        {
            unread -= slowest.weight().min(unread);
            slowest.end(End::Unread { limit: "this server", most: MOST_UNREAD_OF_ALL });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        FencingToken, IdPrefix, Lock, LockEventKind, Metadata, OwnerId, Span, Timestamp,
    };

    fn kind(text: &str) -> ResourceType {
        ResourceType::parse(text).unwrap()
    }

    fn event(of: &str, id: &str) -> LockEvent {
        let moment = Timestamp::from_micros(0);
        let lock = Lock {
            resource: Resource::parse_id(kind(of), id).unwrap(),
            owner: OwnerId::parse("me").unwrap(),
            token: FencingToken::new(7).unwrap(),
            acquired_at: moment,
            renewed_at: moment,
            expires_at: moment,
            ttl: Span::ZERO,
            metadata: Metadata::default(),
            now: moment,
            waiters: 0,
        };
        LockEvent { kind: LockEventKind::Acquired, lock, transaction: 1 }
    }

    fn many(of: Option<&str>, prefix: &str) -> WatchFilter {
        WatchFilter::Many { kind: of.map(kind), id_prefix: IdPrefix::parse(prefix).unwrap() }
    }

    /// Somebody watches, and is told of what happens.
    fn begun(hub: &Hub, filter: WatchFilter, renewals: bool) -> Arc<Inbox> {
        let inbox = hub.enter(filter, renewals);
        inbox.begin(Timestamp::from_micros(0));
        inbox
    }

    #[tokio::test]
    async fn each_is_told_what_it_watches_until_it_goes() {
        let hub = Hub::default();
        let one = WatchFilter::One(event("plan", "a").lock.resource);
        let filters = [one, many(Some("plan"), ""), many(Some("plan"), "b"), many(None, "a")];
        let inboxes = filters.map(|filter| begun(&hub, filter, false));
        let events = || vec![event("plan", "a"), event("plan", "b"), event("project", "a")];
        hub.tell(1, events()).await;
        let weight = event("plan", "a").weight();
        let told = |inbox: &Arc<Inbox>| inbox.weight() / weight;
        assert_eq!(inboxes.each_ref().map(told), [1, 2, 1, 2]);
        assert_eq!(hub.wanted().unwrap().new.len(), 4);
        assert!(hub.wanted().unwrap().new.is_empty());
        for inbox in &inboxes {
            hub.leave(inbox);
        }
        hub.tell(2, events()).await;
        assert_eq!(inboxes.each_ref().map(told), [1, 2, 1, 2]);
        assert!(hub.wanted().is_none());
    }

    /// Each within its own bound.
    #[tokio::test]
    async fn the_slowest_make_room_when_there_is_too_much_in_all() {
        const WATCHES: usize = MOST_UNREAD_OF_ALL / MOST_UNREAD + 4;
        let hub = Hub::default();
        let inboxes: Vec<_> = (0..WATCHES).map(|_| begun(&hub, many(None, ""), false)).collect();
        let last = begun(&hub, many(Some("project"), ""), true);
        let each = MOST_UNREAD / event("plan", "a").weight() - 1;
        hub.tell(1, vec![event("plan", "a"); each]).await;
        hub.tell(2, vec![event("project", "a")]).await;
        let ended = inboxes.iter().filter(|inbox| inbox.check().is_err()).count();
        assert!((4..WATCHES).contains(&ended), "{ended} of {WATCHES} have ended");
        let unread: usize = inboxes.iter().map(|inbox| inbox.weight()).sum();
        assert!(unread <= MOST_UNREAD_OF_ALL, "{unread}");
        last.check().unwrap();
        // Those that have ended count for nothing.
        assert!(hub.wanted().unwrap().renewals);
        assert_eq!(hub.watches().inboxes().count(), WATCHES + 1 - ended);
        hub.end_all(&Arc::new(StoreError::Closed));
        assert!(hub.wanted().is_none());
    }
}
