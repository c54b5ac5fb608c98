//! What can go wrong with a call, told apart by what a caller would do next.
//!
//! The server's reasons (`proto::reason`) become variants in `error/decode.rs`
//! and nowhere else.

mod conflict;
mod deadlock;
mod decode;
mod not_held;

use prost_types::Timestamp;
use proto::reason;
use tonic::Code;

use crate::{ForcedRelease, Lost, Resource};

pub use conflict::Conflict;
pub use deadlock::Deadlock;
pub(crate) use decode::{Refusal, from_refusal};
pub use not_held::NotHeld;

/// What went wrong with a call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Another owner holds the resource, still if it was waited for: wait on, or
    /// give up.
    #[error("{0}")]
    Conflict(Box<Conflict>),

    /// Waiting would close a circle of owners that wait for each other: none of
    /// them would ever go on. Give back what is held, and begin anew; owners that
    /// take locks in one order never meet this.
    #[error("{0}")]
    Deadlock(Box<Deadlock>),

    /// The wait was ended by the release of everything of the owner,
    /// [`LockClient::release_all`](crate::LockClient::release_all) say.
    #[error("{message}")]
    WaitCancelled {
        /// What was waited for.
        resource: Resource,
        /// The server's words, or this client's own.
        message: String,
    },

    /// The last grant of the resource was this owner's and has run out. What it
    /// protected may be another's by now: acquire again, with a new token.
    #[error("{message}")]
    Expired {
        /// What was held.
        resource: Resource,
        /// When the lease ran out, by the database's clock.
        expire_time: Option<Timestamp>,
        /// The server's words.
        message: String,
    },

    /// No live lease of this owner under this token; or, for
    /// [`LockClient::force_release`](crate::LockClient::force_release), no hold
    /// of anybody under it.
    #[error("{0}")]
    NotHeld(Box<NotHeld>),

    /// Nobody holds the resource: there is nothing to break.
    #[error("{message}")]
    NotFound {
        /// What was asked about.
        resource: Resource,
        /// The server's words.
        message: String,
        /// An attempt before the one that was answered may have taken effect
        /// without an answer: it may have broken the hold.
        retried: bool,
    },

    /// No server answered in time, or each that did is stopping, overloaded or
    /// without its database. Whether the call took effect is not known, and
    /// every call may be made again.
    #[error("{}: {message}", unavailable_in_words(.reason.is_some(), *.attempts))]
    Unavailable {
        /// The server's reason, where one was given: `STORE_UNAVAILABLE`,
        /// `SHUTTING_DOWN` or `OVERLOADED`.
        reason: Option<String>,
        /// What the last attempt ended with.
        message: String,
        /// How many attempts were made.
        attempts: u32,
    },

    /// The call was wrong, and would be wrong again.
    #[error("{}", invalid_in_words(.message, .violations))]
    Invalid {
        /// What is wrong as a whole.
        message: String,
        /// Each field that is wrong.
        violations: Vec<FieldViolation>,
    },

    /// The lease was lost before the call, or while the work under it ran.
    #[error("{0}")]
    Lost(Box<Lost>),

    /// Anything else, such as a server that does not know the method.
    #[error("the lock service answered {code:?}: {message}")]
    Other {
        /// The gRPC status code.
        code: Code,
        /// The server's reason, where one was given.
        reason: Option<String>,
        /// The server's words.
        message: String,
    },
}

/// One field that is wrong, by its path in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Such as `resource.id`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub description: String,
}

impl ClientError {
    /// The reason in the contract's own word, such as `LOCK_CONFLICT`, for
    /// programs that pass it on.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Conflict(_) => Some(reason::LOCK_CONFLICT),
            Self::Deadlock(_) => Some(reason::DEADLOCK),
            Self::WaitCancelled { .. } => Some(reason::WAIT_CANCELLED),
            Self::Expired { .. } => Some(reason::LOCK_EXPIRED),
            Self::NotHeld(_) => Some(reason::LOCK_NOT_HELD),
            Self::NotFound { .. } => Some(reason::LOCK_NOT_FOUND),
            Self::Invalid { .. } => Some(reason::INVALID_REQUEST),
            Self::Unavailable { reason, .. } | Self::Other { reason, .. } => reason.as_deref(),
            Self::Lost(_) => None,
        }
    }

    /// Who ended the lease by force and why, where that is what became of it.
    pub fn forced(&self) -> Option<&ForcedRelease> {
        match self {
            Self::NotHeld(not_held) => not_held.forced.as_deref(),
            Self::Lost(lost) => lost.forced.as_deref(),
            _ => None,
        }
    }

    /// An argument that is wrong before anything is sent.
    pub(crate) fn invalid(field: &str, description: String) -> Self {
        Self::Invalid {
            message: "the request is not valid".to_owned(),
            violations: vec![FieldViolation { field: field.to_owned(), description }],
        }
    }

    /// Something that the other side or the machine should never do.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Other { code: Code::Internal, reason: None, message: message.into() }
    }
}

impl From<Lost> for ClientError {
    fn from(lost: Lost) -> Self {
        Self::Lost(Box::new(lost))
    }
}

/// A server that gives a reason did answer.
fn unavailable_in_words(answered: bool, attempts: u32) -> String {
    match (answered, attempts) {
        (true, _) => "the lock service is not available".to_owned(),
        (false, 1) => "no answer from the lock service after 1 attempt".to_owned(),
        (false, more) => format!("no answer from the lock service after {more} attempts"),
    }
}

/// Each field once: the message of the server quotes the first one too.
fn invalid_in_words(message: &str, violations: &[FieldViolation]) -> String {
    if violations.is_empty() {
        return message.to_owned();
    }
    let fields: Vec<_> = violations
        .iter()
        .map(|FieldViolation { field, description }| format!("{field} {description}"))
        .collect();
    format!("the request is not valid: {}", fields.join("; "))
}
