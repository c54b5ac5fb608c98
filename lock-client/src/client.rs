//! The client: what a program holds to take locks.
//!
//! A [`LockClient`] is a name (the owner) and a share in one connection. The
//! calls that change nothing of a single lease are in `client/calls.rs`, those
//! about the holds of others in `client/audit.rs`, leases without a guard in
//! `client/unguarded.rs`, the way to a guard in `client/acquire.rs` with what is
//! left of one that failed in `client/take_back.rs`, waiting in line in
//! `client/wait.rs`, work under a lock in `client/with_lock.rs`, and what happens
//! to locks in `client/watch.rs`.

mod acquire;
mod audit;
mod calls;
mod take_back;
mod unguarded;
mod wait;
mod watch;
mod with_lock;

use std::{fmt, sync::Arc};

use crate::{ClientError, LockClientBuilder, builder, holds::Owner, shared::Shared};

/// Takes, keeps and gives back locks, in the name of one owner.
///
/// Cheap to clone; clones share the owner, the connections and the thread that
/// does all network work, so that whatever keeps the caller busy does not keep
/// leases from being renewed. The thread ends when the last client and guard
/// are gone and what they left to release is released.
#[derive(Clone)]
pub struct LockClient {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

impl LockClient {
    /// A client with the defaults, for the server at this address
    /// (`http://HOST:PORT`). Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// As [`LockClientBuilder::build`].
    pub fn connect(url: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder().endpoint(url).build()
    }

    /// Starts to set up a client.
    pub fn builder() -> LockClientBuilder {
        LockClientBuilder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>, owner_id: &str, own: bool) -> Self {
        let owner = shared.holds.owner(owner_id, own);
        Self { shared, owner }
    }

    /// Who holds what this client acquires.
    pub fn owner_id(&self) -> &str {
        self.owner.id()
    }

    /// A client on the same connections that acts for another owner.
    #[must_use]
    pub fn with_owner(&self, owner_id: impl AsRef<str>) -> Self {
        Self::new(self.shared.clone(), owner_id.as_ref(), false)
    }

    /// A client on the same connections that acts for a new owner, a fresh
    /// UUIDv7: one session of work is one owner.
    #[must_use]
    pub fn with_new_owner(&self) -> Self {
        Self::new(self.shared.clone(), &builder::new_owner_id(), true)
    }

    /// Waits until nothing goes on in the background: what dropped guards left
    /// to release is released or given up, and acquisitions and releases whose
    /// futures were dropped are at their end. Worth awaiting before a program
    /// ends: what has not been released by then stays locked until its lease
    /// runs out.
    ///
    /// Waits for acquisitions, renewals and releases that somebody still awaits,
    /// too, so it does not end while some of these always go on. Each call takes up to the client's `timeout`, and calls for one
    /// resource and owner take turns, so this may take a few times as long when
    /// no server answers. Put a limit of your own around it where that matters.
    pub async fn flush(&self) {
        self.shared.background.settled().await;
    }
}

impl fmt::Debug for LockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockClient").field("owner_id", &self.owner_id()).finish_non_exhaustive()
    }
}
