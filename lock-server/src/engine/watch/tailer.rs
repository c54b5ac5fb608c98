//! Reads what happens to locks, for all who watch at this server.

use std::{sync::Arc, time::Duration};

use service_kit::text::chain;
use tokio::time::MissedTickBehavior;

use super::hub::Hub;
use crate::{
    domain::Timestamp,
    store::{Changes, Store, StoreError},
};

/// How often it is looked for what has happened.
const LOOK: Duration = Duration::from_millis(100);

/// Looks while somebody watches.
#[derive(Debug)]
pub(in crate::engine) struct Tailer {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
}

impl Tailer {
    pub(super) fn new(store: Arc<dyn Store>, hub: Arc<Hub>) -> Self {
        Self { store, hub }
    }

    /// Looks, for as long as the server runs.
    pub(in crate::engine) async fn run(self) {
        loop {
            self.hub.begun().await;
            if let Err(error) = self.follow().await {
                tracing::warn!(error = %chain(&error), "all watches end and may begin anew");
                self.hub.end_all(&Arc::new(error));
            }
        }
    }

    /// Tells those who watch what happens, until nobody does.
    async fn follow(&self) -> Result<(), StoreError> {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewals: Option<bool> = None;
        while let Some(wanted) = self.hub.wanted() {
            match renewals {
                // Nobody is told anything yet.
                None => self.store.watch(wanted.renewals).await?,
                Some(false) if wanted.renewals => self.store.watch_renewals().await?,
                Some(_) => {}
            }
            renewals = Some(wanted.renewals);
            let expired_before = self.look(wanted.renewals).await?;
            wanted.new.iter().for_each(|inbox| inbox.begin(expired_before));
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.hub.begun() => {}
            }
        }
        Ok(())
    }

    /// Tells what has happened: before when all leases that had run out were told.
    async fn look(&self, renewals: bool) -> Result<Timestamp, StoreError> {
        let look = self.hub.looking();
        loop {
            let Changes { list, more, expired_before } = self.store.changes(renewals).await?;
            self.hub.tell(look, list).await;
            if !more {
                return Ok(expired_before);
            }
        }
    }
}
