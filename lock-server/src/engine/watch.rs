//! Callers who watch what happens to locks.
//!
//! # Overview
//!
//! What happens is read from the store by one [`Tailer`] for all who watch at this
//! server, and only while somebody does. The [`Hub`] puts each event into the
//! inboxes of those who watch its resource; a [`Watch`] takes from its inbox what
//! its caller reads.
//!
//! # How a watch begins
//!
//! Once the store tells what happens, the live locks are read page by page, as fast
//! as the caller takes them; meanwhile events are put into the inbox. Each page
//! says what it has seen, so that what has happened before it is not told again
//! after it. Until then nothing is put there: all pages will have seen it.
//!
//! # How it ends
//!
//! - When the caller goes.
//! - With `OVERLOADED` when more is unread than [`hub`] allows. The inbox is
//!   emptied then, so a caller that does not read costs nothing more.
//! - With `STORE_UNAVAILABLE` when the store does not tell everything any more: all
//!   watches of the server do, and begin anew with a snapshot.
//! - With `SHUTTING_DOWN` when the server stops.

mod hub;
mod inbox;
mod tailer;
mod young;

use std::{fmt, sync::Arc, time::Duration, vec};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{hub::Hub, inbox::Inbox, young::Young};
use crate::{
    domain::{Lock, LockEventKind, Resource, WatchFilter},
    error::LockError,
    store::Store,
};

pub(super) use self::tailer::Tailer;

/// After which silence a watch says that it goes on.
const SILENCE: Duration = Duration::from_secs(10);
/// How many locks of the snapshot are read at a time.
const PAGE: u32 = 500;

/// Those who watch at one server.
#[derive(Debug, Clone)]
pub(super) struct Watching {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    stopping: CancellationToken,
    permits: Arc<Semaphore>,
    most: usize,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A live lock, as it was when the watch began.
    Snapshot(Lock),
    /// All live locks have been told.
    SnapshotComplete,
    /// Something happened to a lock.
    Event(LockEventKind, Lock),
    /// Nothing happened for a while.
    Progress,
}

/// A watch: events as its caller reads them. It ends when this is dropped.
pub struct Watch {
    watching: Watching,
    filter: WatchFilter,
    inbox: Arc<Inbox>,
    phase: Phase,
    young: Young,
    /// When the caller was told something last.
    told: Instant,
    _permit: OwnedSemaphorePermit,
}

/// How far it is.
enum Phase {
    /// The store does not tell what happens yet.
    Beginning,
    /// Live locks are told: these, and those after the resource.
    Snapshot {
        locks: vec::IntoIter<Lock>,
        rest: Rest,
    },
    /// What happens is told.
    Events,
    Ended,
}

/// What is left of the snapshot.
enum Rest {
    All,
    After(Resource),
    Nothing,
}

// === impl Watching ===

impl Watching {
    pub(super) fn new(store: Arc<dyn Store>, most: usize, stopping: CancellationToken) -> Self {
        let permits = Arc::new(Semaphore::new(most));
        Self { store, hub: Arc::default(), stopping, permits, most }
    }

    /// Who reads what happens, for all who watch.
    pub(super) fn tailer(&self) -> Tailer {
        Tailer::new(Arc::clone(&self.store), Arc::clone(&self.hub))
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// When the server is stopping, or so many watch that no more may.
    pub(super) fn begin(&self, filter: WatchFilter, renewals: bool) -> Result<Watch, LockError> {
        if self.stopping.is_cancelled() {
            return Err(LockError::ShuttingDown);
        }
        let full = LockError::Overloaded {
            limit: "--max-watches",
            value: self.most,
            what: "watches are open",
        };
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_full| full)?;
        let inbox = self.hub.enter(filter.clone(), renewals);
        Ok(Watch {
            watching: self.clone(),
            filter,
            inbox,
            phase: Phase::Beginning,
            young: Young::new(renewals),
            told: Instant::now(),
            _permit: permit,
        })
    }
}

// === impl Watch ===

impl Watch {
    /// What the caller is told next; none after the end.
    pub async fn next(&mut self) -> Option<Result<Watched, LockError>> {
        if matches!(self.phase, Phase::Ended) {
            return None;
        }
        let stopping = self.watching.stopping.clone();
        let next = tokio::select! {
            biased;
            () = stopping.cancelled() => Err(LockError::ShuttingDown),
            next = self.tell() => next,
        };
        self.told = Instant::now();
        if next.is_err() {
            self.phase = Phase::Ended;
            self.watching.hub.leave(&self.inbox);
        }
        Some(next)
    }

    async fn tell(&mut self) -> Result<Watched, LockError> {
        loop {
            self.inbox.check()?;
            match &mut self.phase {
                Phase::Beginning => {
                    let silent = self.told + SILENCE;
                    let Ok(begun) = tokio::time::timeout_at(silent, self.inbox.begun()).await
                    else {
                        return Ok(Watched::Progress);
                    };
                    self.young.begin(begun?);
                    let locks = Vec::new().into_iter();
                    self.phase = Phase::Snapshot { locks, rest: Rest::All };
                }
                Phase::Snapshot { locks, rest } => {
                    if let Some(lock) = locks.next() {
                        return Ok(Watched::Snapshot(lock));
                    }
                    let after = match rest {
                        Rest::All => None,
                        Rest::After(resource) => Some(&*resource),
                        Rest::Nothing => {
                            self.young.is_complete(self.watching.hub.looks());
                            self.phase = Phase::Events;
                            return Ok(Watched::SnapshotComplete);
                        }
                    };
                    let page = self.watching.store.watched(&self.filter, after, PAGE).await?;
                    *locks = page.locks.into_iter();
                    *rest = page.next.clone().map_or(Rest::Nothing, Rest::After);
                    self.young.has_read(page.next, page.seen, page.now);
                }
                Phase::Events => {
                    let silent = self.told + SILENCE;
                    let Ok(next) = tokio::time::timeout_at(silent, self.inbox.next()).await else {
                        return Ok(Watched::Progress);
                    };
                    let (look, event) = next?;
                    let is_told = self.young.is_told(look, &event);
                    if self.young.is_over() {
                        self.inbox.grow_up();
                    }
                    if is_told {
                        return Ok(Watched::Event(event.kind, event.lock.clone()));
                    }
                }
                Phase::Ended => return Err(LockError::ShuttingDown),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watching.hub.leave(&self.inbox);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("filter", &self.filter).finish_non_exhaustive()
    }
}
