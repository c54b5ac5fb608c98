//! Where projects, actions, plans and changesets are kept: Postgres, SQLite, or
//! memory.
//!
//! # Who writes a plan
//!
//! A plan is one row, and its document is written as a whole by the run that
//! holds the plan's lock: readers never see half a plan, and there is nothing
//! to merge. Each write of a run carries its [`Fence`]: the statement changes
//! the row only where `fencing_token <= fence.token`, and raises it to that. A
//! write that comes after one with a greater token is [`Fenced::Refused`], and
//! has changed nothing: its run has lost the plan. What else belongs to a plan
//! (changesets, output) is written in one transaction with that statement, which
//! comes first.
//!
//! # Changesets
//!
//! Changes are recorded through the [`ChangesetHandle`] that starting a
//! changeset gives, so that none can be recorded before a start, and none into
//! another step's.
//!
//! # Cancel safety
//!
//! Every method may be dropped: what it was to change has then changed as a
//! whole or not at all.

mod connection;
mod connections;
mod database;
mod error;
mod migrations;
mod open;
mod sql_store;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;

use crate::domain::{
    ActionName, ActionTemplate, Change, Changeset, ChangesetId, Event, Fence, Merge, Moment, Name,
    Oid, Phase, Plan, PlanId, Project, State,
};

pub use error::{OpenError, StoreError};
pub use open::{OpenOptions, open};

/// What became of a write that carried a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a write that was refused has not happened"]
pub enum Fenced {
    /// It happened; the plan has this version now.
    Written(u64),
    /// It did not: a run with a greater token has written, or the plan is not
    /// there.
    Refused,
}

/// What became of a new project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddedProject {
    /// It is registered.
    Added,
    /// There is one of this name.
    NameTaken(Project),
    /// The folder is registered under another name.
    PathTaken(Project),
}

/// An action as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAction {
    /// The template.
    pub template: ActionTemplate,
    /// When it was created.
    pub created_at: Moment,
}

/// Which plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanFilter {
    /// Of this project.
    pub project: Option<Name>,
    /// Of this action.
    pub action: Option<ActionName>,
    /// In this phase.
    pub phase: Option<Phase>,
    /// In this state.
    pub state: Option<State>,
}

/// One write of a run to its plan.
#[derive(Debug)]
pub struct PlanWrite<'a> {
    /// The plan as it is to be. Its `fencing_token`, `version` and
    /// `cancel_requested` are not read.
    pub plan: &'a Plan,
    /// The change of phase or state, if it is one.
    pub event: Option<Event>,
    /// Changesets that are complete now, with the commits that hold them.
    pub finished: Vec<(ChangesetHandle, Oid)>,
    /// Drop the wish that the plan be cancelled: a new run begins.
    pub forget_cancel: bool,
    /// Drop all changesets and output: the plan begins anew.
    pub begin_anew: bool,
    /// Drop changesets that were started and not finished: their run is gone.
    pub drop_unfinished: bool,
    /// Drop what these have written: they run again.
    pub drop_outputs: Vec<OutputKey>,
}

impl<'a> PlanWrite<'a> {
    /// Writes the plan and nothing else.
    pub fn of(plan: &'a Plan) -> Self {
        Self {
            plan,
            event: None,
            finished: Vec::new(),
            forget_cancel: false,
            begin_anew: false,
            drop_unfinished: false,
            drop_outputs: Vec::new(),
        }
    }
}

/// A changeset that was started: the only way to record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesetHandle {
    id: ChangesetId,
    fence: Fence,
}

/// The last part of what a step has written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputTail {
    /// How much it has written in all.
    pub total_bytes: u64,
    /// The end of that.
    pub tail: Vec<u8>,
}

/// How far an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputMark {
    /// The token of the run that writes it: with another one it begins anew.
    pub fencing_token: u64,
    /// How much has been written in all.
    pub total_bytes: u64,
}

/// What became of the last write of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a run that is refused must write nothing more"]
pub enum Ending {
    /// Written: the plan's version since.
    Written(u64),
    /// Refused: a run with a greater token has written.
    Refused,
    /// Not written: somebody wants the plan to be cancelled, and why.
    CancelRequested(String),
}

/// Whose output: a step's or a check's, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputKey {
    /// A check and not a step.
    pub check: bool,
    /// Its name.
    pub name: Name,
}

/// The seam between the service and its databases.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// `postgres` or `sqlite`.
    fn engine(&self) -> &'static str;

    /// Whether the database answers.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Closes its connections.
    async fn close(&self);

    /// Registers a project, unless its name or its folder is taken.
    async fn add_project(&self, project: &Project) -> Result<AddedProject, StoreError>;

    /// One project.
    async fn project(&self, name: &Name) -> Result<Option<Project>, StoreError>;

    /// Projects by name, those after a name, at most so many.
    async fn projects(&self, after: Option<&Name>, limit: u32) -> Result<Vec<Project>, StoreError>;

    /// Adds an action; false when its name is taken, and nothing changes.
    async fn add_action(
        &self,
        template: &ActionTemplate,
        created_at: Moment,
    ) -> Result<bool, StoreError>;

    /// One action.
    async fn action(&self, name: &ActionName) -> Result<Option<StoredAction>, StoreError>;

    /// Actions by name, those after a name, at most so many.
    async fn actions(
        &self,
        namespace: Option<&Name>,
        after: Option<&ActionName>,
        limit: u32,
    ) -> Result<Vec<StoredAction>, StoreError>;

    /// Adds a plan under a fence, with its first event; false when its id is
    /// taken, and nothing changes.
    async fn add_plan(&self, plan: &Plan, fence: Fence, event: Event) -> Result<bool, StoreError>;

    /// One plan, with how much each step has written.
    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError>;

    /// The version of a plan: cheap to ask for again and again.
    async fn plan_version(&self, id: PlanId) -> Result<Option<u64>, StoreError>;

    /// Plans, the newest first, those before an id, at most so many.
    async fn plans(
        &self,
        filter: &PlanFilter,
        before: Option<PlanId>,
        limit: u32,
    ) -> Result<Vec<Plan>, StoreError>;

    /// Plans that are `PROCESSING`: by runs that live, and by some that do not.
    async fn processing_plans(&self) -> Result<Vec<PlanId>, StoreError>;

    /// The merges that plans of a project have noted and not finished: those that
    /// are `PROCESSING` or `ERRORED`.
    async fn noted_merges(&self, project: &Name) -> Result<Vec<(PlanId, Merge)>, StoreError>;

    /// How many plans there are in each phase and state.
    async fn count_plans(&self) -> Result<Vec<(Phase, State, u64)>, StoreError>;

    /// Writes a plan under its run's fence. All of the write happens, or none.
    async fn write_plan(&self, fence: Fence, write: PlanWrite<'_>) -> Result<Fenced, StoreError>;

    /// As [`Self::write_plan`], unless somebody wants the plan to be cancelled:
    /// a wish that was noted is not lost with the run that was to hear it.
    async fn end_run(&self, fence: Fence, write: PlanWrite<'_>) -> Result<Ending, StoreError>;

    /// Notes that somebody wants a plan that is `PROCESSING` to be cancelled,
    /// and why. False when it is not `PROCESSING`. Needs no fence: the run reads
    /// it.
    async fn request_cancel(
        &self,
        id: PlanId,
        reason: &str,
        at: Moment,
    ) -> Result<bool, StoreError>;

    /// Why somebody wants the plan to be cancelled, if somebody does.
    async fn cancel_requested(&self, id: PlanId) -> Result<Option<String>, StoreError>;

    /// Starts a changeset of a step; none when the fence refuses it.
    async fn start_changeset(
        &self,
        fence: Fence,
        step: &Name,
        at: Moment,
    ) -> Result<Option<ChangesetHandle>, StoreError>;

    /// Records changes at the end of a changeset, in this order.
    async fn record_changes(
        &self,
        changeset: &ChangesetHandle,
        changes: &[Change],
    ) -> Result<Fenced, StoreError>;

    /// Changesets of a plan in the order of their ids, those after one, at most
    /// so many, each with its first `most_changes` changes.
    async fn changesets(
        &self,
        plan: PlanId,
        after: Option<ChangesetId>,
        limit: u32,
        most_changes: u32,
    ) -> Result<Vec<Changeset>, StoreError>;

    /// Sets what a step has written so far.
    async fn write_output(
        &self,
        fence: Fence,
        key: &OutputKey,
        output: &OutputTail,
    ) -> Result<Fenced, StoreError>;

    /// What all steps and checks of a plan have written.
    async fn outputs(&self, plan: PlanId) -> Result<BTreeMap<OutputKey, OutputTail>, StoreError>;

    /// How far the outputs of a plan are: cheap to ask for again and again.
    async fn output_marks(
        &self,
        plan: PlanId,
    ) -> Result<BTreeMap<OutputKey, OutputMark>, StoreError>;

    /// What one step or check has written, and under which token.
    async fn output(
        &self,
        plan: PlanId,
        key: &OutputKey,
    ) -> Result<Option<(u64, OutputTail)>, StoreError>;

    /// The history of a plan, the oldest first.
    async fn events(&self, plan: PlanId) -> Result<Vec<Event>, StoreError>;
}

impl From<Fenced> for Ending {
    fn from(fenced: Fenced) -> Self {
        match fenced {
            Fenced::Written(version) => Self::Written(version),
            Fenced::Refused => Self::Refused,
        }
    }
}

impl ChangesetHandle {
    /// Its id.
    pub fn id(&self) -> ChangesetId {
        self.id
    }

    /// Under which fence it was started.
    pub fn fence(&self) -> Fence {
        self.fence
    }
}

/// A store, shared by all parts.
pub type SharedStore = Arc<dyn Store>;
