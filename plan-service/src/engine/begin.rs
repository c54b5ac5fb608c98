//! How a run begins: locks, a look at the plan under them, the table of moves,
//! the first write; and how it ends.

use std::{collections::BTreeMap, time::Duration};

use lock_client::{AcquireOptions, ClientError, Conflict, LockClient, LockGuard, Resource};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Planner,
    admission::Place,
    apply::{Applied, Until},
    locks::Locks,
    recovery::RECOVER,
    run::{Ended, Run, event},
};
use crate::{
    domain::{ActionName, Moment, Move, Name, Phase, Plan, PlanId, State, check_arguments, start},
    error::PlanError,
};

/// How long a run that has written its end may take to give its locks back.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// How long a caller waits for a strategy before it is told that it is under way.
const STRATEGIZING: Duration = Duration::from_secs(5);

/// A run that holds its locks and may begin.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) locks: Locks,
    pub(super) phase: Phase,
    /// Whether the plan begins anew.
    pub(super) anew: bool,
    place: Place,
}

impl Prepared {
    /// The run itself.
    pub(super) fn run(self, planner: &Planner) -> Run {
        Run::new(planner.clone(), self.plan, self.locks, self.place)
    }
}

impl Planner {
    /// Takes the locks that a move needs and looks whether the plan can make it.
    /// May be dropped: the locks go back by themselves.
    pub(super) async fn prepare(
        &self,
        id: PlanId,
        asked: Move,
        project_wait: Duration,
    ) -> Result<Prepared, PlanError> {
        let place = self.inner.admission.enter()?;
        self.plan(id).await?;
        let owner = self.inner.locks.with_new_owner();
        let guard = self.lock_plan(&owner, id, asked.verb()).await?;
        let mut locks = Locks { plan: guard, project: None };
        let looked = self.look(id, asked, project_wait, &owner, &mut locks).await;
        // It may have looked for long.
        let looked = match looked {
            Ok(_) if self.is_stopping() => Err(PlanError::ShuttingDown),
            looked => looked,
        };
        match looked {
            Ok((plan, phase)) => {
                let anew = asked == Move::Revert;
                Ok(Prepared { plan, locks, phase, anew, place })
            }
            Err(error) => {
                // At once, and not whenever the guard's turn in the background
                // comes: the caller may try another move.
                locks.release().await;
                Err(error)
            }
        }
    }

    /// The plan under its lock, and the phase that the move begins.
    async fn look(
        &self,
        id: PlanId,
        asked: Move,
        project_wait: Duration,
        owner: &LockClient,
        locks: &mut Locks,
    ) -> Result<(Plan, Phase), PlanError> {
        let mut plan = self.plan(id).await?;
        let may_be_merged = plan.phase == Phase::Apply && plan.merge.is_some();
        if plan.state == State::Processing || (may_be_merged && !plan.state.is_final()) {
            // Its lock could be taken: its run is gone.
            plan = self.settle(plan, owner, locks).await?;
        }
        let phase = start(asked, plan.phase, plan.state)
            .map_err(|error| PlanError::Transition { plan: id, error })?;
        if phase == Phase::Apply && asked != Move::Cancel {
            if locks.project.is_none() {
                let waiting = self.lock_project(owner, &plan.project, id, project_wait);
                // Who waits in line when the instance stops is told at once, and the
                // plan is free for another instance.
                let guard = tokio::select! {
                    biased;
                    () = self.inner.admission.closed() => return Err(PlanError::ShuttingDown),
                    guard = waiting => guard?,
                };
                locks.project = Some(guard);
            }
            let fence = locks.fence(id);
            let finishing =
                async |deadline: Until| self.finish_merges_of_others(&plan, fence, &deadline).await;
            locks.telling(finishing).await?;
            self.refuse_uncommitted_changes(&plan).await?;
        }
        Ok((plan, phase))
    }

    /// A plan that is about to be made, under the lock of its id.
    pub(super) async fn prepare_new(
        &self,
        action: &ActionName,
        project: &Name,
        arguments: &BTreeMap<String, String>,
        id: Option<PlanId>,
    ) -> Result<Prepared, PlanError> {
        let place = self.inner.admission.enter()?;
        let template = self.action(action).await?.template;
        self.project(project).await?;
        let arguments = check_arguments(&template, arguments).map_err(PlanError::Invalid)?;
        if let Some(id) = id
            && self.inner.store.plan_version(id).await?.is_some()
        {
            return Err(PlanError::PlanExists(id));
        }
        let id = id.unwrap_or_default();
        let owner = self.inner.locks.with_new_owner();
        let guard = self.lock_plan(&owner, id, Move::Strategize.verb()).await?;
        let locks = Locks { plan: guard, project: None };
        let now = Moment::now();
        let plan = Plan {
            id,
            project: project.clone(),
            action: action.clone(),
            template,
            arguments,
            phase: Phase::Action,
            state: State::Queued,
            problem: None,
            created_at: now,
            updated_at: now,
            generation: 1,
            strategy: None,
            steps: Vec::new(),
            checks: Vec::new(),
            head: None,
            merge: None,
            run: None,
            ended_by: None,
            fencing_token: locks.plan.fencing_token(),
            version: 0,
            cancel_requested: None,
        };
        let fence = locks.fence(id);
        let added =
            self.inner.store.add_plan(&plan, fence, event(&plan, fence, &self.inner.instance));
        match added.await {
            Ok(true) => {}
            Ok(false) => {
                locks.release().await;
                return Err(PlanError::PlanExists(id));
            }
            Err(error) => {
                locks.release().await;
                return Err(error.into());
            }
        }
        let phase = start(Move::Strategize, plan.phase, plan.state)
            .map_err(|error| PlanError::Transition { plan: id, error })?;
        Ok(Prepared { plan, locks, phase, anew: false, place })
    }

    /// Begins the run in a task, so that nothing half begun is left when the
    /// caller goes, and returns the plan once it is `PROCESSING`; if all that it
    /// does is to strategize, then mostly when that is done: it takes moments, and
    /// who calls wants to go on from there.
    pub(super) async fn launch(&self, prepared: Prepared) -> Result<Plan, PlanError> {
        let strategizes = prepared.phase == Phase::Strategize;
        let (tell, told) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let planner = self.clone();
        self.inner.tasks.spawn(async move {
            let (phase, anew) = (prepared.phase, prepared.anew);
            let run = prepared.run(&planner);
            match run.begin(phase, anew).await {
                Ok(plan) => {
                    let id = plan.id;
                    // Who asked may be gone; the work goes on all the same.
                    let _ = tell.send(Ok(plan));
                    let listed = planner.inner.runs.list(id, run.poke());
                    work(&run, phase, anew).await;
                    drop(listed);
                    run.release().await;
                    // Only who waits for it hears of it.
                    let _ = end.send(());
                }
                Err(error) => {
                    run.release().await;
                    let _ = tell.send(Err(error));
                }
            }
        });
        let broke_off = |_| Err(PlanError::Internal("a run broke off".to_owned()));
        let begun = told.await.unwrap_or_else(broke_off)?;
        if strategizes && timeout(STRATEGIZING, ended).await.is_ok() {
            return self.plan(begun.id).await;
        }
        Ok(begun)
    }

    /// Takes a plan's lock: at once or not at all.
    pub(super) async fn lock_plan(
        &self,
        owner: &LockClient,
        id: PlanId,
        what: &str,
    ) -> Result<LockGuard, PlanError> {
        let options = AcquireOptions::new()
            .metadata("instance", metadata_value(&self.inner.instance))
            .metadata("plan", id.to_string())
            .metadata("move", what);
        self.lock(owner, Resource::new("plan", id.to_string()), options).await
    }

    /// Takes a project's lock, in line if there is time to wait.
    pub(super) async fn lock_project(
        &self,
        owner: &LockClient,
        project: &Name,
        plan: PlanId,
        wait: Duration,
    ) -> Result<LockGuard, PlanError> {
        let options = AcquireOptions::new()
            .wait(wait)
            .metadata("instance", metadata_value(&self.inner.instance))
            .metadata("plan", plan.to_string());
        self.lock(owner, Resource::new("project", project.as_str()), options).await
    }

    /// Takes a lock. A run that has written its end gives its locks back a moment
    /// later: who has read that end and comes in between waits for it, and is not
    /// told of a conflict with work that is over.
    async fn lock(
        &self,
        owner: &LockClient,
        resource: Resource,
        options: AcquireOptions,
    ) -> Result<LockGuard, PlanError> {
        let refused = match owner.acquire(&resource, options.clone()).await {
            Ok(guard) => return Ok(guard),
            Err(error) => lock_refused(error),
        };
        match refused {
            PlanError::Conflict(conflict) if self.is_ending(&conflict).await => {
                owner.acquire(&resource, options.wait(GIVING_BACK)).await.map_err(lock_refused)
            }
            refused => Err(refused),
        }
    }

    /// Whether the holder is a run that has written its end, or the recovery,
    /// which takes moments.
    async fn is_ending(&self, conflict: &Conflict) -> bool {
        if conflict.metadata.get("move").is_some_and(|what| what == RECOVER) {
            return true;
        }
        let Some(Ok(id)) = conflict.metadata.get("plan").map(|id| PlanId::parse(id)) else {
            return false;
        };
        let plan = self.inner.store.plan(id).await;
        plan.is_ok_and(|plan| {
            plan.is_some_and(|plan| {
                plan.state != State::Processing
                    && plan.ended_by.as_deref() == Some(conflict.holder.as_str())
            })
        })
    }
}

/// The name of an instance as the metadata of a lock takes it.
fn metadata_value(text: &str) -> String {
    const MOST: usize = 256;
    let end = text.floor_char_boundary(MOST.min(text.len()));
    text[..end].chars().filter(|c| !c.is_control()).collect()
}

/// What the lock server's refusal means to the caller.
pub(super) fn lock_refused(error: ClientError) -> PlanError {
    match error {
        ClientError::Conflict(conflict) => PlanError::Conflict(conflict),
        ClientError::Unavailable { .. } => PlanError::LockServerUnavailable(Box::new(error)),
        // The one thing in it that is the caller's.
        ClientError::Invalid { violations, .. }
            if violations.iter().all(|one| one.field == "wait") && !violations.is_empty() =>
        {
            let words = violations.into_iter().map(|one| one.description).collect::<Vec<_>>();
            PlanError::invalid("project_wait", words.join("; "))
        }
        error => PlanError::Internal(format!("the lock server refused: {error}")),
    }
}

/// Does the work of a phase and writes what came of it.
async fn work(run: &Run, phase: Phase, anew: bool) {
    let worked = tokio::select! {
        biased;
        never = run.attend() => match never {},
        worked = in_phase(run, phase, anew) => worked,
    };
    let id = run.fence.plan;
    let (state, problem) = match worked {
        Ok(Some(state)) => (state, None),
        Ok(None) => {
            tracing::warn!(plan.id = %id, "the merge is made and not finished: the recovery will");
            return;
        }
        Err(Ended::Problem(problem)) => (State::of(problem.reason), Some(*problem)),
        Err(Ended::Halted) => {
            let problem = run.why().map(super::run::Halt::problem);
            let state =
                problem.as_ref().map_or(State::Errored, |problem| State::of(problem.reason));
            (state, problem)
        }
    };
    let reason = problem.as_ref().map(|problem| problem.reason.as_str());
    tracing::info!(plan.id = %id, %phase, %state, reason, "a run has ended");
    // Under a lease that is kept alive, if it still is.
    tokio::select! {
        biased;
        never = run.attend() => match never {},
        _plan = run.finish(state, problem) => {}
    }
}

/// The state that the phase ends in; none when a merge is left to the recovery.
async fn in_phase(run: &Run, phase: Phase, anew: bool) -> Result<Option<State>, Ended> {
    let working = run.inner().working.clone();
    let _slot = run.during(working.acquire()).await?;
    match phase {
        Phase::Action | Phase::Strategize => {
            run.strategize(anew).await?;
            Ok(Some(State::Complete))
        }
        Phase::Execute => {
            run.execute().await?;
            Ok(Some(State::Complete))
        }
        Phase::Apply => match run.apply().await? {
            Applied::Whole => Ok(Some(State::Applied)),
            Applied::NotFinished => Ok(None),
        },
    }
}
