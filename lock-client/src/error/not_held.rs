//! What is known of a lease that the caller does not hold, or no longer.

use std::fmt;

use crate::{ForcedRelease, Resource};

/// There is no such lease as the call was about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotHeld {
    /// What was asked about.
    pub resource: Resource,
    /// Who holds it, where another one does.
    pub holder: Option<String>,
    /// The token that the server names: after a refused
    /// [`force_release`](crate::LockClient::force_release) that of the hold of
    /// now, otherwise the one that was asked about, if one was.
    pub fencing_token: Option<u64>,
    /// Who ended the lease by force and why, where somebody did.
    pub forced: Option<Box<ForcedRelease>>,
    /// The server's words.
    pub message: String,
    /// An attempt before the one that was answered may have taken effect
    /// without an answer: a release, or a release by force, may have ended the
    /// lease before the `holder` took it.
    pub retried: bool,
}

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
