//! What a caller must know when something was not done. `grpc/status.rs` makes
//! statuses of it, and nothing else does.

use lock_client::{ClientError, Conflict};

use crate::{
    domain::{ActionName, MoveError, Name, PlanId, Project, Violation, files_in_words},
    store::StoreError,
};

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Another run holds the plan's lock, or the project's: as the lock server
    /// told it.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// The lock server does not answer, or will not serve: nothing is done
    /// without a lock.
    #[error("the lock server is not available, and nothing is done without a lock")]
    LockServerUnavailable(#[source] Box<ClientError>),
    /// The plan's lock was lost before the work began: the lease was short, or
    /// the machine slow.
    #[error(
        "the lock of plan {0} was lost before the work began, and nothing has changed: try again"
    )]
    LockLost(PlanId),
    /// The plan cannot make this move.
    #[error("plan {plan}: {error}")]
    Transition {
        /// Which plan.
        plan: PlanId,
        /// Why not, and what is possible.
        error: MoveError,
    },
    /// The project has changes of its own where the merge would write.
    #[error(
        "project {project} has uncommitted changes in {} that the merge would touch: commit them, \
         or stash or move them away, then apply again",
        files_in_words(.files)
    )]
    UncommittedChanges {
        /// Which project.
        project: Name,
        /// The files, as people read them. Never empty.
        files: Vec<String>,
    },
    /// The project's folder cannot be worked with any more.
    #[error("project {project} cannot be worked with: {message}")]
    ProjectUnusable {
        /// Which project.
        project: Name,
        /// Why, and what would be right.
        message: String,
    },
    /// The plan's branch is gone and was not merged.
    #[error("plan {0} has no diff: it has not executed anything, or its branch is gone")]
    DiffGone(PlanId),
    /// No project of this name.
    #[error("there is no project {0}")]
    ProjectNotFound(Name),
    /// No action of this name.
    #[error("there is no action {0}")]
    ActionNotFound(ActionName),
    /// No plan of this id.
    #[error("there is no plan {0}")]
    PlanNotFound(PlanId),
    /// The name is taken, or the folder is registered.
    #[error(
        "project {} is there already, at {}: a project has one name and one folder",
        .0.name, .0.path.display()
    )]
    ProjectExists(Project),
    /// The name is taken.
    #[error("action {0} is there already, and actions do not change: choose another name")]
    ActionExists(ActionName),
    /// The id is taken.
    #[error("plan {0} is there already")]
    PlanExists(PlanId),
    /// The request is wrong: every field that is.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// Actions come from files here.
    #[error("this service loads its actions from files (--allow-actions-from): add one there")]
    ActionsFromFiles,
    /// The database did not answer, or failed.
    #[error("the database failed or did not answer in time")]
    StoreUnavailable(#[source] StoreError),
    /// This instance is stopping.
    #[error("this instance is stopping: try another one, or this one again soon")]
    ShuttingDown,
    /// A bound is full.
    #[error("{value} {what}, which is all that {limit} allows")]
    Overloaded {
        /// The setting.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// Of what.
        what: &'static str,
    },
    /// A defect of the service, or of what it calls.
    #[error("{0}")]
    Internal(String),
}

impl PlanError {
    /// One field that is wrong.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
    }
}
