//! The seam between the rules of locking and the databases that keep them.
//!
//! A store decides by the clock of its database, read while the row that it
//! decides on is locked. Everything that it answers is on disk. It keeps no
//! state of its own that a lock depends on: any number of servers may share
//! one Postgres, and each may be gone at any moment.
//!
//! Both stores pass one conformance suite, `tests/store`.
//!
//! # Cancel safety
//!
//! Every method may be dropped at any point. What it was doing has then either
//! happened as a whole or not at all; nothing tells which. Every command may
//! be sent again.

mod connections;
mod error;
mod migrations;
mod news;
mod open;
pub mod postgres;
pub mod sqlite;
mod waves;

use std::{fmt, time::Duration};

use async_trait::async_trait;
pub use service_kit::database::{DatabaseUrl, Migrate};
use tokio::sync::mpsc;

pub use self::{
    error::{OpenError, StoreError},
    open::open,
};
use crate::domain::{
    Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock, LockEvent, LockPage,
    Outcome, OwnerId, Purge, Resource, Span, StaleFilter, StalePage, Timestamp, WaitsFor,
    WatchFilter, WatchPage,
};

/// Where locks are kept.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Which engine this is: `postgres` or `sqlite`.
    fn engine(&self) -> &'static str;

    /// Carries out commands: one outcome for each, in the same order. Commands
    /// for one resource take effect in the order given; between resources
    /// there is no order. Each command is atomic, the batch is not.
    ///
    /// # Errors
    /// When the database cannot be asked, or did not answer. What became of
    /// each command is then unknown.
    async fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError>;

    /// As [`Self::apply`], but leaves out what somebody else is working on, for
    /// whom it would have to wait: such a command has no outcome, has had no
    /// effect, and neither have those behind it for the same resource.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn apply_now(&self, commands: &[Command]) -> Result<Vec<Option<Outcome>>, StoreError> {
        let outcomes = self.apply(commands).await?;
        Ok(outcomes.into_iter().map(Some).collect())
    }

    /// How commands are best put together for [`Self::apply_now`].
    fn batching(&self) -> Batching;

    /// Frees at most `most` of an owner's locks, live or stale: how many rows
    /// were freed, and how many of them were live.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn release_owner(&self, owner: &OwnerId, most: u32) -> Result<Freed, StoreError>;

    /// The live or stale lock of a resource.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn get(&self, resource: &Resource) -> Result<Option<Lock>, StoreError>;

    /// At most `size` live locks after a resource, ordered by resource.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError>;

    /// At most `size` stale locks after an expiry and resource, ordered by
    /// both, and how many there are in all.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn list_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, StoreError>;

    /// Frees at most `most` stale locks: how many. A live lock is never
    /// touched. Locks that somebody else is working on may be left out. What a
    /// run frees is one event, which is noted in it.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn purge(&self, purge: &mut Purge, most: u32) -> Result<u64, StoreError>;

    /// Breaks exactly one hold, live or stale, and writes it down; a refusal,
    /// too.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn force_release(&self, asked: &ForceRelease) -> Result<Forced, StoreError>;

    /// At most `size` events before a moment and event, the newest first.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, StoreError>;

    /// Forgets at most `most` events that are older than this: how many.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn forget_events(&self, older_than: Span, most: u32) -> Result<u64, StoreError>;

    /// Forgets at most `most` resources that have been free for longer than
    /// `free_for`: how many. Their tokens are not forgotten.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn prune(&self, free_for: Span, most: u32) -> Result<u64, StoreError>;

    /// Whether the database answers and would take a grant.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn probe(&self) -> Result<(), StoreError>;

    /// News about who waits at this server, as they come. There is one who
    /// listens: the first to ask.
    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>>;

    /// Says that this server is there, for [`WaitLimits::grace`], and so are its
    /// places in line: to be said again and again while there is one.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn say_alive(&self) -> Result<(), StoreError>;

    /// What is to be done about those who wait: what [`Wake`]s tell, for when one
    /// was lost.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn look_after_waiters(&self) -> Result<Look, StoreError>;

    /// Which of these have no place in line, and none that was granted either,
    /// by their position.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn without_place(
        &self,
        waiters: &[(Resource, OwnerId)],
    ) -> Result<Vec<usize>, StoreError>;

    /// From now on nothing is taken for callers who wait at this server: they are
    /// sent to others, where what is granted to their places is kept for the grace.
    ///
    /// # Errors
    /// As [`Self::apply`]. It holds all the same, and is only not known elsewhere.
    async fn send_waiters_away(&self) -> Result<(), StoreError>;

    /// Who waits for whom, as far as the waiter holds what others wait for.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn waits_for(&self) -> Result<Vec<WaitsFor>, StoreError>;

    /// Drops the places of servers that are gone, of at most `most` resources,
    /// and hands on what was granted to them and not taken: of how many.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn drop_gone_waiters(&self, most: u32) -> Result<u64, StoreError>;

    /// Begins to watch, or begins anew: what happens from when this returns is told
    /// by [`Self::changes`], with the renewals if asked for. There is one who
    /// watches.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn watch(&self, _renewals: bool) -> Result<(), StoreError> {
        Err(StoreError::ChangesLost)
    }

    /// Goes on to watch, from when this returns with the renewals: that takes
    /// nothing from what was not told yet.
    ///
    /// # Errors
    /// As [`Self::changes`].
    async fn watch_renewals(&self) -> Result<(), StoreError> {
        Err(StoreError::ChangesLost)
    }

    /// What has happened to locks since it was asked last, with the renewals if they
    /// are asked for still: each thing once, in order for each resource. To be asked
    /// several times a second; who does not, for some seconds, watches no more.
    ///
    /// # Errors
    /// As [`Self::apply`], and when something may be missing or nobody watches: it
    /// is to be begun anew.
    async fn changes(&self, _renewals: bool) -> Result<Changes, StoreError> {
        Err(StoreError::ChangesLost)
    }

    /// At most `size` live locks after a resource, ordered by resource, and what
    /// this look has seen.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn watched(
        &self,
        _filter: &WatchFilter,
        _after: Option<&Resource>,
        _size: u32,
    ) -> Result<WatchPage, StoreError> {
        Err(StoreError::ChangesLost)
    }

    /// Forgets at most `most` changes, if nobody watches any more: how many.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn forget_changes(&self, _most: u32) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Lets go of the database.
    async fn close(&self);
}

/// What has happened to locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In order for each resource.
    pub list: Vec<LockEvent>,
    /// There is more: ask at once.
    pub more: bool,
    /// All leases that had run out by then have been told of, but for some that
    /// somebody worked on.
    pub expired_before: Timestamp,
}

/// News about who waits at this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// The lock has been granted to its owner, who waited here.
    Granted {
        /// At which place in line.
        place: i64,
        /// The lock as it is now.
        lock: Box<Lock>,
    },
    /// Something has become of this one: ask again.
    Settled {
        /// What it waits for.
        resource: Resource,
        /// Who it is.
        owner: OwnerId,
    },
    /// News may have been missed: look after all.
    Missed,
}

/// What is to be done about those who wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Waited here, and something has become of them: ask again.
    pub settled: Vec<(Resource, OwnerId)>,
    /// Are waited for, anywhere, and not held any more after this time: hand on
    /// then. At most [`LOOK_AHEAD`], and none where it is so already.
    pub due: Vec<(Resource, Span)>,
}

/// How far a look sees. Longer than until the next look, by what that may be
/// late.
pub const LOOK_AHEAD: Span = Span::from_micros(1_500_000);

/// How waiting is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// The most that wait for one resource.
    pub most_for_one: u32,
    /// For how long the places of a server are kept that is not heard of.
    pub grace: Duration,
}

/// How a store takes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// How many at a time.
    pub at_a_time: usize,
    /// The most commands in one.
    pub most: usize,
    /// Which queue the commands of each kind are in ([`Command::kind`]). A batch
    /// is formed of one queue, so kinds that cost less together share one.
    pub queues: [usize; Command::KINDS],
}

/// What [`Store::release_owner`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freed {
    /// Rows that are free now.
    pub rows: u64,
    /// Those of them whose lease was live.
    pub live: u64,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which database.
    pub url: DatabaseUrl,
    /// Whether to bring the schema up to date first.
    pub migrate: Migrate,
    /// The most connections to Postgres.
    pub max_connections: u32,
    /// How many batches of commands Postgres carries out at a time, each on a
    /// connection of its own beside those.
    pub batches: u32,
    /// After how long a statement counts as failed.
    pub timeout: Duration,
    /// After how long between reading the clock and writing the row a grant of
    /// an unknown resource refuses itself. Must stay far below the time after
    /// which free rows are pruned: see docs/decisions/0003-fencing-tokens.md.
    pub max_stall: Span,
    /// How waiting is bounded.
    pub waiting: WaitLimits,
    /// Where Postgres is to be listened to, where that is another way than the
    /// URL's: a transaction-pooling proxy does not pass notifications on.
    pub listen_url: Option<DatabaseUrl>,
}
