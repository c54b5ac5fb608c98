//! Errors as statuses: the one place that knows codes, reasons and details.
//!
//! A status must stay under 8 KiB on the wire, or default clients drop it: the
//! details are base64 there (4 bytes for 3), and the message stands twice, once
//! with all but plain characters as `%XX`. So whatever comes from callers,
//! projects or git is cut.
//!
//! A conflict over a lock is the lock server's own error, and is passed on as it
//! came: domain, reason, metadata and words.

use std::{collections::HashMap, time::Duration};

use lock_client::Conflict;
use proto::{
    plan_reason::{self, metadata as key},
    reason::{self as lock_reason, metadata as lock_key},
};
use service_kit::{
    check::Violation,
    grpc::{BadRequest, bad_request},
    text::{chain, cut},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt as _};

use crate::{
    domain::{Move, MoveError, Name, PlanId, Project},
    error::PlanError,
};

/// After which time a caller may try again when something is away for a moment.
const RETRY_SOON: Duration = Duration::from_millis(500);
/// The most bytes of a message as a header, and of one that stands beside a list.
const MOST_MESSAGE: usize = 1_600;
const MOST_BESIDE_LIST: usize = 700;
/// The most bytes of a value in the metadata.
const MOST_VALUE: usize = 400;
/// The most bytes of a list, be it of fields or of files.
const MOST_LIST: usize = 3_200;
/// The most of a field that is wrong, and of what is wrong with it.
const MOST_FIELD: usize = 120;
const MOST_DESCRIPTION: usize = 240;
/// The most files that are listed.
const MOST_FILES: usize = 40;

/// The reason of an error, as `ErrorInfo.reason` says it.
pub(super) fn reason(error: &PlanError) -> &'static str {
    match error {
        PlanError::Conflict(_) => lock_reason::LOCK_CONFLICT,
        PlanError::LockServerUnavailable(_) => plan_reason::LOCK_SERVER_UNAVAILABLE,
        PlanError::LockLost(_) => plan_reason::LOCK_LOST,
        PlanError::Transition { .. } => plan_reason::INVALID_TRANSITION,
        PlanError::UncommittedChanges { .. } => plan_reason::UNCOMMITTED_CHANGES,
        PlanError::ProjectUnusable { .. } => plan_reason::PROJECT_UNUSABLE,
        PlanError::DiffGone(_) => plan_reason::DIFF_GONE,
        PlanError::ProjectNotFound(_) => plan_reason::PROJECT_NOT_FOUND,
        PlanError::ActionNotFound(_) => plan_reason::ACTION_NOT_FOUND,
        PlanError::PlanNotFound(_) => plan_reason::PLAN_NOT_FOUND,
        PlanError::ProjectExists(_) => plan_reason::PROJECT_EXISTS,
        PlanError::ActionExists(_) => plan_reason::ACTION_EXISTS,
        PlanError::PlanExists(_) => plan_reason::PLAN_EXISTS,
        PlanError::Invalid(_) => plan_reason::INVALID_REQUEST,
        PlanError::ActionsFromFiles => plan_reason::ACTIONS_FROM_FILES,
        PlanError::StoreUnavailable(_) => plan_reason::STORE_UNAVAILABLE,
        PlanError::ShuttingDown => plan_reason::SHUTTING_DOWN,
        PlanError::Overloaded { .. } => plan_reason::OVERLOADED,
        PlanError::Internal(_) => plan_reason::INTERNAL,
    }
}

/// The error as a status with details.
pub(super) fn status(error: &PlanError) -> Status {
    let mut details = ErrorDetails::new();
    let mut domain = plan_reason::DOMAIN;
    let words = error.to_string();
    let (code, message, metadata) = match error {
        PlanError::Conflict(conflict) => {
            domain = lock_reason::DOMAIN;
            passed_on(&mut details, conflict)
        }
        PlanError::LockServerUnavailable(cause) => {
            details.set_retry_info(Some(RETRY_SOON));
            told(Code::Unavailable, format!("{words}: {cause}"), [(key::WHY, &chain(cause))])
        }
        PlanError::LockLost(plan) => {
            details.set_retry_info(Some(RETRY_SOON));
            told(Code::Unavailable, words, [(key::PLAN_ID, &plan.to_string())])
        }
        PlanError::Transition { plan, error } => transition(words, *plan, error),
        PlanError::UncommittedChanges { project, files } => {
            uncommitted(&mut details, &words, project, files)
        }
        PlanError::ProjectUnusable { project, message } => told(
            Code::FailedPrecondition,
            words,
            [(key::PROJECT, project.as_str()), (key::WHY, message)],
        ),
        PlanError::DiffGone(plan) => {
            told(Code::FailedPrecondition, words, [(key::PLAN_ID, &plan.to_string())])
        }
        PlanError::ProjectNotFound(project) => {
            told(Code::NotFound, words, [(key::PROJECT, project.as_str())])
        }
        PlanError::ActionNotFound(action) => {
            told(Code::NotFound, words, [(key::ACTION, action.as_str())])
        }
        PlanError::PlanNotFound(plan) => {
            told(Code::NotFound, words, [(key::PLAN_ID, &plan.to_string())])
        }
        PlanError::ProjectExists(Project { name, path, .. }) => told(
            Code::AlreadyExists,
            words,
            [(key::PROJECT, name.as_str()), (key::PATH, &path.to_string_lossy())],
        ),
        PlanError::ActionExists(action) => {
            told(Code::AlreadyExists, words, [(key::ACTION, action.as_str())])
        }
        PlanError::PlanExists(plan) => {
            told(Code::AlreadyExists, words, [(key::PLAN_ID, &plan.to_string())])
        }
        PlanError::Invalid(violations) => invalid(&mut details, violations),
        PlanError::ActionsFromFiles => told(Code::PermissionDenied, words, []),
        PlanError::StoreUnavailable(_) => {
            details.set_retry_info(Some(RETRY_SOON));
            let message = format!("{words}; whether the request was carried out is unknown");
            told(Code::Unavailable, message, [])
        }
        PlanError::ShuttingDown => {
            details.set_retry_info(Some(RETRY_SOON));
            told(Code::Unavailable, words, [])
        }
        PlanError::Overloaded { limit, value, what: _ } => {
            details.set_retry_info(Some(RETRY_SOON));
            details.add_quota_failure_violation(*limit, words.as_str());
            let value = value.to_string();
            told(Code::ResourceExhausted, words, [(key::LIMIT, *limit), (key::LIMIT_VALUE, &value)])
        }
        PlanError::Internal(why) => told(Code::Internal, words, [(key::WHY, why.as_str())]),
    };
    details.set_error_info(reason(error), domain, metadata);
    Status::with_error_details(code, message, details)
}

type Told = (Code, String, HashMap<String, String>);

fn told<const N: usize>(code: Code, message: String, metadata: [(&str, &str); N]) -> Told {
    let metadata = metadata.map(|(key, value)| (key.to_owned(), cut(value, MOST_VALUE)));
    (code, cut_for_header(&message, MOST_MESSAGE), metadata.into())
}

/// The lock server's own error, in its own words.
fn passed_on(details: &mut ErrorDetails, conflict: &Conflict) -> Told {
    let time = |moment: Option<prost_types::Timestamp>| moment.map(|moment| moment.to_string());
    let resource = &conflict.resource;
    let mut metadata: HashMap<_, _> = [
        (lock_key::RESOURCE, Some(resource.to_string())),
        (lock_key::HOLDER, Some(conflict.holder.clone())),
        (lock_key::ACQUIRE_TIME, time(conflict.acquire_time)),
        (lock_key::EXPIRE_TIME, time(conflict.expire_time)),
        (lock_key::REMAINING_MS, Some(conflict.remaining.as_millis().to_string())),
        (lock_key::QUEUE_LENGTH, Some(conflict.queue_length.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect();
    for (name, value) in &conflict.metadata {
        metadata.insert(format!("{}{name}", lock_key::HOLDER_PREFIX), value.clone());
    }
    details.set_resource_info(&resource.r#type, &resource.id, &conflict.holder, "");
    details.set_retry_info(conflict.retry_after);
    (Code::FailedPrecondition, conflict.message.clone(), metadata)
}

fn transition(words: String, plan: PlanId, error: &MoveError) -> Told {
    let MoveError { asked, phase, state, why, possible } = error;
    let possible: Vec<_> = possible.iter().map(|one: &Move| one.verb()).collect();
    told(
        Code::FailedPrecondition,
        words,
        [
            (key::PLAN_ID, &plan.to_string()),
            (key::MOVE, asked.verb()),
            (key::PHASE, phase.as_str()),
            (key::STATE, state.as_str()),
            (key::WHY, why),
            (key::POSSIBLE, &possible.join(",")),
        ],
    )
}

fn uncommitted(details: &mut ErrorDetails, words: &str, project: &Name, files: &[String]) -> Told {
    const DESCRIPTION: &str = "has changes that are not committed";
    let shown = &files[..files.len().min(MOST_FILES)];
    let each = MOST_LIST / shown.len().max(1);
    let room = each.saturating_sub(plan_reason::UNCOMMITTED_CHANGES.len() + DESCRIPTION.len());
    // Few files may have long names, and many short ones: neither is cut then.
    let bytes: usize = shown.iter().map(|file| file.len() + each - room).sum();
    let room = if bytes <= MOST_LIST { MOST_LIST } else { room };
    let violation = |file: &String| {
        PreconditionViolation::new(plan_reason::UNCOMMITTED_CHANGES, cut(file, room), DESCRIPTION)
    };
    details.set_precondition_failure(shown.iter().map(violation).collect::<Vec<_>>());
    told(
        Code::FailedPrecondition,
        cut_for_header(words, MOST_BESIDE_LIST),
        [
            (key::PROJECT, project.as_str()),
            (key::FILE_COUNT, &files.len().to_string()),
            (key::FILE, files.first().map_or("", String::as_str)),
        ],
    )
}

fn invalid(details: &mut ErrorDetails, violations: &[Violation]) -> Told {
    let short = |one: &Violation| Violation {
        field: cut(&one.field, MOST_FIELD),
        description: cut(&one.description, MOST_DESCRIPTION),
    };
    let short: Vec<_> = violations.iter().map(short).collect();
    let BadRequest { message, field, description, count } = bad_request(details, &short, MOST_LIST);
    told(
        Code::InvalidArgument,
        cut_for_header(&message, MOST_BESIDE_LIST),
        [
            (key::FIELD, &field),
            (key::DESCRIPTION, &description),
            (key::VIOLATION_COUNT, &count.to_string()),
        ],
    )
}

/// The text, cut to what takes at most so many bytes as a header, where all but
/// plain characters take three each.
fn cut_for_header(text: &str, most: usize) -> String {
    let cost = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b".,:;-_/()'".contains(&byte) { 1 } else { 3 }
    };
    let mut taken = 0;
    let fits = text.bytes().take_while(|&byte| {
        taken += cost(byte);
        taken <= most
    });
    cut(text, fits.count())
}

#[cfg(test)]
mod tests;
