//! Errors as the server makes them, with their details.

use std::{collections::HashMap, time::Duration};

use proto::reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)], after: Option<Duration>) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, metadata);
    if after.is_some() {
        details.set_retry_info(after);
    }
    Status::with_error_details(code, format!("the server says {reason}"), details)
}

pub(crate) fn conflict() -> Status {
    let metadata = [
        ("resource", "plan/a"),
        ("holder", "worker-7"),
        ("acquire_time", "2026-01-02T03:04:05Z"),
        ("expire_time", "2026-01-02T03:09:05Z"),
        ("remaining_ms", "1500"),
        ("queue_length", "2"),
        ("holder.job", "nightly"),
    ];
    let after = Some(Duration::from_millis(1500));
    refusal(Code::FailedPrecondition, reason::LOCK_CONFLICT, &metadata, after)
}

pub(crate) fn deadlock() -> Status {
    let metadata = [("resource", "plan/a"), ("cycle", "me → plan/a → you → plan/b → me")];
    refusal(Code::FailedPrecondition, reason::DEADLOCK, &metadata, None)
}

pub(crate) fn wait_cancelled() -> Status {
    refusal(Code::Aborted, reason::WAIT_CANCELLED, &[("resource", "plan/a")], None)
}

pub(crate) fn not_held() -> Status {
    let metadata = [("resource", "plan/a"), ("holder", "worker-7")];
    refusal(Code::Aborted, reason::LOCK_NOT_HELD, &metadata, None)
}

pub(crate) fn broken() -> Status {
    let metadata = [
        ("resource", "plan/a"),
        ("released_by", "10.0.0.7"),
        ("release_reason", "stuck since noon"),
    ];
    refusal(Code::Aborted, reason::LOCK_NOT_HELD, &metadata, None)
}

pub(crate) fn not_found() -> Status {
    refusal(Code::NotFound, reason::LOCK_NOT_FOUND, &[("resource", "plan/a")], None)
}

pub(crate) fn invalid() -> Status {
    let mut details =
        ErrorDetails::with_error_info(reason::INVALID_REQUEST, reason::DOMAIN, HashMap::new());
    details.add_bad_request_violation("ttl", "must be at least 5s");
    details.add_bad_request_violation("resource.id", "must not be empty");
    Status::with_error_details(Code::InvalidArgument, "the request is not valid", details)
}

pub(crate) fn shutting_down() -> Status {
    refusal(Code::Unavailable, reason::SHUTTING_DOWN, &[], Some(Duration::from_millis(1)))
}

pub(crate) fn overloaded() -> Status {
    let after = Some(Duration::from_millis(30));
    refusal(Code::ResourceExhausted, reason::OVERLOADED, &[("limit", "queue")], after)
}
