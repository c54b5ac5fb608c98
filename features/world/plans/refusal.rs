//! A refusal of the plan service, whose form has been checked.

use std::collections::HashMap;

use proto::{plan_reason, reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, ErrorDetails, StatusExt as _};

use crate::answer::shown;

/// What a refusal tells.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) details: ErrorDetails,
}

/// What a reason promises: its code, and whether it says when to try again.
struct Promise {
    code: Code,
    retry: bool,
}

impl Refusal {
    /// Checks what every refusal has in common: exactly one `ErrorInfo` of the
    /// right domain, with a reason that goes with the code, and what the reason
    /// promises beside it.
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.check_error_details_vec().expect("details that decode");
        let infos: Vec<_> = details
            .iter()
            .filter_map(|detail| match detail {
                ErrorDetail::ErrorInfo(info) => Some(info),
                _ => None,
            })
            .collect();
        let [info] = infos.as_slice() else { panic!("not one ErrorInfo: {}", shown(status)) };
        let domain = match info.reason.as_str() {
            reason::LOCK_CONFLICT => reason::DOMAIN,
            _ => plan_reason::DOMAIN,
        };
        assert_eq!(info.domain, domain, "{}", shown(status));
        let details = status.get_error_details();
        let promise = promise(&info.reason);
        assert_eq!(status.code(), promise.code, "{}", shown(status));
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        let says_when = delay.is_some_and(|delay| !delay.is_zero());
        assert_eq!(says_when, promise.retry, "RetryInfo: {}", shown(status));
        assert!(!status.message().is_empty(), "a message for people");
        let refusal =
            Self { reason: info.reason.clone(), metadata: info.metadata.clone(), details };
        refusal.check_details(status);
        refusal
    }

    /// What certain reasons have beside the `ErrorInfo`, and no others.
    fn check_details(&self, status: &Status) {
        let is = |reason: &str| self.reason == reason;
        let (given, words) = (&self.details, shown(status));
        let resource = given.resource_info().is_some_and(|info| !info.owner.is_empty());
        assert_eq!(resource, is(reason::LOCK_CONFLICT), "ResourceInfo: {words}");
        let quota = given.quota_failure().is_some_and(|quota| !quota.violations.is_empty());
        assert_eq!(quota, is(plan_reason::OVERLOADED), "QuotaFailure: {words}");
        let fields = given.bad_request().is_some_and(|bad| !bad.field_violations.is_empty());
        assert_eq!(fields, is(plan_reason::INVALID_REQUEST), "BadRequest: {words}");
        let files = given.precondition_failure().is_some_and(|one| !one.violations.is_empty());
        assert_eq!(files, is(plan_reason::UNCOMMITTED_CHANGES), "PreconditionFailure: {words}");
    }

    /// One entry of the metadata.
    pub(crate) fn told(&self, key: &str) -> &str {
        let told = self.metadata.get(key);
        told.unwrap_or_else(|| panic!("no {key} in the metadata: {:?}", self.metadata))
    }
}

fn promise(of: &str) -> Promise {
    let (code, retry) = match of {
        reason::LOCK_CONFLICT => (Code::FailedPrecondition, true),
        plan_reason::INVALID_TRANSITION
        | plan_reason::UNCOMMITTED_CHANGES
        | plan_reason::PROJECT_UNUSABLE
        | plan_reason::DIFF_GONE => (Code::FailedPrecondition, false),
        plan_reason::PROJECT_NOT_FOUND
        | plan_reason::ACTION_NOT_FOUND
        | plan_reason::PLAN_NOT_FOUND => (Code::NotFound, false),
        plan_reason::PROJECT_EXISTS | plan_reason::ACTION_EXISTS | plan_reason::PLAN_EXISTS => {
            (Code::AlreadyExists, false)
        }
        plan_reason::INVALID_REQUEST => (Code::InvalidArgument, false),
        plan_reason::ACTIONS_FROM_FILES => (Code::PermissionDenied, false),
        plan_reason::LOCK_SERVER_UNAVAILABLE
        | plan_reason::STORE_UNAVAILABLE
        | plan_reason::SHUTTING_DOWN => (Code::Unavailable, true),
        plan_reason::OVERLOADED => (Code::ResourceExhausted, true),
        other => panic!("an unknown reason: {other}"),
    };
    Promise { code, retry }
}
