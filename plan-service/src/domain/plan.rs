//! What a plan is: one document, written as a whole by the run that holds the
//! plan's lock.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ActionName, Moment, Name, Oid, Phase, PlanId, Problem, State, action::ActionTemplate};

/// A git work tree on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The id of its lock.
    pub name: Name,
    /// The top folder, absolute, links resolved.
    pub path: PathBuf,
    /// When it was registered.
    pub created_at: Moment,
}

/// An action used on a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The id of its lock.
    pub id: PlanId,
    /// Where it works.
    pub project: Name,
    /// What it does.
    pub action: ActionName,
    /// The action as it was when the plan was made.
    pub template: ActionTemplate,
    /// The values of its parameters, defaults included.
    pub arguments: BTreeMap<String, String>,
    /// Where it stands.
    pub phase: Phase,
    /// And how.
    pub state: State,
    /// Why it is not well.
    pub problem: Option<Problem>,
    /// When it was made.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
    /// How often it was strategized.
    pub generation: u32,
    /// What was decided.
    pub strategy: Option<Strategy>,
    /// What Execute runs.
    pub steps: Vec<Step>,
    /// What Apply runs before it merges.
    pub checks: Vec<Step>,
    /// The commit that the plan's branch has reached: the authority on it.
    pub head: Option<Oid>,
    /// The merge, noted before it is made.
    pub merge: Option<Merge>,
    /// Who works on it.
    pub run: Option<Run>,
    /// The owner of the lock of the last run that has ended: it gives the lock
    /// back right after it has written that.
    #[serde(default)]
    pub ended_by: Option<String>,
    /// The token under which it was last written. Kept in a column of its own.
    #[serde(skip)]
    pub fencing_token: u64,
    /// Grows with each change. Kept in a column of its own.
    #[serde(skip)]
    pub version: u64,
    /// Why somebody wants it to be cancelled while it runs. Kept in a column of
    /// its own, because it is not the run that writes it.
    #[serde(skip)]
    pub cancel_requested: Option<String>,
}

/// What a plan is going to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// What it starts from.
    pub base: Oid,
    /// The branch that the project was on: `refs/heads/…`.
    pub branch: String,
}

/// A command of a plan, with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique among the plan's steps, and among its checks.
    pub name: Name,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables beside those that the service gives.
    pub env: BTreeMap<String, String>,
    /// How long it may run.
    pub time_limit: Duration,
    /// What it may run beside: the steps next to it with the same.
    pub group: Option<Name>,
    /// How it is.
    pub state: StepState,
    /// The exit code, where the program ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it otherwise.
    pub signal: Option<i32>,
    /// When it began.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// The commit of what it changed; the one before, if that was nothing.
    pub commit: Option<Oid>,
    /// How much it has written. Kept with the output.
    #[serde(skip)]
    pub output_bytes: u64,
}

/// How it is with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepState {
    /// It has not begun.
    Waiting,
    /// Its program runs.
    Running,
    /// It succeeded, and what it changed is committed.
    Complete,
    /// It failed.
    Failed,
    /// It was ended from outside.
    Stopped,
}

/// How a plan is merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// Into which branch: `refs/heads/…`.
    pub branch: String,
    /// What that points to before.
    pub from: Oid,
    /// What it points to afterwards.
    pub commit: Oid,
}

/// Who works on a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The owner of the plan's lock.
    pub owner_id: String,
    /// The instance of the service.
    pub instance: String,
    /// Since when.
    pub started_at: Moment,
}

/// A change of phase or state, as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// The new phase.
    pub phase: Phase,
    /// The new state.
    pub state: State,
    /// Why.
    pub problem: Option<Problem>,
    /// Under which token.
    pub fencing_token: u64,
    /// By which instance.
    pub instance: String,
}

/// What each write of a run carries: it is refused once a run with a greater
/// token has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Whose.
    pub plan: PlanId,
    /// The token of the plan's lock.
    pub token: u64,
}

impl Plan {
    /// The plan's branch.
    pub fn branch(&self) -> String {
        format!("refs/heads/plan/{}", self.id)
    }
}

impl Plan {
    /// Drops what was decided and done: the plan begins anew.
    pub fn forget_strategy(&mut self) {
        self.generation += 1;
        self.strategy = None;
        self.steps.clear();
        self.checks.clear();
        self.head = None;
        self.merge = None;
    }
}

impl Step {
    /// Notes that it was ended from outside, if it runs.
    pub fn stop(&mut self, at: Moment) {
        if self.state == StepState::Running {
            self.state = StepState::Stopped;
            self.ended_at = Some(at);
        }
    }

    /// Forgets that it ran.
    pub fn begin_again(&mut self) {
        self.state = StepState::Waiting;
        self.exit_code = None;
        self.signal = None;
        self.started_at = None;
        self.ended_at = None;
        self.commit = None;
        self.output_bytes = 0;
    }
}
