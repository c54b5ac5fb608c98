//! The machine-readable part of the plan service's errors.
//!
//! That is `google.rpc.ErrorInfo` with the domain [`DOMAIN`], one of the reasons
//! below, and metadata under the keys of [`metadata`]. A conflict over a lock is
//! passed on as the lock server told it, with the domain and reason of
//! [`crate::reason`].

/// `ErrorInfo.domain` of the plan service's own errors.
pub const DOMAIN: &str = "plan.v1";

/// The plan cannot make this move. `FAILED_PRECONDITION`.
pub const INVALID_TRANSITION: &str = "INVALID_TRANSITION";
/// The project has changes of its own where the merge would write.
/// `FAILED_PRECONDITION`.
pub const UNCOMMITTED_CHANGES: &str = "UNCOMMITTED_CHANGES";
/// The project's folder cannot be worked with any more. `FAILED_PRECONDITION`.
pub const PROJECT_UNUSABLE: &str = "PROJECT_UNUSABLE";
/// The plan's branch is gone and was not merged. `FAILED_PRECONDITION`.
pub const DIFF_GONE: &str = "DIFF_GONE";
/// No project of this name. `NOT_FOUND`.
pub const PROJECT_NOT_FOUND: &str = "PROJECT_NOT_FOUND";
/// No action of this name. `NOT_FOUND`.
pub const ACTION_NOT_FOUND: &str = "ACTION_NOT_FOUND";
/// No plan of this id. `NOT_FOUND`.
pub const PLAN_NOT_FOUND: &str = "PLAN_NOT_FOUND";
/// The name or the folder is registered. `ALREADY_EXISTS`.
pub const PROJECT_EXISTS: &str = "PROJECT_EXISTS";
/// The name is taken. `ALREADY_EXISTS`.
pub const ACTION_EXISTS: &str = "ACTION_EXISTS";
/// The id is taken. `ALREADY_EXISTS`.
pub const PLAN_EXISTS: &str = "PLAN_EXISTS";
/// A field of the request is wrong. `INVALID_ARGUMENT`.
pub const INVALID_REQUEST: &str = "INVALID_REQUEST";
/// Actions come from files here. `PERMISSION_DENIED`.
pub const ACTIONS_FROM_FILES: &str = "ACTIONS_FROM_FILES";
/// The lock server does not answer: nothing is done unguarded. `UNAVAILABLE`.
pub const LOCK_SERVER_UNAVAILABLE: &str = "LOCK_SERVER_UNAVAILABLE";
/// The plan's lock was lost before the work began: nothing has changed.
/// `UNAVAILABLE`.
pub const LOCK_LOST: &str = "LOCK_LOST";
/// The database did not answer in time, or the outcome is unknown. `UNAVAILABLE`.
pub const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
/// This instance is stopping: another one may answer. `UNAVAILABLE`.
pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
/// A bound of the service is full. `RESOURCE_EXHAUSTED`.
pub const OVERLOADED: &str = "OVERLOADED";
/// A defect of the service. `INTERNAL`.
pub const INTERNAL: &str = "INTERNAL";

/// Keys of `ErrorInfo.metadata`.
pub mod metadata {
    /// The plan that it is about.
    pub const PLAN_ID: &str = "plan_id";
    /// The project that it is about.
    pub const PROJECT: &str = "project";
    /// The action that it is about.
    pub const ACTION: &str = "action";
    /// A folder.
    pub const PATH: &str = "path";
    /// The move that was asked for: `execute`.
    pub const MOVE: &str = "move";
    /// The phase that the plan is in.
    pub const PHASE: &str = "phase";
    /// The state that the plan is in.
    pub const STATE: &str = "state";
    /// Why something is not possible.
    pub const WHY: &str = "why";
    /// The moves that are possible, with commas between: `execute,cancel`.
    pub const POSSIBLE: &str = "possible";
    /// How many files it is about.
    pub const FILE_COUNT: &str = "file_count";
    /// The first of them.
    pub const FILE: &str = "file";
    /// How many fields of the request are wrong.
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
