//! What to do about a lock that may have been granted in an answer that never
//! arrived.
//!
//! The server is asked who holds it, and released is what it names, by its
//! token: a release without one that got stuck on its way could end a later
//! lease.

use std::sync::Arc;

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;

use crate::{
    Lock,
    call::{self, Failed},
    hold::Key,
    holds::Turn,
    release::release,
    shared::Shared,
};

/// Gives back in the background what this owner may have been granted. Tried
/// once, and keeps the turn: so it cannot hit a later acquisition. Must be
/// called in the runtime that does the network work.
pub(super) fn take_back(shared: Arc<Shared>, turn: Turn) {
    let pending = shared.background.begin();
    tokio::spawn(async move {
        let outcome = held_then_released(&shared, &turn).await;
        tracing::debug!(
            lock.resource = %turn.key().resource,
            ?outcome,
            "looked for a grant whose answer was lost"
        );
        drop((turn, pending));
    });
}

/// Whether there was something to release.
async fn held_then_released(shared: &Shared, turn: &Turn) -> Result<bool, Failed> {
    let limits = shared.limits.of_one_attempt();
    let Key { owner_id, resource } = turn.key();
    let request = wire::GetLockRequest { resource: Some(resource.clone()) };
    let found = call::call(&shared.endpoints, limits, request, |channel, request| async {
        LockServiceClient::new(channel).get_lock(request).await
    });
    let found = match found.await {
        Ok(answer) => answer.message.lock.map(Lock::from),
        Err(failed) if failed.error.reason() == Some(proto::reason::LOCK_NOT_FOUND) => None,
        Err(failed) => return Err(failed),
    };
    let Some(lock) = found.filter(|lock| lock.owner_id == *owner_id && !lock.stale) else {
        return Ok(false);
    };
    release(shared, turn, Some(lock.fencing_token), limits).await?;
    Ok(true)
}
