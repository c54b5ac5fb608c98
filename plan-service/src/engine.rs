//! Carries out what is asked of plans.
//!
//! # Overview
//!
//! Every move is a run (`engine/run.rs`): the plan's lock under a fresh owner, a
//! look at the plan under it, the table of moves, a fenced write to
//! `PROCESSING`, the answer; then the work of the phase (`strategize.rs`,
//! `execute.rs`, `apply.rs`) in a task, and a last fenced write. What only reads
//! takes no lock.
//!
//! # Authority
//!
//! The lock server says who may work. The database says what a plan is, and
//! refuses writes of runs that have been overtaken. The project's repository
//! refuses the same of refs, by the fence ref.
//!
//! # Failure handling
//!
//! A run that loses its lock ends its commands first, marks the plan where the
//! fence lets it, and stops. A run that dies leaves a plan that is `PROCESSING`
//! with a lock that runs out: `recovery.rs`, and any move that finds it, puts it
//! to `ERRORED`.

mod admission;
mod apply;
mod begin;
mod cancel;
mod command;
mod diagnostics;
mod diff;
mod execute;
mod git_side;
mod locks;
mod parallel;
mod recovery;
mod run;
mod runs;
mod strategize;
mod watch;
mod workspace;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::stream::BoxStream;
use lock_client::LockClient;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{admission::Admission, runs::Runs, workspace::Workspace};
use crate::{
    domain::{
        ActionName, ActionTemplate, Changeset, ChangesetId, Event, Moment, Move, Name, Phase, Plan,
        PlanId, Project, State,
    },
    error::PlanError,
    git::Git,
    runner::Runner,
    store::{AddedProject, OutputKey, OutputTail, PlanFilter, SharedStore, StoredAction},
};

/// The most changes of a changeset that are listed.
pub const MOST_CHANGES: u32 = 1_000;

/// The service behind its contract. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Planner {
    inner: Arc<Inner>,
}

/// What a planner works with.
#[derive(Debug)]
pub struct PlannerParts {
    /// Where plans are kept.
    pub store: SharedStore,
    /// The lock server.
    pub locks: LockClient,
    /// How git is called.
    pub git: Git,
    /// How commands are run.
    pub runner: Runner,
    /// This instance's own folder; nobody else uses it.
    pub data_dir: PathBuf,
    /// What this instance is called.
    pub instance: String,
    /// The actions of a folder of files: the only ones then, and `CreateAction` is
    /// off.
    pub actions_from_files: Option<Vec<ActionTemplate>>,
    /// How much at a time.
    pub limits: Limits,
}

/// How much a planner does at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runs that work.
    pub max_runs: usize,
    /// Runs that hold their lock and wait to work.
    pub max_queued_runs: usize,
    /// Steps of one run beside each other.
    pub max_parallel_steps: usize,
    /// Watches.
    pub max_watches: usize,
    /// Bytes that are kept of what a step writes.
    pub output_tail: usize,
    /// Between two looks for plans whose run is gone.
    pub recovery_interval: Duration,
}

#[derive(Debug)]
struct Inner {
    store: SharedStore,
    locks: LockClient,
    git: Git,
    runner: Runner,
    workspace: Workspace,
    instance: String,
    /// Those of a folder of files are the only ones.
    actions_from_files: Option<BTreeMap<ActionName, StoredAction>>,
    limits: Limits,
    /// Who may begin, and whether anybody may.
    admission: Admission,
    /// Who may work.
    working: Arc<Semaphore>,
    /// Tells runs to end now.
    halting: CancellationToken,
    /// Tells them to kill what has not ended yet.
    killing: CancellationToken,
    tasks: TaskTracker,
    runs: Runs,
    watches: Arc<Semaphore>,
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// The plan as it is now.
    Plan(Box<Plan>),
    /// Something that a step, or a check, has written.
    Output {
        /// Whose.
        key: OutputKey,
        /// The token of the run that it was written in: with another one, the
        /// output begins anew.
        fencing_token: u64,
        /// Its place in the whole output.
        offset: u64,
        /// How much before it is not told.
        skipped_bytes: u64,
        /// What was written.
        data: Vec<u8>,
    },
    /// How far it is, when it has been quiet.
    Progress {
        /// Steps of the phase (checks in Apply) that are complete.
        steps_complete: u32,
        /// All of them.
        steps_total: u32,
        /// Where the plan stands.
        phase: Phase,
        /// And how.
        state: State,
    },
}

/// How the service is, and one plan.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    /// As `--instance-name` says.
    pub instance: String,
    /// `postgres` or `sqlite`.
    pub store: &'static str,
    /// Stale locks of plans and of projects; or why the lock server does not say.
    pub lock_server: Result<StaleCounts, String>,
    /// How many plans are where.
    pub plans: Vec<(Phase, State, u64)>,
    /// Runs of this instance that are under way.
    pub active_runs: u32,
    /// The plan that was asked about.
    pub plan: Option<PlanDiagnostics>,
}

/// Leases that ran out and were never released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleCounts {
    /// Of plans.
    pub plans: u64,
    /// Of projects.
    pub projects: u64,
}

/// One plan, from near.
#[derive(Debug, Clone)]
pub struct PlanDiagnostics {
    /// The plan.
    pub plan: Plan,
    /// Its history, the oldest first.
    pub events: Vec<Event>,
    /// What its steps and checks have written last.
    pub outputs: BTreeMap<OutputKey, OutputTail>,
    /// Its lock, where somebody has it and the lock server answers.
    pub lock: Option<lock_client::Lock>,
    /// Why nothing is known of it.
    pub lock_error: Option<String>,
}

impl Planner {
    /// With these parts. It does nothing by itself: see
    /// [`Self::recover_at_start`] and [`Self::run_recovery`].
    pub fn start(parts: PlannerParts) -> Self {
        let limits = parts.limits;
        let created_at = Moment::now();
        let of_file = |template: ActionTemplate| {
            (template.name.clone(), StoredAction { template, created_at })
        };
        let inner = Inner {
            store: parts.store,
            locks: parts.locks,
            git: parts.git,
            runner: parts.runner,
            workspace: Workspace::new(&parts.data_dir),
            instance: parts.instance,
            actions_from_files: parts
                .actions_from_files
                .map(|actions| actions.into_iter().map(of_file).collect()),
            limits,
            admission: Admission::new(limits.max_runs, limits.max_queued_runs),
            working: Arc::new(Semaphore::new(limits.max_runs)),
            halting: CancellationToken::new(),
            killing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runs: Runs::default(),
            watches: Arc::new(Semaphore::new(limits.max_watches)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes a work tree known.
    ///
    /// # Errors
    /// When the folder is no work tree with a commit, or name or folder are
    /// taken.
    pub async fn register_project(&self, name: Name, path: PathBuf) -> Result<Project, PlanError> {
        let repo = match self.inner.git.open(&path).await {
            Ok(repo) => repo,
            Err(error) => return Err(PlanError::invalid("path", error.to_string())),
        };
        let project = Project { name, path: repo.root().to_owned(), created_at: Moment::now() };
        match self.inner.store.add_project(&project).await? {
            AddedProject::Added => Ok(project),
            AddedProject::NameTaken(there) | AddedProject::PathTaken(there) => {
                Err(PlanError::ProjectExists(there))
            }
        }
    }

    /// One project.
    ///
    /// # Errors
    /// When there is none.
    pub async fn project(&self, name: &Name) -> Result<Project, PlanError> {
        let found = self.inner.store.project(name).await?;
        found.ok_or_else(|| PlanError::ProjectNotFound(name.clone()))
    }

    /// Projects by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn projects(
        &self,
        after: Option<&Name>,
        limit: u32,
    ) -> Result<Vec<Project>, PlanError> {
        Ok(self.inner.store.projects(after, limit).await?)
    }

    /// Adds an action.
    ///
    /// # Errors
    /// When its name is taken, or actions come from files.
    pub async fn create_action(&self, template: ActionTemplate) -> Result<StoredAction, PlanError> {
        if self.inner.actions_from_files.is_some() {
            return Err(PlanError::ActionsFromFiles);
        }
        let created_at = Moment::now();
        match self.inner.store.add_action(&template, created_at).await? {
            true => Ok(StoredAction { template, created_at }),
            false => Err(PlanError::ActionExists(template.name)),
        }
    }

    /// One action.
    ///
    /// # Errors
    /// When there is none.
    pub async fn action(&self, name: &ActionName) -> Result<StoredAction, PlanError> {
        let found = match &self.inner.actions_from_files {
            Some(actions) => actions.get(name).cloned(),
            None => self.inner.store.action(name).await?,
        };
        found.ok_or_else(|| PlanError::ActionNotFound(name.clone()))
    }

    /// Actions by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn actions(
        &self,
        namespace: Option<&Name>,
        after: Option<&ActionName>,
        limit: u32,
    ) -> Result<Vec<StoredAction>, PlanError> {
        let Some(actions) = &self.inner.actions_from_files else {
            return Ok(self.inner.store.actions(namespace, after, limit).await?);
        };
        let listed = actions.values().filter(|action| {
            let name = &action.template.name;
            after.is_none_or(|after| name.as_str() > after.as_str())
                && namespace.is_none_or(|namespace| name.namespace() == namespace.as_str())
        });
        Ok(listed.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    /// One plan.
    ///
    /// # Errors
    /// When there is none.
    pub async fn plan(&self, id: PlanId) -> Result<Plan, PlanError> {
        self.inner.store.plan(id).await?.ok_or(PlanError::PlanNotFound(id))
    }

    /// Plans, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn plans(
        &self,
        filter: &PlanFilter,
        before: Option<PlanId>,
        limit: u32,
    ) -> Result<Vec<Plan>, PlanError> {
        Ok(self.inner.store.plans(filter, before, limit).await?)
    }

    /// Makes a plan and strategizes it.
    ///
    /// # Errors
    /// When there is no such action or project, an argument is wrong, or the
    /// lock cannot be had.
    pub async fn use_action(
        &self,
        action: &ActionName,
        project: &Name,
        arguments: &BTreeMap<String, String>,
        id: Option<PlanId>,
    ) -> Result<Plan, PlanError> {
        let prepared = self.prepare_new(action, project, arguments, id).await?;
        self.launch(prepared).await
    }

    /// Runs the steps.
    ///
    /// # Errors
    /// When the plan cannot make the move, or its lock cannot be had.
    pub async fn execute(&self, id: PlanId) -> Result<Plan, PlanError> {
        self.make(id, Move::Execute, Duration::ZERO).await
    }

    /// Checks and merges, waiting so long for the project's lock.
    ///
    /// # Errors
    /// When the plan cannot make the move, a lock cannot be had, or the project
    /// has changes of its own in the way.
    pub async fn apply(&self, id: PlanId, project_wait: Duration) -> Result<Plan, PlanError> {
        self.make(id, Move::Apply, project_wait).await
    }

    /// Goes back to a new strategy.
    ///
    /// # Errors
    /// When the plan cannot make the move, or its lock cannot be had.
    pub async fn revert(&self, id: PlanId) -> Result<Plan, PlanError> {
        self.make(id, Move::Revert, Duration::ZERO).await
    }

    /// Runs the phase again.
    ///
    /// # Errors
    /// When the plan cannot make the move, or a lock cannot be had.
    pub async fn retry(&self, id: PlanId, project_wait: Duration) -> Result<Plan, PlanError> {
        self.make(id, Move::Retry, project_wait).await
    }

    async fn make(&self, id: PlanId, asked: Move, wait: Duration) -> Result<Plan, PlanError> {
        let prepared = self.prepare(id, asked, wait).await?;
        self.launch(prepared).await
    }

    /// Follows a plan.
    ///
    /// # Errors
    /// When there is none, or too many watch.
    pub async fn watch(
        &self,
        id: PlanId,
        until_rest: bool,
    ) -> Result<BoxStream<'static, Result<WatchEvent, PlanError>>, PlanError> {
        watch::watch(self, id, until_rest).await
    }

    /// What a plan's steps changed, each with its first [`MOST_CHANGES`] changes.
    ///
    /// # Errors
    /// When there is no such plan.
    pub async fn changesets(
        &self,
        id: PlanId,
        after: Option<ChangesetId>,
        limit: u32,
    ) -> Result<Vec<Changeset>, PlanError> {
        self.plan(id).await?;
        Ok(self.inner.store.changesets(id, after, limit, MOST_CHANGES).await?)
    }

    /// Stops: refuses new work at once, gives what is under way most of the
    /// grace, then ends it and marks its plans. All locks are released.
    pub async fn stop(&self, grace: Duration) {
        let inner = &self.inner;
        self.refuse();
        inner.tasks.close();
        // Ending takes its time, too: commands are asked first.
        let patience = grace.saturating_sub((grace / 4).min(Duration::from_secs(5)));
        if tokio::time::timeout(patience, inner.tasks.wait()).await.is_err() {
            tracing::warn!("the grace is over: runs under way are ended");
            inner.halting.cancel();
        }
        // Half of the rest for commands to end, half to mark their plans.
        let rest = (grace - patience) / 2;
        if tokio::time::timeout(rest, inner.tasks.wait()).await.is_err() {
            inner.killing.cancel();
            if tokio::time::timeout(rest, inner.tasks.wait()).await.is_err() {
                tracing::warn!("a run did not end; its lock runs out by itself");
            }
        }
        if tokio::time::timeout(Duration::from_secs(1), inner.locks.flush()).await.is_err() {
            tracing::debug!("the lock server was not told of every release");
        }
    }

    /// Refuses new work from now on, and tells those who wait to begin.
    pub fn refuse(&self) {
        self.inner.admission.close();
    }

    /// Resolves when no new work is taken any more.
    pub async fn refuses(&self) {
        self.inner.admission.closed().await;
    }

    /// Whether no new work is taken.
    pub fn is_stopping(&self) -> bool {
        self.inner.admission.is_closed()
    }
}
