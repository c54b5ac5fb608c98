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
mod open;
pub mod postgres;
pub mod sqlite;
mod waves;

use std::{fmt, time::Duration};

use async_trait::async_trait;

pub use self::{
    error::{OpenError, StoreError},
    migrations::Migrate,
    open::{DatabaseUrl, open},
};
use crate::domain::{
    Command, EventFilter, EventPage, ForceRelease, Forced, ListFilter, Lock, LockPage, Outcome,
    OwnerId, Purge, Resource, Span, StaleFilter, StalePage, Timestamp,
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

    /// Lets go of the database.
    async fn close(&self);
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
}
