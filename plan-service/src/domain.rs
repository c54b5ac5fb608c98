//! The rules of plans, without I/O: names, templates and their values, the
//! table of moves, what a plan is.

mod action;
mod change;
mod expand;
mod moment;
mod name;
mod phase;
mod plan;
mod problem;

pub use action::{
    ActionDraft, ActionTemplate, DEFAULT_TIME_LIMIT, Parameter, ParameterDraft, ParameterType,
    StepDraft, StepTemplate, Violation,
};
pub use change::{Change, ChangeKind, Changeset, Diff, RepoPath};
pub use expand::{check_arguments, expand};
pub use moment::Moment;
pub use name::{ActionName, ChangesetId, Name, NameError, Oid, PlanId};
pub use phase::{Move, MoveError, Phase, State, possible_moves, start};
pub use plan::{Event, Fence, Merge, Plan, Project, Run, Step, StepState, Strategy};
pub use problem::{Problem, ProblemReason, files_in_words};
