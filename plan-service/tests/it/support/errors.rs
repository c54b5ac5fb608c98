//! What every error must be.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// Panics unless the status has this code and exactly one `ErrorInfo`, with this
/// domain and reason.
#[track_caller]
pub(crate) fn failure(status: &Status, code: Code, domain: &str, reason: &str) -> ErrorDetails {
    assert_eq!(status.code(), code, "{status:?}");
    let inside = pb::Status::decode(status.details()).unwrap();
    assert_eq!(inside.code, i32::from(code), "the code within the details");
    let infos = inside.details.iter().filter(|any| any.type_url.ends_with("google.rpc.ErrorInfo"));
    assert_eq!(infos.count(), 1, "{inside:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), (domain, reason), "{status:?}");
    details
}

/// Whether it is a conflict over a lock, told as the lock server tells it: with
/// who holds it, and until when.
pub(crate) fn is_conflict(status: &Status) -> bool {
    let details = status.get_error_details();
    details.error_info().is_some_and(|info| {
        status.code() == Code::FailedPrecondition
            && info.domain == "lock.v1"
            && info.reason == "LOCK_CONFLICT"
            && ["resource", "holder", "expire_time"]
                .iter()
                .all(|key| info.metadata.get(*key).is_some_and(|value| !value.is_empty()))
    })
}
