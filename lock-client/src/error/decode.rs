//! The server's status, with its `google.rpc` details, as a [`ClientError`]:
//! the one place where reasons are read.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use proto::reason;
use tonic::{Code, ConnectError, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{ClientError, Conflict, Deadlock, FieldViolation, NotHeld};
use crate::{ForcedRelease, Resource};

/// A status that has been read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
    reason: Option<String>,
    metadata: HashMap<String, String>,
    details: Details,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    retry_after: Option<Duration>,
    violations: Vec<FieldViolation>,
    /// The status was made on this side of the connection.
    transport: bool,
    /// It never left this side.
    never_sent: bool,
    /// It is the end of a whole stream, and says nothing of a command on it.
    of_stream: bool,
}

impl Refusal {
    /// What to tell when the deadline of an attempt passed.
    pub(crate) fn timed_out(limit: Duration) -> Self {
        // What was left of it a moment later still reads as the whole.
        let limit = limit.as_micros().div_ceil(1_000);
        Self {
            code: Code::DeadlineExceeded,
            message: format!("no answer within {limit} ms"),
            reason: None,
            metadata: HashMap::new(),
            details: Details { transport: true, ..Details::default() },
        }
    }

    /// What a command on a stream was answered with: the same error as a call's.
    pub(crate) fn of_command(error: &tonic_types::Status) -> Self {
        let details = error.encode_to_vec().into();
        Self::from(Status::with_details(Code::from(error.code), &error.message, details))
    }

    /// What to tell of a command on a stream that ended without an answer to it.
    pub(crate) fn of_stream(status: Status) -> Self {
        let mut refusal = Self::from(status);
        refusal.details.of_stream = true;
        refusal
    }

    /// The same of a request that was not sent.
    pub(crate) fn unsent(mut self) -> Self {
        self.details.never_sent = true;
        self
    }

    /// Whether another attempt, at another server or later, may end better.
    pub(crate) fn is_retryable(&self) -> bool {
        self.details.transport
            || self.details.of_stream
            || self.reason.as_deref() == Some(reason::OVERLOADED)
            || matches!(
                self.code,
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
            )
    }

    /// Whether the call may have taken effect all the same, or may yet. Not if
    /// it was never sent, or the server took no calls. A stream that the server
    /// took no more from may have brought it some before.
    pub(crate) fn leaves_outcome_unknown(&self) -> bool {
        let refusals = [reason::OVERLOADED, reason::SHUTTING_DOWN];
        let refused = self.reason.as_deref().is_some_and(|reason| refusals.contains(&reason));
        self.is_retryable() && !self.details.never_sent && (self.details.of_stream || !refused)
    }

    /// Whether the same would be answered to a watch at every attempt.
    pub(crate) fn ends_a_watch(&self) -> bool {
        !self.details.transport
            && matches!(
                self.code,
                Code::InvalidArgument
                    | Code::Unimplemented
                    | Code::PermissionDenied
                    | Code::Unauthenticated
            )
    }

    /// How long the server asks to wait before another attempt.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.details.retry_after
    }

    /// The server's reason, if it gave one, and what to tell people.
    pub(crate) fn into_words(self) -> (Option<String>, String) {
        (self.reason, self.message)
    }

    /// One line for a log.
    pub(crate) fn summary(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{reason}: {}", self.message),
            None => format!("{:?}: {}", self.code, self.message),
        }
    }

    /// The call is given up after this many attempts that all might have gone
    /// better elsewhere.
    pub(crate) fn into_unavailable(self, attempts: u32) -> ClientError {
        ClientError::Unavailable { reason: self.reason, message: self.message, attempts }
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.metadata.remove(key)
    }

    fn resource(&mut self) -> Resource {
        self.take(reason::metadata::RESOURCE).and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == reason::DOMAIN);
        Self {
            code: status.code(),
            message: with_cause(&status),
            reason: info.map(|info| info.reason.clone()),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            details: Details {
                retry_after: details.retry_info().and_then(|info| info.retry_delay),
                violations: violations(&details),
                // A status from the wire is never the effect of another error.
                transport: std::error::Error::source(&status).is_some(),
                never_sent: causes(&status).any(|cause| cause.is::<ConnectError>()),
                of_stream: false,
            },
        }
    }
}

/// The message, and what lies at the bottom of it: "connection refused" says
/// more than "tcp connect error".
fn with_cause(status: &Status) -> String {
    match causes(status).last().map(ToString::to_string) {
        Some(bottom) if !status.message().contains(&bottom) => {
            format!("{}: {bottom}", status.message())
        }
        _ => status.message().to_owned(),
    }
}

/// What lies under it, from the top to the bottom.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(status), |cause| cause.source())
}

fn violations(details: &ErrorDetails) -> Vec<FieldViolation> {
    let all = details.bad_request().map(|request| request.field_violations.as_slice());
    all.unwrap_or_default()
        .iter()
        .map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        })
        .collect()
}

/// What a refusal that no retry would change means to the caller. `retried`: it
/// came after an attempt of unknown outcome.
pub(crate) fn from_refusal(mut refusal: Refusal, retried: bool) -> ClientError {
    use reason::metadata as key;
    match refusal.reason.as_deref() {
        Some(reason::LOCK_CONFLICT) => ClientError::Conflict(Box::new(conflict(refusal))),
        Some(reason::DEADLOCK) => ClientError::Deadlock(Box::new(Deadlock {
            resource: refusal.resource(),
            cycle: refusal.take(key::CYCLE).unwrap_or_default(),
            message: refusal.message,
        })),
        Some(reason::WAIT_CANCELLED) => {
            ClientError::WaitCancelled { resource: refusal.resource(), message: refusal.message }
        }
        Some(reason::LOCK_EXPIRED) => ClientError::Expired {
            resource: refusal.resource(),
            expire_time: refusal.take(key::EXPIRE_TIME).and_then(|time| time.parse().ok()),
            message: refusal.message,
        },
        Some(reason::LOCK_NOT_HELD) => ClientError::NotHeld(Box::new(not_held(refusal, retried))),
        Some(reason::LOCK_NOT_FOUND) => ClientError::NotFound {
            resource: refusal.resource(),
            message: refusal.message,
            retried,
        },
        Some(reason::INVALID_REQUEST) => ClientError::Invalid {
            message: refusal.message,
            violations: refusal.details.violations,
        },
        _ => ClientError::Other {
            code: refusal.code,
            reason: refusal.reason,
            message: refusal.message,
        },
    }
}

fn number(text: Option<String>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}

fn not_held(mut refusal: Refusal, retried: bool) -> NotHeld {
    use reason::metadata as key;
    let released_by = refusal.take(key::RELEASED_BY).unwrap_or_default();
    let release_reason = refusal.take(key::RELEASE_REASON).unwrap_or_default();
    NotHeld {
        resource: refusal.resource(),
        holder: refusal.take(key::HOLDER),
        fencing_token: number(refusal.take(key::FENCING_TOKEN)),
        forced: ForcedRelease::told(released_by, release_reason),
        message: refusal.message,
        retried,
    }
}

fn conflict(mut refusal: Refusal) -> Conflict {
    use reason::metadata as key;
    let resource = refusal.resource();
    let holder = refusal.take(key::HOLDER).unwrap_or_default();
    let acquire_time = refusal.take(key::ACQUIRE_TIME).and_then(|time| time.parse().ok());
    let expire_time = refusal.take(key::EXPIRE_TIME).and_then(|time| time.parse().ok());
    let remaining = number(refusal.take(key::REMAINING_MS)).unwrap_or_default();
    let queue_length = number(refusal.take(key::QUEUE_LENGTH)).unwrap_or_default();
    let metadata = refusal.metadata.into_iter().filter_map(|(name, value)| {
        name.strip_prefix(key::HOLDER_PREFIX).map(|name| (name.to_owned(), value))
    });
    Conflict {
        resource,
        holder,
        acquire_time,
        expire_time,
        remaining: Duration::from_millis(remaining),
        queue_length,
        metadata: metadata.collect(),
        retry_after: refusal.details.retry_after,
        message: refusal.message,
    }
}

#[cfg(test)]
mod tests;
