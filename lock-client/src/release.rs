//! The release of one lease, as guards, clients and acquisitions all ask for it.

use proto::lock::v1 as wire;
use tokio::time::Instant;

use crate::{
    call::{self, Answer, CallLimits, Failed},
    hold::Key,
    holds::Turn,
    shared::Shared,
};

/// Asks for the end of the lease with this token, and remembers the token if
/// the outcome stays unknown (see `doubts.rs`). Must run in the runtime that
/// does the network work, and to its end.
pub(crate) async fn release(
    shared: &Shared,
    turn: &Turn,
    fencing_token: Option<u64>,
    limits: CallLimits,
) -> Result<Answer<wire::ReleaseResponse>, Failed> {
    let Key { owner_id, resource } = turn.key().clone();
    let request = wire::ReleaseRequest { resource: Some(resource), owner_id, fencing_token };
    let outcome = call::command(&shared.endpoints, limits, &request).await;
    let doubts = &shared.holds.doubts;
    match (fencing_token, &outcome) {
        // Whichever attempt it was, the lease with this token is over.
        (Some(token), Ok(_)) => doubts.over(turn.key(), token),
        (Some(token), Err(failed)) if failed.lease_is_over() => doubts.over(turn.key(), token),
        (Some(token), Err(Failed { unsettled: true, .. })) => {
            doubts.set(turn.key(), token, Instant::now());
        }
        _ => {}
    }
    outcome
}
