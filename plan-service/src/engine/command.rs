//! Runs one step or check of a plan: under a supervisor with the lease's
//! deadline, with its output kept and written as it comes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::run::{Ended, Halt, RAN_OUT, Run, Worked, chain};
use crate::{
    domain::{Moment, Oid, Plan, Problem, ProblemReason, Step, StepState},
    error::PlanError,
    git::Worktree,
    runner::{End, Job, Running, Stop, TailBuffer},
    store::{OutputKey, OutputTail},
};

/// Between two writes of a step's output.
const WRITE_OUTPUT: Duration = Duration::from_millis(250);

/// How a command ended that was not halted.
pub(super) type Outcome = Result<(), Problem>;

impl Run {
    /// Runs the command of a step in a folder, notes its beginning, its output
    /// and how it ended, and says what is wrong with that. A step that succeeded
    /// is still `RUNNING` then: what it changed is not yet committed.
    pub(super) async fn command(&self, key: &OutputKey, folder: &Path) -> Worked<Outcome> {
        self.update(|plan| {
            let step = step_of(plan, key);
            step.begin_again();
            step.state = StepState::Running;
            step.started_at = Some(Moment::now());
        })
        .await?;
        let plan = self.plan().await;
        let step = found(&plan, key).clone();
        let job = Job {
            argv: step.argv.iter().map(OsString::from).collect(),
            cwd: folder.to_owned(),
            env: self.environment(&plan, &step),
            time_limit: step.time_limit,
        };
        self.check()?;
        let end = match self.inner().runner.start(job, self.deadline()).await {
            Ok(running) => self.follow(key, running).await?,
            Err(error) => {
                let problem = Problem::new(ProblemReason::Internal, chain(&error));
                return Ok(Err(problem.in_step(key.name.as_str())));
            }
        };
        let failed = self.judge(key, &step, &end)?;
        self.update(|plan| {
            let step = step_of(plan, key);
            step.ended_at = Some(Moment::now());
            match end {
                End::Exited(code) => step.exit_code = Some(code),
                End::Signaled(signal) => step.signal = Some(signal),
                _ => {}
            }
            if failed.is_some() {
                step.state = StepState::Failed;
            }
        })
        .await?;
        Ok(failed.map_or(Ok(()), Err))
    }

    /// What the command is told beside its own variables.
    fn environment(&self, plan: &Plan, step: &Step) -> BTreeMap<OsString, OsString> {
        let strategy = plan.strategy.as_ref();
        let base = strategy.map(|strategy| strategy.base.to_string()).unwrap_or_default();
        let told = [
            ("PLAN_ID", plan.id.to_string()),
            ("PLAN_PROJECT", plan.project.to_string()),
            ("PLAN_ACTION", plan.action.to_string()),
            ("PLAN_STEP", step.name.to_string()),
            ("PLAN_BASE_COMMIT", base),
            ("LOCK_RESOURCE", format!("plan/{}", plan.id)),
            ("LOCK_OWNER_ID", self.owner_id().to_owned()),
            ("LOCK_FENCING_TOKEN", self.fence.token.to_string()),
        ];
        let own = step.env.iter().map(|(name, value)| (name.into(), value.into()));
        // What is told last counts: no action can make up a token.
        own.chain(told.into_iter().map(|(name, value)| (name.into(), value.into()))).collect()
    }

    /// Takes what the command writes, and ends it when the run is to end.
    async fn follow(&self, key: &OutputKey, mut running: Running) -> Worked<End> {
        let tail = Arc::new(Mutex::new(TailBuffer::new(self.inner().limits.output_tail)));
        let end = tokio::select! {
            biased;
            failed = self.write_output(key, &tail) => return Err(failed),
            end = self.read_output(&mut running, &tail) => end,
        };
        // All of it, once more: a failure of the database must not fail the step.
        self.put_output(key, &tail).await?;
        Ok(end)
    }

    async fn read_output(&self, running: &mut Running, tail: &Mutex<TailBuffer>) -> End {
        let stopped = self.stopped();
        tokio::pin!(stopped);
        let (mut asked, mut killed) = (false, false);
        let killing = &self.inner().killing;
        loop {
            tokio::select! {
                biased;
                () = killing.cancelled(), if !killed => {
                    killed = true;
                    running.stop(Stop::AtOnce);
                }
                () = &mut stopped, if !asked => {
                    asked = true;
                    running.stop(match self.why() {
                        Some(Halt::Cancelled(_) | Halt::Stopping) => Stop::Gently,
                        Some(Halt::LockLost(_)) | None => Stop::AtOnce,
                    });
                }
                output = running.output() => match output {
                    Some(bytes) => tail.lock().unwrap_or_else(PoisonError::into_inner).push(&bytes),
                    None => return running.end().await,
                }
            }
        }
    }

    /// Writes what is new, again and again. Returns only when it may not.
    async fn write_output(&self, key: &OutputKey, tail: &Mutex<TailBuffer>) -> Ended {
        let mut ticks = interval(WRITE_OUTPUT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = 0;
        loop {
            ticks.tick().await;
            let total = tail.lock().unwrap_or_else(PoisonError::into_inner).total_bytes();
            // After a halt the commands are being ended, and that is waited for.
            if total == written || self.check().is_err() {
                continue;
            }
            match self.put_output(key, tail).await {
                Ok(()) => written = total,
                Err(_) if self.check().is_err() => {}
                Err(failed) => return failed,
            }
        }
    }

    async fn put_output(&self, key: &OutputKey, tail: &Mutex<TailBuffer>) -> Worked {
        let output = {
            let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            OutputTail { total_bytes: tail.total_bytes(), tail: tail.tail() }
        };
        match self.inner().store.write_output(self.fence, key, &output).await {
            Err(error) => {
                tracing::warn!(plan.id = %self.fence.plan, error = %chain(&error),
                    "what a step wrote was not kept");
                Ok(())
            }
            written => self.fenced(written),
        }
    }

    /// What is wrong with how a command ended; or that the run was halted.
    fn judge(&self, key: &OutputKey, step: &Step, end: &End) -> Worked<Option<Problem>> {
        let command = step.argv.first().map_or("", String::as_str);
        let (reason, message) = match end {
            End::Exited(0) => return Ok(None),
            // Killed together with everything else: not the step's own fault.
            End::Stopped | End::DeadlinePassed => {
                self.halt(Halt::LockLost(RAN_OUT.to_owned()));
                return Err(Ended::Halted);
            }
            End::Exited(code) => {
                (ProblemReason::StepFailed, format!("{command} exited with code {code}"))
            }
            End::Signaled(signal) => {
                (ProblemReason::StepFailed, format!("{command} was ended by signal {signal}"))
            }
            End::TimedOut => (
                ProblemReason::StepTimedOut,
                format!(
                    "{command} ran for longer than its time_limit of {}",
                    humantime::format_duration(step.time_limit)
                ),
            ),
            End::NotFound(why) | End::NotExecutable(why) => {
                (ProblemReason::ProgramNotFound, why.clone())
            }
            End::SupervisorGone => (
                ProblemReason::Internal,
                format!("the supervisor of {command} was killed, and the step with it"),
            ),
        };
        self.check()?;
        let kind = if key.check { "check" } else { "step" };
        let message = format!("{kind} {}: {message}", step.name);
        Ok(Some(Problem::new(reason, message).in_step(step.name.as_str())))
    }

    /// Notes that a step failed after its command had succeeded.
    pub(super) async fn fail(&self, key: &OutputKey, problem: Problem) -> Ended {
        let failed = self.update(|plan| step_of(plan, key).state = StepState::Failed).await;
        match failed {
            Ok(()) => problem.in_step(key.name.as_str()).into(),
            Err(ended) => ended,
        }
    }

    /// The tree of what a step has left in its worktree; what cannot be read of
    /// that is the step's own problem.
    pub(super) async fn left_by(&self, key: &OutputKey, worktree: &Worktree) -> Worked<Oid> {
        match self.during(worktree.snapshot()).await? {
            Ok(tree) => Ok(tree),
            Err(error) => {
                let problem = match self.planner.repo_of(&self.plan().await).await {
                    // Not the step's fault.
                    Err(gone @ PlanError::ProjectUnusable { .. }) => Problem::new(
                        ProblemReason::ProjectUnusable,
                        format!("{gone}; retry when it is back"),
                    ),
                    _ => Problem::new(
                        ProblemReason::StepFailed,
                        format!(
                            "step {}: what it left cannot be read: {}",
                            key.name,
                            chain(&error)
                        ),
                    ),
                };
                Err(self.fail(key, problem).await)
            }
        }
    }
}

/// The step or check that a key names. Keys are made of the plan's own steps.
pub(super) fn step_of<'a>(plan: &'a mut Plan, key: &OutputKey) -> &'a mut Step {
    let steps = if key.check { &mut plan.checks } else { &mut plan.steps };
    steps.iter_mut().find(|step| step.name == key.name).expect("a key names a step of its plan")
}

fn found<'a>(plan: &'a Plan, key: &OutputKey) -> &'a Step {
    let steps = if key.check { &plan.checks } else { &plan.steps };
    steps.iter().find(|step| step.name == key.name).expect("a key names a step of its plan")
}
