//! A run: the work on one plan under its lock, and everything it writes.
//!
//! # State
//!
//! A run has the only copy of its plan that is written. Each change is made on a
//! copy, written under the fence, and kept when that succeeded; a refusal means
//! that another run has the plan, and halts this one.
//!
//! # Trust window
//!
//! [`Run::attend`] looks ten times a second at how long the leases are trusted
//! and tells the supervisors of commands. They act by themselves when they are
//! told nothing more.
//!
//! # How it ends
//!
//! Work returns [`Ended`]: a problem of its own, or that the run was halted from
//! outside ([`Halt`]). [`Run::finish`] writes what came of it. That last write
//! is made even after the lease is lost: the fence refuses it if anybody has
//! written since.

use std::{convert::Infallible, future::Future, sync::OnceLock, time::Duration};

use lock_client::LockGuard;
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) use service_kit::text::chain;

use super::{
    Inner, Planner,
    admission::Place,
    apply::is_made,
    locks::{Locks, deadline},
};
use crate::{
    domain::{Event, Fence, Moment, Oid, Phase, Plan, Problem, ProblemReason, State, StepState},
    error::PlanError,
    runner::Deadline,
    store::{ChangesetHandle, Ending, Fenced, OutputKey, PlanWrite, StoreError},
};

/// Between two looks at how long the leases are trusted.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Between two looks for the wish that the plan be cancelled, in [`LOOK`]s.
const LOOKS_TO_CANCEL: u32 = 10;
/// How long the database may take to say whether somebody wants the plan to be
/// cancelled; it is asked again soon.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the last write of a run is tried for after its lease is lost.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// Between two attempts of a write.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a lease is over that nobody has taken away.
pub(super) const RAN_OUT: &str = "its lease ran out, because it could not be renewed in time (was \
                                  the lock server away, or the machine asleep?)";

/// The work on one plan under its lock.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) planner: Planner,
    pub(super) fence: Fence,
    plan: Mutex<Plan>,
    plan_lock: LockGuard,
    project_lock: Option<LockGuard>,
    /// Cancelled when the run is to end, after `why` is set.
    stop: CancellationToken,
    why: OnceLock<Halt>,
    deadline: watch::Sender<Deadline>,
    poke: std::sync::Arc<Notify>,
    _place: Place,
}

/// Why a run is ended from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Its lease is over, or another run has written.
    LockLost(String),
    /// Somebody wants the plan to be cancelled.
    Cancelled(String),
    /// The instance stops.
    Stopping,
}

/// Why work did not come to its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// From outside: see [`Halt`].
    Halted,
    /// By a problem of its own.
    Problem(Box<Problem>),
}

/// What work returns.
pub(super) type Worked<T = ()> = Result<T, Ended>;

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// What a write has beside the plan itself.
#[derive(Debug, Default, Clone)]
pub(super) struct Beside {
    /// Changesets that are complete now.
    pub(super) finished: Vec<(ChangesetHandle, Oid)>,
    /// The plan begins anew.
    pub(super) begin_anew: bool,
    /// A new run begins.
    pub(super) begins: bool,
    /// Steps and checks that run again.
    pub(super) drop_outputs: Vec<OutputKey>,
    /// The run ends.
    pub(super) ends: bool,
}

impl Run {
    pub(super) fn new(planner: Planner, plan: Plan, locks: Locks, place: Place) -> Self {
        let fence = locks.fence(plan.id);
        let (deadline, _) = watch::channel(locks.deadline());
        Self {
            planner,
            fence,
            plan: Mutex::new(plan),
            plan_lock: locks.plan,
            project_lock: locks.project,
            stop: CancellationToken::new(),
            why: OnceLock::new(),
            deadline,
            poke: std::sync::Arc::default(),
            _place: place,
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.planner.inner
    }

    /// The plan as it is now.
    pub(super) async fn plan(&self) -> Plan {
        self.plan.lock().await.clone()
    }

    /// The owner of the plan's lock.
    pub(super) fn owner_id(&self) -> &str {
        self.plan_lock.owner_id()
    }

    /// When commands must be over, told again with each renewal.
    pub(super) fn deadline(&self) -> watch::Receiver<Deadline> {
        self.deadline.subscribe()
    }

    /// Told when somebody wants the plan to be cancelled.
    pub(super) fn poke(&self) -> std::sync::Arc<Notify> {
        self.poke.clone()
    }

    /// Resolves when the run is to end.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Why the run is to end, if it is.
    pub(super) fn why(&self) -> Option<&Halt> {
        self.why.get()
    }

    /// Goes on only while the leases are trusted and nobody wants it to end.
    pub(super) fn check(&self) -> Worked {
        let guards = [Some(&self.plan_lock), self.project_lock.as_ref()];
        for guard in guards.into_iter().flatten() {
            if let Err(lost) = guard.check() {
                self.halt(Halt::LockLost(lost.to_string()));
            }
        }
        if self.stop.is_cancelled() { Err(Ended::Halted) } else { Ok(()) }
    }

    /// The outcome of something that may be dropped when the run is to end.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> Worked<T> {
        self.check()?;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ended::Halted),
            done = work => Ok(done),
        }
    }

    pub(super) fn halt(&self, why: Halt) {
        if self.why.set(why).is_ok() {
            self.stop.cancel();
        }
    }

    /// Watches over the leases and the wish to cancel, for as long as it is
    /// polled.
    pub(super) async fn attend(&self) -> Infallible {
        let plan_lost = self.plan_lock.lost();
        let project_lost = async {
            match &self.project_lock {
                Some(guard) => guard.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(plan_lost, project_lost);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            let ask = tokio::select! {
                biased;
                lost = &mut plan_lost => break self.halt(Halt::LockLost(lost.to_string())),
                lost = &mut project_lost => break self.halt(Halt::LockLost(lost.to_string())),
                () = self.inner().halting.cancelled() => break self.halt(Halt::Stopping),
                () = self.poke.notified() => true,
                _ = looks.tick() => {
                    count = count.wrapping_add(1);
                    if Deadline::now() >= *self.deadline.borrow() {
                        // Also when the machine has slept, which the clock that
                        // leases are trusted by does not see.
                        break self.halt(Halt::LockLost(RAN_OUT.to_owned()));
                    }
                    self.deadline.send_replace(deadline(&self.plan_lock, self.project_lock.as_ref()));
                    count.is_multiple_of(LOOKS_TO_CANCEL)
                }
            };
            if ask {
                let wish = self.inner().store.cancel_requested(self.fence.plan);
                // A slow database must not keep this from the leases.
                if let Ok(Ok(Some(reason))) = timeout(PATIENCE, wish).await {
                    self.halt(Halt::Cancelled(reason));
                }
            }
        }
        std::future::pending().await
    }

    /// Changes the plan.
    pub(super) async fn update(&self, change: impl FnOnce(&mut Plan)) -> Worked {
        self.write(change, Beside::default()).await
    }

    /// Changes the plan and what is beside it, in one write. Tried again while
    /// the database is away, for as long as the run lasts.
    pub(super) async fn write(&self, change: impl FnOnce(&mut Plan), beside: Beside) -> Worked {
        let mut plan = self.plan.lock().await;
        let mut next = plan.clone();
        change(&mut next);
        loop {
            let written = self.during(self.write_once(&plan, &mut next, &beside)).await?;
            match written {
                Ok(Fenced::Written(version)) => {
                    next.version = version;
                    *plan = next;
                    return Ok(());
                }
                Ok(Fenced::Refused) => return Err(self.overtaken()),
                Err(error) => self.try_again("write the plan", &error).await?,
            }
        }
    }

    /// Waits for a moment because the database failed. It is tried for as long as
    /// the run lasts: nothing is lost while its lease is trusted.
    pub(super) async fn try_again(&self, what: &str, error: &StoreError) -> Worked {
        tracing::warn!(plan.id = %self.fence.plan, error = %chain(error), "cannot {what}; trying again");
        self.during(sleep(AGAIN)).await
    }

    /// One attempt to write the plan, with an event if it has moved.
    async fn write_once(
        &self,
        before: &Plan,
        next: &mut Plan,
        beside: &Beside,
    ) -> Result<Fenced, StoreError> {
        let write = self.as_write(before, next, beside);
        self.inner().store.write_plan(self.fence, write).await
    }

    fn as_write<'a>(&self, before: &Plan, next: &'a mut Plan, beside: &Beside) -> PlanWrite<'a> {
        next.updated_at = Moment::now();
        let moved = (before.phase, before.state) != (next.phase, next.state)
            || before.problem != next.problem;
        let event = moved.then(|| self.event(next));
        PlanWrite {
            plan: next,
            event,
            finished: beside.finished.clone(),
            forget_cancel: beside.begins,
            begin_anew: beside.begin_anew,
            drop_unfinished: beside.begins || beside.ends,
            drop_outputs: beside.drop_outputs.clone(),
        }
    }

    fn event(&self, plan: &Plan) -> Event {
        event(plan, self.fence, &self.inner().instance)
    }

    /// Another run has written: this one is over.
    pub(super) fn overtaken(&self) -> Ended {
        self.halt(Halt::LockLost("another run has written the plan since".to_owned()));
        Ended::Halted
    }

    /// What a fenced write of something else came to.
    pub(super) fn fenced(&self, written: Result<Fenced, StoreError>) -> Worked {
        match written {
            Ok(Fenced::Written(_)) => Ok(()),
            Ok(Fenced::Refused) => Err(self.overtaken()),
            Err(error) => Err(store_failed(&error)),
        }
    }

    /// Puts the plan to `PROCESSING`: the first write of the run.
    ///
    /// # Errors
    /// When it is not written: then nothing has begun.
    pub(super) async fn begin(&self, phase: Phase, anew: bool) -> Result<Plan, PlanError> {
        let lost = || PlanError::LockLost(self.fence.plan);
        // While it was waited for the project's lock, say.
        self.check().map_err(|_| lost())?;
        let mut plan = self.plan.lock().await;
        let mut next = plan.clone();
        next.phase = phase;
        next.state = State::Processing;
        next.problem = None;
        next.run = Some(crate::domain::Run {
            owner_id: self.owner_id().to_owned(),
            instance: self.inner().instance.clone(),
            started_at: Moment::now(),
        });
        let mut drop_outputs = Vec::new();
        let steps = next.steps.iter_mut().filter(|step| step.state != StepState::Complete);
        let steps = steps.map(|step| (false, step));
        // What was checked once need not hold for a new merge: all checks run again.
        for (check, step) in steps.chain(next.checks.iter_mut().map(|step| (true, step))) {
            if step.started_at.is_some() {
                drop_outputs.push(OutputKey { check, name: step.name.clone() });
            }
            step.begin_again();
        }
        if anew {
            next.forget_strategy();
            // All go, whosever they are.
            drop_outputs.clear();
        }
        let beside = Beside { begins: true, begin_anew: anew, drop_outputs, ..Beside::default() };
        match self.write_once(&plan, &mut next, &beside).await? {
            Fenced::Written(version) => {
                next.version = version;
                next.fencing_token = self.fence.token;
                next.cancel_requested = None;
                *plan = next.clone();
                Ok(next)
            }
            Fenced::Refused => Err(lost()),
        }
    }

    /// Writes what came of the work: the last write of the run.
    pub(super) async fn finish(
        &self,
        mut state: State,
        mut problem: Option<Problem>,
    ) -> Option<Plan> {
        let give_up = Instant::now() + LAST_WRITE;
        let mut forgotten = false;
        loop {
            if state == State::Cancelled && !forgotten {
                if self.is_merged().await {
                    tracing::warn!(plan.id = %self.fence.plan, "it was to be cancelled, and the \
                        project may have its merge: the recovery decides");
                    return None;
                }
                self.forget_branch().await;
                forgotten = true;
            }
            match self.write_end(state, problem.clone()).await {
                Ok(Ending::Written(_)) => return Some(self.plan().await),
                Ok(Ending::Refused) => {
                    tracing::warn!(plan.id = %self.fence.plan, "another run has the plan: this one \
                        writes nothing more");
                    return None;
                }
                // It came too late to be seen, and is not lost.
                Ok(Ending::CancelRequested(reason)) => {
                    state = State::Cancelled;
                    problem = Some(Halt::Cancelled(reason).problem());
                    continue;
                }
                Err(error) => tracing::warn!(plan.id = %self.fence.plan, error = %chain(&error),
                    "the end of a run was not written; trying again"),
            }
            // With the lease the plan is ours, however long the database is away.
            // Without, the recovery finds it PROCESSING.
            if self.plan_lock.check().is_err() && Instant::now() >= give_up {
                return None;
            }
            sleep(AGAIN).await;
        }
    }

    /// Whether the project has the merge that the plan has noted, or may have it.
    async fn is_merged(&self) -> bool {
        let plan = self.plan().await;
        let Some(merge) = plan.merge.as_ref().filter(|_| plan.phase == Phase::Apply) else {
            return false;
        };
        match self.planner.repo_of(&plan).await {
            Ok(repo) => is_made(&repo, merge).await.unwrap_or(true),
            Err(_) => true,
        }
    }

    /// One attempt to write the end, unless somebody wants the plan to be
    /// cancelled instead.
    async fn write_end(
        &self,
        state: State,
        problem: Option<Problem>,
    ) -> Result<Ending, StoreError> {
        let mut plan = self.plan.lock().await;
        let mut next = plan.clone();
        next.state = state;
        next.problem = problem;
        next.run = None;
        next.ended_by = Some(self.owner_id().to_owned());
        for step in next.steps.iter_mut().chain(&mut next.checks) {
            step.stop(Moment::now());
        }
        let beside = Beside { ends: true, ..Beside::default() };
        let write = self.as_write(&plan, &mut next, &beside);
        let store = &self.inner().store;
        let ending = match state.is_final() {
            true => store.write_plan(self.fence, write).await?.into(),
            false => store.end_run(self.fence, write).await?,
        };
        if let Ending::Written(version) = ending {
            next.version = version;
            next.fencing_token = self.fence.token;
            *plan = next;
        }
        Ok(ending)
    }

    /// Gives the locks back.
    pub(super) async fn release(self) {
        Locks { plan: self.plan_lock, project: self.project_lock }.release().await;
    }
}

impl Halt {
    /// What a plan is told of it.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::LockLost(why) => Problem::new(
                ProblemReason::LockLost,
                format!(
                    "the lock was lost while the phase ran, so its commands were ended: {why}; \
                     retry it"
                ),
            ),
            Self::Cancelled(reason) if reason.is_empty() => {
                Problem::new(ProblemReason::Cancelled, "cancelled")
            }
            Self::Cancelled(reason) => {
                Problem::new(ProblemReason::Cancelled, format!("cancelled: {reason}"))
            }
            Self::Stopping => Problem::new(
                ProblemReason::Interrupted,
                "the instance that worked on it was stopped; retry it",
            ),
        }
    }
}

/// A change of phase or state, for the history.
pub(super) fn event(plan: &Plan, fence: Fence, instance: &str) -> Event {
    Event {
        at: Moment::now(),
        phase: plan.phase,
        state: plan.state,
        problem: plan.problem.clone(),
        fencing_token: fence.token,
        instance: instance.to_owned(),
    }
}

fn store_failed(error: &StoreError) -> Ended {
    Problem::new(ProblemReason::Internal, format!("the database failed: {}", chain(error))).into()
}
