//! What a caller is told when a request is not carried out.

use std::sync::Arc;

use service_kit::check::Violation;

use crate::{
    domain::{Circle, FencingToken, ForcedBy, Lock, OwnerId, Resource, Timestamp},
    store::StoreError,
};

/// Why a request was not carried out. `grpc/status.rs` makes a status of it.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another owner holds the resource.
    #[error("another owner holds the resource")]
    Conflict {
        /// The other owner's lock, with how many wait for it.
        holder: Box<Lock>,
    },
    /// Waiting would close a circle of owners that wait for each other.
    #[error("waiting would never end: the owners wait for each other")]
    Deadlock {
        /// Who waits for whom.
        circle: Arc<Circle>,
    },
    /// `ReleaseAll` took the caller out of line.
    #[error("the owner's waits were cancelled")]
    WaitCancelled {
        /// What was waited for.
        resource: Resource,
        /// By whom.
        owner: OwnerId,
    },
    /// The last grant of the resource was the caller's and has run out.
    #[error("the lease has run out")]
    Expired {
        /// What was held.
        resource: Resource,
        /// By whom.
        owner: OwnerId,
        /// Under which token.
        token: FencingToken,
        /// When the lease ran out.
        expired_at: Timestamp,
    },
    /// The caller has no live lease under this token.
    #[error("the lock is not held")]
    NotHeld {
        /// What is not held.
        resource: Resource,
        /// By whom.
        owner: OwnerId,
        /// Under which token, where the caller named one.
        token: Option<FencingToken>,
        /// Who holds it, where another owner does.
        holder: Option<OwnerId>,
        /// By whom and why this very hold was broken, where it was.
        forced: Option<Box<ForcedBy>>,
    },
    /// The hold that was to be broken is not there any more: another one is.
    #[error("the resource is held under another token")]
    MovedOn {
        /// Under which token it was to be held.
        asked: FencingToken,
        /// The lock as it is.
        lock: Box<Lock>,
    },
    /// The resource is free.
    #[error("the resource is free")]
    NotFound {
        /// What is free.
        resource: Resource,
    },
    /// Fields of the request are wrong.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The database was not reached, or what became of the request is unknown.
    #[error("the store is unavailable")]
    StoreUnavailable(#[source] Arc<StoreError>),
    /// This server is stopping.
    #[error("the server is stopping")]
    ShuttingDown,
    /// A bound of this server is full.
    #[error("the server is overloaded")]
    Overloaded {
        /// The setting that bounds it.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// What there is so much of: `requests are under way`, say.
        what: &'static str,
    },
}

impl From<StoreError> for LockError {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(Arc::new(error))
    }
}
