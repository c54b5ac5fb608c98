//! What one watch has not taken yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    domain::{LockEvent, Timestamp},
    error::LockError,
    store::StoreError,
};

/// Events for one watch, in the order in which they are told, each with the
/// number of the look that found it.
#[derive(Debug)]
pub(super) struct Inbox {
    /// It is told of all renewals.
    pub(super) renewals: bool,
    state: Mutex<State>,
    /// For the one watch, when there is something new.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What happens is told; leases that ran out before this were told before.
    begun: Option<Timestamp>,
    /// What a page has seen need not be told apart any more.
    is_grown: bool,
    events: VecDeque<(u64, Arc<LockEvent>)>,
    weight: usize,
    end: Option<End>,
}

/// Why a watch ends, beside its caller and the server.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// More is unread than this, in bytes.
    Unread { limit: &'static str, most: usize },
    /// The store does not tell everything.
    Store(Arc<StoreError>),
}

impl Inbox {
    pub(super) fn new(renewals: bool) -> Self {
        Self { renewals, state: Mutex::default(), news: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it is locked would be between operations of the queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens is told from now on, and leases that run out after this.
    pub(super) fn begin(&self, expired_before: Timestamp) {
        self.state().begun = Some(expired_before);
        self.news.notify_one();
    }

    /// Puts an event in, or ends the watch if more would be unread than may be.
    pub(super) fn put(&self, look: u64, event: &Arc<LockEvent>, most: usize) {
        let mut state = self.state();
        let is_wanted = self.renewals || !state.is_grown || !event.is_renewal();
        // No page is read before it has begun, so each will have seen it.
        if state.end.is_some() || state.begun.is_none() || !is_wanted {
            return;
        }
        let weight = event.weight();
        if state.weight + weight > most {
            drop(state);
            return self.end(End::Unread { limit: "a watch", most });
        }
        state.weight += weight;
        state.events.push_back((look, Arc::clone(event)));
        drop(state);
        self.news.notify_one();
    }

    /// Ends the watch; what is unread is gone.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_none() {
            *state = State { end: Some(end), ..State::default() };
        }
        drop(state);
        self.news.notify_one();
    }

    /// How much is unread.
    pub(super) fn weight(&self) -> usize {
        self.state().weight
    }

    /// Renewals are of no use any more, unless they are wanted.
    pub(super) fn grow_up(&self) {
        self.state().is_grown = true;
    }

    /// Waits until what happens is told: leases that run out after this.
    ///
    /// # Errors
    /// When the watch has ended.
    pub(super) async fn begun(&self) -> Result<Timestamp, LockError> {
        self.until(|state| state.begun).await
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// When the watch has ended.
    pub(super) async fn next(&self) -> Result<(u64, Arc<LockEvent>), LockError> {
        self.until(|state| {
            let event = state.events.pop_front()?;
            state.weight -= event.1.weight();
            Some(event)
        })
        .await
    }

    async fn until<T>(
        &self,
        mut is_there: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, LockError> {
        loop {
            self.check()?;
            if let Some(found) = is_there(&mut self.state()) {
                return Ok(found);
            }
            // There is one who waits, and what comes in between is not lost.
            self.news.notified().await;
        }
    }

    /// Whether the watch goes on.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn check(&self) -> Result<(), LockError> {
        match &self.state().end {
            Some(end) => Err(end.clone().into()),
            None => Ok(()),
        }
    }
}

impl From<End> for LockError {
    fn from(end: End) -> Self {
        match end {
            End::Unread { limit, most } => {
                Self::Overloaded { limit, value: most, what: "bytes of events wait to be read" }
            }
            End::Store(error) => Self::StoreUnavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        FencingToken, Lock, LockEventKind, Metadata, OwnerId, Resource, ResourceType, Span,
    };

    fn event(kind: LockEventKind) -> Arc<LockEvent> {
        let moment = Timestamp::from_micros(0);
        let lock = Lock {
            resource: Resource::parse_id(ResourceType::parse("plan").unwrap(), "42").unwrap(),
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
        Arc::new(LockEvent { kind, lock, transaction: 1 })
    }

    /// One that has begun.
    fn begun(renewals: bool) -> Inbox {
        let inbox = Inbox::new(renewals);
        inbox.begin(Timestamp::from_micros(0));
        inbox
    }

    #[test]
    fn what_the_snapshot_will_have_is_not_kept() {
        let (inbox, event) = (Inbox::new(true), event(LockEventKind::Expired));
        inbox.put(1, &event, 0);
        inbox.check().unwrap();
        assert_eq!(inbox.weight(), 0);
        inbox.begin(Timestamp::from_micros(0));
        inbox.put(2, &event, event.weight());
        assert_eq!(inbox.weight(), event.weight());
    }

    #[tokio::test]
    async fn what_is_read_makes_room() {
        let (inbox, event) = (begun(false), event(LockEventKind::Acquired));
        let most = 2 * event.weight();
        for look in 1..10 {
            inbox.put(look, &event, most);
            inbox.put(look, &event, most);
            assert_eq!(inbox.weight(), most);
            for _ in 0..2 {
                assert_eq!(inbox.next().await.unwrap().0, look);
            }
            assert_eq!(inbox.weight(), 0);
        }
    }

    #[tokio::test]
    async fn what_is_not_read_is_dropped_and_told() {
        let (inbox, event) = (begun(false), event(LockEventKind::Acquired));
        let most = 2 * event.weight();
        for _ in 0..3 {
            inbox.put(1, &event, most);
        }
        assert_eq!((inbox.weight(), Arc::strong_count(&event)), (0, 1), "nothing is kept");
        inbox.put(2, &event, most);
        assert_eq!(Arc::strong_count(&event), 1, "and nothing more is taken");
        // The first reason stays.
        inbox.end(End::Store(Arc::new(StoreError::Closed)));
        let error = inbox.next().await.unwrap_err();
        assert!(matches!(error, LockError::Overloaded { limit: "a watch", .. }), "{error:?}");
        assert!(inbox.begun().await.is_err());
    }

    #[tokio::test]
    async fn renewals_are_kept_while_they_may_matter() {
        let renewal = event(LockEventKind::Renewed);
        let (without, with) = (begun(false), begun(true));
        for inbox in [&without, &with] {
            inbox.put(1, &renewal, usize::MAX);
            inbox.grow_up();
            inbox.put(2, &renewal, usize::MAX);
        }
        assert_eq!(without.weight() * 2, with.weight());
    }
}
