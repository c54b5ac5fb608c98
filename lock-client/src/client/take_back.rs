//! What to do about a lock that may have been granted in an answer that never
//! arrived.
//!
//! The server is asked who holds it, and released is what it names, by its
//! token: a release without one that got stuck on its way could end a later
//! lease.
//!
//! Who gave a place in line up asks over the same connection: the server then
//! knows of that when it reads the question, and grants no more after it. Over
//! another one the question might overtake, and find nothing yet.

use std::sync::Arc;

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;

use crate::{
    ClientError, Lock,
    call::{self, Failed},
    hold::Key,
    holds::Turn,
    release::release,
    shared::Shared,
};

/// Gives back in the background what this owner may have been granted. Tried
/// once, and keeps the turn: so it cannot hit a later acquisition. Must be
/// called in the runtime that does the network work. `waited`: it was to wait in
/// line.
pub(super) fn take_back(shared: Arc<Shared>, turn: Turn, waited: bool) {
    let pending = shared.background.begin();
    tokio::spawn(async move {
        let outcome = held_then_released(&shared, &turn, waited).await;
        tracing::debug!(
            lock.resource = %turn.key().resource,
            ?outcome,
            "looked for a grant whose answer was lost"
        );
        drop((turn, pending));
    });
}

/// Whether there was something to release.
async fn held_then_released(shared: &Shared, turn: &Turn, waited: bool) -> Result<bool, Failed> {
    let (endpoints, limits) = (&shared.endpoints, shared.limits.of_one_attempt());
    let Key { owner_id, resource } = turn.key();
    let request = wire::GetLockRequest { resource: Some(resource.clone()) };
    let get = async |channel, request| LockServiceClient::new(channel).get_lock(request).await;
    let found = match waited {
        true => call::call_after_waits(endpoints, limits, request.clone(), get).await,
        false => call::call(endpoints, limits, request.clone(), get).await,
    };
    let found = match found {
        // There may be no room for another call on that connection. By now the
        // question overtakes nothing any more.
        Err(Failed { error: ClientError::Unavailable { .. }, .. }) if waited => {
            call::call(endpoints, limits, request, get).await
        }
        found => found,
    };
    let found = match found {
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
