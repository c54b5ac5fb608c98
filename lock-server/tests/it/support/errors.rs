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

/// The size of the status as a header list, by which clients limit it: each
/// name and value and 32 bytes more (RFC 9113, 6.5.2).
pub(crate) fn wire_bytes(status: &Status) -> usize {
    let code = i32::from(status.code()).to_string();
    let details = status.details().len().div_ceil(3) * 4;
    [
        (":status", 3),
        ("content-type", "application/grpc".len()),
        ("date", "Sat, 21 Nov 2026 02:47:00 GMT".len()),
        ("grpc-status", code.len()),
        ("grpc-message", percent_encoded(status.message())),
        ("grpc-status-details-bin", details),
    ]
    .iter()
    .map(|(name, value)| name.len() + value + 32)
    .sum()
}

/// How long a message is once every byte that is no plain character is written
/// as `%XX`. tonic writes a few plain ones so too.
fn percent_encoded(message: &str) -> usize {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !b" \"#%<>`?{}".contains(&byte);
    message.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum()
}
