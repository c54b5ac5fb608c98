//! How large a status is on the wire, for tests: default clients drop one of more than 8 KiB.

use tonic::Status;

/// The size of the status as a header list, by which clients limit it: each name and value and 32
/// bytes more (RFC 9113, 6.5.2).
pub fn wire_bytes(status: &Status) -> usize {
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

/// How long a message is once every byte that is no plain character is written as `%XX`. tonic
/// writes a few plain ones so too.
fn percent_encoded(message: &str) -> usize {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !b" \"#%<>`?{}".contains(&byte);
    message.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum()
}
