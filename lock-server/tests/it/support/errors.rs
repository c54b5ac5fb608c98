//! What every error must be, and how large it is on the wire.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// Panics unless the status has this code and exactly one `ErrorInfo`, with
/// our domain and this reason.
#[track_caller]
pub(crate) fn failure(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    assert_eq!(status.code(), code, "{status:?}");
    let inside = pb::Status::decode(status.details()).unwrap();
    assert_eq!(inside.code, i32::from(code), "the code within the details");
    assert_eq!(inside.message, status.message(), "the message within the details");
    let infos = inside.details.iter().filter(|any| any.type_url.ends_with("google.rpc.ErrorInfo"));
    assert_eq!(infos.count(), 1, "{inside:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("lock.v1", reason), "{status:?}");
    details
}

/// The fields that an `INVALID_REQUEST` calls wrong, and what it says of them.
#[track_caller]
pub(crate) fn wrong_fields(status: &Status) -> Vec<(String, String)> {
    let details = failure(status, Code::InvalidArgument, "INVALID_REQUEST");
    let bad_request = details.bad_request().unwrap().field_violations.iter();
    let fields: Vec<_> =
        bad_request.map(|wrong| (wrong.field.clone(), wrong.description.clone())).collect();
    for (field, description) in &fields {
        assert!(!field.is_empty() && !description.is_empty(), "{status:?}");
    }
    fields
}

/// The sorted paths of the fields that an `INVALID_REQUEST` calls wrong.
#[track_caller]
pub(crate) fn wrong(status: &Status) -> Vec<String> {
    let mut paths: Vec<_> = wrong_fields(status).into_iter().map(|(field, _)| field).collect();
    paths.sort();
    paths
}
