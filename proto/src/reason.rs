//! The machine-readable part of every error: `google.rpc.ErrorInfo` with the
//! domain [`DOMAIN`], one of the reasons below, and metadata under the keys of
//! [`metadata`].

/// `ErrorInfo.domain` of every error of the lock service.
pub const DOMAIN: &str = "lock.v1";

/// Another owner holds the resource. `FAILED_PRECONDITION`.
pub const LOCK_CONFLICT: &str = "LOCK_CONFLICT";
/// The last grant of the resource was the caller's and has run out. `ABORTED`.
pub const LOCK_EXPIRED: &str = "LOCK_EXPIRED";
/// No live lease of this owner with this token. `ABORTED`.
pub const LOCK_NOT_HELD: &str = "LOCK_NOT_HELD";
/// The resource is free. `NOT_FOUND`.
pub const LOCK_NOT_FOUND: &str = "LOCK_NOT_FOUND";
/// Waiting would close a circle of owners that wait for each other.
/// `FAILED_PRECONDITION`.
pub const DEADLOCK: &str = "DEADLOCK";
/// `ReleaseAll` took the waiting owner out of line. `ABORTED`.
pub const WAIT_CANCELLED: &str = "WAIT_CANCELLED";
/// A field of the request is wrong. `INVALID_ARGUMENT`.
pub const INVALID_REQUEST: &str = "INVALID_REQUEST";
/// The database did not answer in time, or the outcome is unknown. `UNAVAILABLE`.
pub const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
/// This server is stopping: another one may answer. `UNAVAILABLE`.
pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
/// A bound of the server is full. `RESOURCE_EXHAUSTED`.
pub const OVERLOADED: &str = "OVERLOADED";

/// Keys of `ErrorInfo.metadata`.
pub mod metadata {
    /// The resource as `type/id`.
    pub const RESOURCE: &str = "resource";
    /// The owner that holds the resource.
    pub const HOLDER: &str = "holder";
    /// What precedes each key of the holder's own metadata.
    pub const HOLDER_PREFIX: &str = "holder.";
    /// When the holder's lease began, RFC 3339 in UTC.
    pub const ACQUIRE_TIME: &str = "acquire_time";
    /// When the lease runs out or did, RFC 3339 in UTC.
    pub const EXPIRE_TIME: &str = "expire_time";
    /// What is left of the holder's lease, in whole milliseconds, rounded up.
    pub const REMAINING_MS: &str = "remaining_ms";
    /// How many others wait for the resource.
    pub const QUEUE_LENGTH: &str = "queue_length";
    /// The circle that waiting would close: `owner → type/id → owner → …`, from
    /// the caller back to the caller, shortened to fit.
    pub const CYCLE: &str = "cycle";
    /// The fencing token that the call was about; that of now, where a hold has
    /// moved on.
    pub const FENCING_TOKEN: &str = "fencing_token";
    /// The fencing token that was asked for, where `fencing_token` is another
    /// one, that of now.
    pub const ASKED_TOKEN: &str = "asked_token";
    /// The owner that the call was about.
    pub const OWNER_ID: &str = "owner_id";
    /// Who ended the lease by force.
    pub const RELEASED_BY: &str = "released_by";
    /// What they said why.
    pub const RELEASE_REASON: &str = "release_reason";
    /// How many fields of the request are wrong, those beyond the first 40 too.
    pub const VIOLATION_COUNT: &str = "violation_count";
    /// The first field that is wrong.
    pub const FIELD: &str = "field";
    /// What is wrong with it.
    pub const DESCRIPTION: &str = "description";
    /// What is full, where a bound is.
    pub const LIMIT: &str = "limit";
    /// How much fits there.
    pub const LIMIT_VALUE: &str = "limit_value";
}
