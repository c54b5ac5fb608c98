//! Errors as statuses: the one place that knows codes, reasons and details.
//!
//! A status must stay under 8 KiB on the wire, or default clients drop it: the
//! details are base64 there (4 bytes for 3) and the message stands twice. So
//! a message quotes at most 64 characters of a thing, and what is wrong with a
//! request is cut by size as well as by count.

use std::{collections::HashMap, time::Duration};

use proto::reason::{self, metadata as key};
use service_kit::{
    check::Violation,
    grpc::{BadRequest, bad_request},
    text::cut,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::convert::timestamp;
use crate::{
    domain::{Circle, FencingToken, ForcedBy, Lock, OwnerId, Resource, Timestamp, quote},
    error::LockError,
};

/// After which time a caller may try again when the store is away or this
/// server is stopping.
const RETRY_SOON: Duration = Duration::from_millis(500);
/// The longest time that a caller is told to wait before it asks for a lock
/// that another holds: it may be released at any moment.
const RETRY_CONFLICT: Duration = Duration::from_secs(1);
/// The most bytes of what is wrong with a request.
const MOST_VIOLATION_BYTES: usize = 4_400;
/// The most bytes of a circle of owners.
const MOST_CYCLE_BYTES: usize = 2_000;

/// The reason of an error, as `ErrorInfo.reason` says it.
pub(super) fn reason(error: &LockError) -> &'static str {
    match error {
        LockError::Conflict { .. } => reason::LOCK_CONFLICT,
        LockError::Deadlock { .. } => reason::DEADLOCK,
        LockError::WaitCancelled { .. } => reason::WAIT_CANCELLED,
        LockError::Expired { .. } => reason::LOCK_EXPIRED,
        LockError::NotHeld { .. } | LockError::MovedOn { .. } => reason::LOCK_NOT_HELD,
        LockError::NotFound { .. } => reason::LOCK_NOT_FOUND,
        LockError::Invalid(_) => reason::INVALID_REQUEST,
        LockError::StoreUnavailable(_) => reason::STORE_UNAVAILABLE,
        LockError::ShuttingDown => reason::SHUTTING_DOWN,
        LockError::Overloaded { .. } => reason::OVERLOADED,
    }
}

/// The error as a status with details.
pub(super) fn status(error: &LockError) -> Status {
    let mut details = ErrorDetails::new();
    let (code, message, metadata) = match error {
        LockError::Conflict { holder } => conflict(&mut details, holder),
        LockError::Deadlock { circle } => deadlock(circle),
        LockError::WaitCancelled { resource, owner } => wait_cancelled(resource, owner),
        LockError::Expired { resource, owner, token, expired_at } => {
            expired(resource, owner, *token, *expired_at)
        }
        LockError::NotHeld { resource, owner, token, holder, forced } => {
            not_held(resource, owner, *token, holder.as_ref(), forced.as_deref())
        }
        LockError::MovedOn { asked, lock } => moved_on(*asked, lock),
        LockError::NotFound { resource } => not_found(resource),
        LockError::Invalid(violations) => invalid(&mut details, violations),
        LockError::StoreUnavailable(_) => {
            details.set_retry_info(Some(RETRY_SOON));
            let message = "the database failed or did not answer in time; whether the request was \
                           carried out is unknown, and sending it again is safe";
            (Code::Unavailable, message.to_owned(), HashMap::new())
        }
        LockError::ShuttingDown => {
            details.set_retry_info(Some(RETRY_SOON));
            let message = "this server is stopping: try another one, or this one again soon";
            (Code::Unavailable, message.to_owned(), HashMap::new())
        }
        LockError::Overloaded { limit, value, what } => {
            overloaded(&mut details, limit, *value, what)
        }
    };
    details.set_error_info(reason(error), reason::DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// What a lost lease is called among keep-alive results, for people.
pub(super) fn message(error: &LockError) -> String {
    status(error).message().to_owned()
}

type Told = (Code, String, HashMap<String, String>);

fn told<const N: usize>(code: Code, message: String, metadata: [(&str, String); N]) -> Told {
    (code, message, metadata.map(|(key, value)| (key.to_owned(), value)).into())
}

fn conflict(details: &mut ErrorDetails, holder: &Lock) -> Told {
    let resource = holder.resource.to_string();
    let owner = holder.owner.as_str();
    let expire_time = timestamp(holder.expires_at).to_string();
    let remaining = holder.remaining();
    details.set_resource_info(holder.resource.kind().as_str(), holder.resource.id(), owner, "");
    let retry = Duration::from(remaining).clamp(Duration::from_millis(1), RETRY_CONFLICT);
    details.set_retry_info(Some(retry));
    let message = format!(
        "{} is held by {} until {expire_time} ({} ms left)",
        quote(&resource),
        quote(owner),
        remaining.millis_up(),
    );
    let (code, message, mut metadata) = told(
        Code::FailedPrecondition,
        message,
        [
            (key::RESOURCE, resource),
            (key::HOLDER, owner.to_owned()),
            (key::ACQUIRE_TIME, timestamp(holder.acquired_at).to_string()),
            (key::EXPIRE_TIME, expire_time),
            (key::REMAINING_MS, remaining.millis_up().to_string()),
            (key::QUEUE_LENGTH, holder.waiters.to_string()),
        ],
    );
    for (name, value) in holder.metadata.entries() {
        metadata.insert(format!("{}{name}", key::HOLDER_PREFIX), value.clone());
    }
    (code, message, metadata)
}

fn deadlock(circle: &Circle) -> Told {
    let wait = circle.youngest();
    let (resource, owner) = (wait.resource.to_string(), wait.owner.as_str());
    let holder = wait.holder.as_str();
    // What two ids at their limits take for each wait would not fit for many.
    let cycle = cut(&circle.to_string(), MOST_CYCLE_BYTES);
    let message = format!(
        "{} would wait for ever: {} is held by {}, who waits for it, directly or not; release \
         something first",
        quote(owner),
        quote(&resource),
        quote(holder),
    );
    told(
        Code::FailedPrecondition,
        message,
        [
            (key::RESOURCE, resource),
            (key::OWNER_ID, owner.to_owned()),
            (key::HOLDER, holder.to_owned()),
            (key::CYCLE, cycle),
        ],
    )
}

fn wait_cancelled(resource: &Resource, owner: &OwnerId) -> Told {
    let (resource, owner) = (resource.to_string(), owner.as_str());
    let message = format!(
        "{} does not wait for {} any more: all that it holds and waits for was released",
        quote(owner),
        quote(&resource),
    );
    told(Code::Aborted, message, [(key::RESOURCE, resource), (key::OWNER_ID, owner.to_owned())])
}

fn expired(
    resource: &Resource,
    owner: &OwnerId,
    token: FencingToken,
    expired_at: Timestamp,
) -> Told {
    let (resource, owner) = (resource.to_string(), owner.as_str());
    let expire_time = timestamp(expired_at).to_string();
    let message = format!(
        "the lease of {} on {} under token {token} ran out at {expire_time}: acquire it anew",
        quote(owner),
        quote(&resource),
    );
    told(
        Code::Aborted,
        message,
        [
            (key::RESOURCE, resource),
            (key::OWNER_ID, owner.to_owned()),
            (key::FENCING_TOKEN, token.to_string()),
            (key::EXPIRE_TIME, expire_time),
        ],
    )
}

fn not_held(
    resource: &Resource,
    owner: &OwnerId,
    token: Option<FencingToken>,
    holder: Option<&OwnerId>,
    forced: Option<&ForcedBy>,
) -> Told {
    let (resource, owner) = (resource.to_string(), owner.as_str());
    let mut message = format!("{} is not held by {}", quote(&resource), quote(owner));
    if let Some(token) = token {
        message.push_str(&format!(" under token {token}"));
    }
    if let Some(ForcedBy { actor, reason }) = forced {
        let (actor, reason) = (quote(actor), quote(reason));
        message.push_str(&format!(" any more: {actor} released it by force ({reason})"));
    }
    if let Some(holder) = holder {
        message.push_str(&format!(": {} holds it", quote(holder.as_str())));
    }
    let (code, message, mut metadata) = told(
        Code::Aborted,
        message,
        [(key::RESOURCE, resource), (key::OWNER_ID, owner.to_owned())],
    );
    if let Some(token) = token {
        metadata.insert(key::FENCING_TOKEN.to_owned(), token.to_string());
    }
    if let Some(holder) = holder {
        metadata.insert(key::HOLDER.to_owned(), holder.as_str().to_owned());
    }
    if let Some(ForcedBy { actor, reason }) = forced {
        metadata.insert(key::RELEASED_BY.to_owned(), actor.clone());
        metadata.insert(key::RELEASE_REASON.to_owned(), reason.clone());
    }
    (code, message, metadata)
}

fn moved_on(asked: FencingToken, lock: &Lock) -> Told {
    let (resource, holder, token) = (lock.resource.to_string(), lock.owner.as_str(), lock.token);
    let expire_time = timestamp(lock.expires_at).to_string();
    let message = format!(
        "{} is not held under token {asked}: {} has it under token {token} until {expire_time}",
        quote(&resource),
        quote(holder),
    );
    told(
        Code::Aborted,
        message,
        [
            (key::RESOURCE, resource),
            (key::HOLDER, holder.to_owned()),
            (key::FENCING_TOKEN, token.to_string()),
            (key::ASKED_TOKEN, asked.to_string()),
            (key::EXPIRE_TIME, expire_time),
        ],
    )
}

fn not_found(resource: &Resource) -> Told {
    let resource = resource.to_string();
    let message = format!("{} is free: nobody holds it", quote(&resource));
    told(Code::NotFound, message, [(key::RESOURCE, resource)])
}

fn invalid(details: &mut ErrorDetails, violations: &[Violation]) -> Told {
    let BadRequest { message, field, description, count } =
        bad_request(details, violations, MOST_VIOLATION_BYTES);
    told(
        Code::InvalidArgument,
        message,
        [
            (key::FIELD, field),
            (key::DESCRIPTION, description),
            (key::VIOLATION_COUNT, count.to_string()),
        ],
    )
}

fn overloaded(details: &mut ErrorDetails, limit: &str, value: usize, what: &str) -> Told {
    let message = format!("{value} {what}, which is all that {limit} allows");
    details.set_retry_info(Some(RETRY_SOON));
    details.add_quota_failure_violation(limit, message.as_str());
    told(
        Code::ResourceExhausted,
        message,
        [(key::LIMIT, limit.to_owned()), (key::LIMIT_VALUE, value.to_string())],
    )
}
