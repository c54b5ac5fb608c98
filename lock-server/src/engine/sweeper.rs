//! Tidies the table: frees what has been stale for long, and forgets what has
//! been free for long, the oldest events of the audit trail, and what watchers left
//! behind.
//!
//! No lock depends on it: a stale lock is anyone's to take, whether it was
//! swept or not. It works in bounded steps that leave out what others work on,
//! so that every server may sweep at the same time.

use std::{sync::Arc, time::Duration};

use service_kit::text::chain;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Actor, Purge, Span, StaleFilter},
    store::{Store, StoreError},
};

/// How many rows one step frees or forgets.
const STEP: u32 = 1_000;

/// When to sweep what.
#[derive(Debug, Clone, Copy)]
pub struct SweeperOptions {
    /// How often to sweep.
    pub interval: Duration,
    /// For how long a stale lock is kept to be seen.
    pub stale_retention: Span,
    /// For how long a free resource's row is kept.
    pub free_retention: Span,
    /// For how long the audit trail is kept.
    pub event_retention: Span,
}

/// Tidies a store's table.
#[derive(Debug)]
pub struct Sweeper {
    store: Arc<dyn Store>,
    options: SweeperOptions,
}

impl Sweeper {
    /// A sweeper for a store.
    pub fn new(store: Arc<dyn Store>, options: SweeperOptions) -> Self {
        Self { store, options }
    }

    /// Frees every stale lock, as a server does when it starts: how many.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn purge_at_start(&self) -> Result<u64, StoreError> {
        purge_all(self.store.as_ref(), by_itself(StaleFilter::default())).await
    }

    /// Sweeps once: how many locks were freed and how many rows forgotten.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn sweep(&self) -> Result<(u64, u64), StoreError> {
        let filter = StaleFilter { kind: None, older_than: self.options.stale_retention };
        let purged = purge_all(self.store.as_ref(), by_itself(filter)).await?;
        let mut pruned = 0;
        loop {
            let step = self.store.prune(self.options.free_retention, STEP).await?;
            pruned += step;
            if step < u64::from(STEP) {
                break;
            }
        }
        while self.store.forget_events(self.options.event_retention, STEP).await? == u64::from(STEP)
        {
        }
        while self.store.forget_changes(STEP).await? == u64::from(STEP) {}
        Ok((purged, pruned))
    }

    /// Sweeps until stopped.
    pub async fn run(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(self.options.interval) => {}
            }
            let swept = tokio::select! {
                () = stopping.cancelled() => return,
                swept = self.sweep() => swept,
            };
            match swept {
                Ok((0, 0)) => {}
                Ok((purged, pruned)) => {
                    tracing::info!(purged, pruned, "swept stale locks and long-free resources");
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "could not sweep; trying again later");
                }
            }
        }
    }
}

fn by_itself(filter: StaleFilter) -> Purge {
    Purge::new(filter, Actor::sweeper())
}

/// Frees all stale locks that match, step by step: how many.
pub(super) async fn purge_all(store: &dyn Store, mut purge: Purge) -> Result<u64, StoreError> {
    let mut purged = 0;
    loop {
        let step = store.purge(&mut purge, STEP).await?;
        purged += step;
        if step < u64::from(STEP) {
            return Ok(purged);
        }
    }
}
