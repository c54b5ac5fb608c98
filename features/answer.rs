//! What a server answered: a reply, or a refusal with its details.

use std::collections::HashMap;

use proto::{lock::v1 as wire, reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, ErrorDetails, StatusExt as _};

/// The answer to the last request.
pub(crate) type Answer = Result<Reply, Status>;

/// An answer that is no error.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Acquired { lock: wire::Lock, reentrant: bool },
    Renewed(wire::Lock),
    Released(bool),
    ReleasedAll(u64),
    Found(wire::Lock),
    Listed(wire::ListLocksResponse),
    Stale(wire::ListStaleResponse),
    Purged(u64),
    KeptAlive(wire::KeepAliveResponse),
    Broken(wire::Lock),
    Events(wire::ListEventsResponse),
}

impl Reply {
    /// The lock that it tells of.
    pub(crate) fn lock(&self) -> Option<&wire::Lock> {
        match self {
            Self::Acquired { lock, .. }
            | Self::Renewed(lock)
            | Self::Found(lock)
            | Self::Broken(lock) => Some(lock),
            _ => None,
        }
    }

    /// The locks of a list.
    pub(crate) fn locks(&self) -> &[wire::Lock] {
        match self {
            Self::Listed(page) => &page.locks,
            Self::Stale(page) => &page.locks,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// The events of a list.
    pub(crate) fn events(&self) -> &[wire::AuditEvent] {
        match self {
            Self::Events(page) => &page.events,
            other => panic!("not a list of events: {other:?}"),
        }
    }

    /// What asks for the next page of a list.
    pub(crate) fn next_page_token(&self) -> &str {
        match self {
            Self::Listed(page) => &page.next_page_token,
            Self::Stale(page) => &page.next_page_token,
            Self::Events(page) => &page.next_page_token,
            other => panic!("not a list: {other:?}"),
        }
    }
}

/// A refusal whose form has been checked.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) details: ErrorDetails,
}

impl Refusal {
    /// Checks what every refusal has in common: exactly one `ErrorInfo` of the
    /// right domain, with a reason that goes with the code, and what the
    /// reason promises beside it.
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.check_error_details_vec().expect("details that decode");
        let mut infos = details.iter().filter_map(|detail| match detail {
            ErrorDetail::ErrorInfo(info) => Some(info),
            _ => None,
        });
        let info =
            infos.next().unwrap_or_else(|| panic!("no ErrorInfo: {}", shown(status))).clone();
        assert!(infos.next().is_none(), "more than one ErrorInfo: {}", shown(status));
        assert_eq!(info.domain, reason::DOMAIN);
        let details = status.get_error_details();
        let (code, retry) = code_and_retry(&info.reason);
        assert_eq!(status.code(), code, "{}", shown(status));
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        assert_eq!(
            delay.is_some_and(|delay| !delay.is_zero()),
            retry,
            "RetryInfo: {}",
            shown(status)
        );
        let quota = details.quota_failure().is_some_and(|quota| !quota.violations.is_empty());
        assert_eq!(quota, info.reason == reason::OVERLOADED, "QuotaFailure: {}", shown(status));
        assert!(!status.message().is_empty(), "a message for people");
        Self { reason: info.reason, metadata: info.metadata, details }
    }

    /// One entry of the metadata.
    pub(crate) fn told(&self, key: &str) -> &str {
        let told = self.metadata.get(key);
        told.unwrap_or_else(|| panic!("no {key} in the metadata: {:?}", self.metadata))
    }
}

/// The code that a reason comes with, and whether it says when to try again.
fn code_and_retry(reason: &str) -> (Code, bool) {
    match reason {
        reason::LOCK_CONFLICT => (Code::FailedPrecondition, true),
        reason::DEADLOCK => (Code::FailedPrecondition, false),
        reason::LOCK_EXPIRED | reason::LOCK_NOT_HELD | reason::WAIT_CANCELLED => {
            (Code::Aborted, false)
        }
        reason::LOCK_NOT_FOUND => (Code::NotFound, false),
        reason::INVALID_REQUEST => (Code::InvalidArgument, false),
        reason::STORE_UNAVAILABLE | reason::SHUTTING_DOWN => (Code::Unavailable, true),
        reason::OVERLOADED => (Code::ResourceExhausted, true),
        other => panic!("an unknown reason: {other}"),
    }
}

/// A status without the bytes of its details.
pub(crate) fn shown(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// How many bytes a refusal takes in the trailers of a response, as clients
/// count them: each header's name and value, and 32 for the entry.
pub(crate) fn bytes_on_the_wire(status: &Status) -> usize {
    let headers = status.clone().into_http::<()>();
    headers.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}
