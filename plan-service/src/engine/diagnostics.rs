//! How the service is, what it depends on, and one plan from near.

use std::time::Duration;

use lock_client::{ClientError, Lock, LockClient, StaleFilter};

use super::{Diagnostics, PlanDiagnostics, Planner, StaleCounts};
use crate::{domain::PlanId, error::PlanError};

/// How long the lock server may take: who asks wants to see that it is away.
const PATIENCE: Duration = Duration::from_secs(3);

impl Planner {
    /// A plan's lock, if somebody has it; or why the lock server does not say.
    ///
    /// # Errors
    /// When the lock server does not answer in time, or refuses.
    pub async fn lock_of(&self, id: PlanId) -> Result<Option<Lock>, String> {
        patient(self.inner.locks.get(("plan", id.to_string()))).await
    }

    /// How everything is.
    ///
    /// # Errors
    /// When the store is away, or there is no such plan.
    pub async fn diagnostics(&self, id: Option<PlanId>) -> Result<Diagnostics, PlanError> {
        let inner = &self.inner;
        let plan = match id {
            Some(id) => Some(self.plan(id).await?),
            None => None,
        };
        let lock_server = patient(stale_counts(&inner.locks)).await;
        let plan = match plan {
            None => None,
            Some(plan) => {
                let lock = match &lock_server {
                    Ok(_) => self.lock_of(plan.id).await,
                    Err(error) => Err(error.clone()),
                };
                Some(PlanDiagnostics {
                    events: inner.store.events(plan.id).await?,
                    outputs: inner.store.outputs(plan.id).await?,
                    lock: lock.as_ref().ok().cloned().flatten(),
                    lock_error: lock.err(),
                    plan,
                })
            }
        };
        let active = inner.runs.len();
        Ok(Diagnostics {
            instance: inner.instance.clone(),
            store: inner.store.engine(),
            lock_server,
            plans: inner.store.count_plans().await?,
            active_runs: u32::try_from(active).unwrap_or(u32::MAX),
            plan,
        })
    }
}

async fn patient<T>(answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

async fn stale_counts(locks: &LockClient) -> Result<StaleCounts, ClientError> {
    let count = async |resource_type: &str| {
        let filter =
            StaleFilter { resource_type: Some(resource_type.to_owned()), older_than: None };
        locks.list_stale(filter, 1, "").await.map(|page| page.total_count)
    };
    Ok(StaleCounts { plans: count("plan").await?, projects: count("project").await? })
}
