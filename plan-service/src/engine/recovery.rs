//! Plans whose run is gone: `PROCESSING`, and their lock can be taken.
//!
//! Found at start, every so often, and by any move. Under the plan's lock they
//! become `ERRORED`, `INTERRUPTED`; except that a merge which was made is
//! finished, because the project has it already.
//!
//! At start, too, everything in this instance's folder is abandoned: no other
//! process uses it, and this one has not begun.

use std::time::Duration;

use lock_client::LockClient;
use tokio_util::sync::CancellationToken;

use super::{
    Planner,
    apply::{Until, is_made, repair},
    begin::lock_refused,
    git_side::{Dropped, drop_branch},
    locks::Locks,
    run::{Halt, chain, event},
};
use crate::{
    domain::{Fence, Merge, Moment, Phase, Plan, PlanId, Problem, ProblemReason, State},
    error::PlanError,
    git::{Raised, Repo},
    store::{Ending, PlanWrite, StoreError},
};

/// What the recovery says that it does with a plan, in its lock's metadata.
pub(super) const RECOVER: &str = "recover";

/// How many projects are looked through at a time.
const PAGE: u32 = 100;

impl Planner {
    /// What is done once, before the first call is answered: removes what dead
    /// runs of this instance have left in its folder.
    pub async fn recover_at_start(&self) {
        let abandoned = match self.inner.workspace.abandoned().await {
            Ok(abandoned) => abandoned,
            Err(error) => return tracing::warn!(%error, "cannot look for abandoned worktrees"),
        };
        for folder in &abandoned {
            tracing::info!(folder = %folder.display(), "removing an abandoned worktree");
            if let Err(error) = crate::git::remove_folder(folder).await {
                tracing::warn!(folder = %folder.display(), %error, "cannot remove it");
            }
        }
        if let Err(error) = self.clean_projects().await {
            tracing::warn!(error = %chain(&error), "cannot look for what dead runs have left in projects");
        }
    }

    /// Removes from each project what runs have left that nobody will come back
    /// to: worktrees whose folders are gone, and the branches of plans that are
    /// final.
    async fn clean_projects(&self) -> Result<(), PlanError> {
        let mut after = None;
        loop {
            let projects = self.projects(after.as_ref(), PAGE).await?;
            let Some(last) = projects.last() else { return Ok(()) };
            after = Some(last.name.clone());
            for project in &projects {
                let Ok(repo) = self.inner.git.open_to_look(&project.path).await else { continue };
                if let Err(error) = repo.prune_worktrees().await {
                    tracing::warn!(project = %project.name, error = %chain(&error),
                        "cannot tell git of removed worktrees");
                }
                if let Err(error) = self.drop_branches_of_final_plans(&repo).await {
                    tracing::warn!(project = %project.name, error = %chain(&error),
                        "cannot remove the branches of plans that are over");
                }
            }
        }
    }

    /// Those of plans whose project could not be reached when they ended.
    async fn drop_branches_of_final_plans(&self, repo: &Repo) -> Result<(), PlanError> {
        let failed = |error| PlanError::Internal(chain(&error));
        for id in repo.fenced_plans().await.map_err(failed)? {
            // One that is unknown may be another service's.
            let Some(plan) = self.inner.store.plan(id).await? else { continue };
            if !plan.state.is_final() {
                continue;
            }
            let fence = Fence { plan: id, token: plan.fencing_token };
            match drop_branch(repo, &plan, fence).await {
                Ok(Dropped::Gone) => {
                    tracing::info!(plan.id = %id, "removed the branch of a plan that is over");
                }
                Ok(Dropped::Refused) => {}
                Err(error) => tracing::warn!(plan.id = %id, error = %chain(&error),
                    "cannot remove the branch of a plan that is over"),
            }
        }
        Ok(())
    }

    /// Looks for plans whose run is gone, at once and then every so often, until
    /// stopped.
    pub async fn run_recovery(self, stopping: CancellationToken) {
        let mut ticks = tokio::time::interval(self.inner.limits.recovery_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                recovered = self.recover() => match recovered {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "put plans right whose run was gone"),
                    Err(error) => tracing::warn!(error = %chain(&error), "cannot look for plans \
                        whose run is gone"),
                },
            }
        }
    }

    /// Puts plans right whose run is gone, and says how many.
    ///
    /// # Errors
    /// When the store or the lock server is away.
    pub async fn recover(&self) -> Result<u64, PlanError> {
        let mut count = 0;
        for id in self.inner.store.processing_plans().await? {
            if self.inner.runs.contains(id) {
                continue;
            }
            match self.recover_one(id).await {
                Ok(true) => count += 1,
                // Somebody works on it, or has begun to.
                Ok(false) | Err(PlanError::Conflict(_)) => {}
                Err(error @ (PlanError::LockServerUnavailable(_) | PlanError::ShuttingDown)) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(plan.id = %id, error = %chain(&error),
                    "cannot put a plan right whose run is gone"),
            }
        }
        Ok(count)
    }

    async fn recover_one(&self, id: PlanId) -> Result<bool, PlanError> {
        let _place = self.inner.admission.enter()?;
        // A plan whose run lives is left alone: to try its lock could meet the
        // moment at which that run has ended, and be in its next one's way.
        if self.is_locked(id).await? || !self.is_processing(id).await? {
            return Ok(false);
        }
        let owner = self.inner.locks.with_new_owner();
        let plan = self.lock_plan(&owner, id, RECOVER).await?;
        let mut locks = Locks { plan, project: None };
        let settled = async {
            let plan = self.plan(id).await?;
            if plan.state != State::Processing {
                return Ok(false);
            }
            self.settle(plan, &owner, &mut locks).await.map(|_| true)
        }
        .await;
        locks.release().await;
        settled
    }

    async fn is_locked(&self, id: PlanId) -> Result<bool, PlanError> {
        let lock = self.inner.locks.get(("plan", id.to_string())).await.map_err(lock_refused)?;
        Ok(lock.is_some_and(|lock| !lock.stale))
    }

    async fn is_processing(&self, id: PlanId) -> Result<bool, PlanError> {
        Ok(self.plan(id).await?.state == State::Processing)
    }

    /// Puts a plan right that is `PROCESSING` while we hold its lock, and returns
    /// it as it is then. May take the project's lock, too.
    pub(super) async fn settle(
        &self,
        mut plan: Plan,
        owner: &LockClient,
        locks: &mut Locks,
    ) -> Result<Plan, PlanError> {
        let merge = plan.merge.clone().filter(|_| plan.phase == Phase::Apply);
        let applied = match &merge {
            Some(merge) => self.settle_merge(&plan, merge, owner, locks).await?,
            None => false,
        };
        if applied {
            plan.state = State::Applied;
            plan.problem = None;
        } else if plan.state != State::Processing {
            // Its merge was noted and not made; how it ended stands.
            plan.merge = None;
            return Ok(plan);
        } else {
            plan.merge = None;
            plan.state = State::Errored;
            plan.problem = Some(interrupted(&plan));
        }
        plan.run = None;
        plan.ended_by = Some(locks.plan.owner_id().to_owned());
        for step in plan.steps.iter_mut().chain(&mut plan.checks) {
            step.stop(Moment::now());
        }
        let fence = locks.fence(plan.id);
        loop {
            match self.write_settled(&mut plan, fence).await? {
                Ending::Written(_) => return self.plan(plan.id).await,
                Ending::Refused => return Err(PlanError::LockLost(plan.id)),
                // Its run was told, and died before it could act on it.
                Ending::CancelRequested(reason) => {
                    plan.state = State::Cancelled;
                    plan.problem = Some(Halt::Cancelled(reason).problem());
                    self.drop_branch_of(&plan, locks).await;
                }
            }
        }
    }

    async fn write_settled(&self, plan: &mut Plan, fence: Fence) -> Result<Ending, StoreError> {
        plan.updated_at = Moment::now();
        let event = event(plan, fence, &self.inner.instance);
        let write = PlanWrite { event: Some(event), drop_unfinished: true, ..PlanWrite::of(plan) };
        match plan.state.is_final() {
            true => Ok(self.inner.store.write_plan(fence, write).await?.into()),
            false => self.inner.store.end_run(fence, write).await,
        }
    }

    /// Finishes the work tree of merges of other plans of the project, whose runs
    /// are gone: the project's lock is ours, so they are not under way. Their rows
    /// are left to their own recovery.
    pub(super) async fn finish_merges_of_others(
        &self,
        plan: &Plan,
        fence: Fence,
        deadline: &Until,
    ) -> Result<(), PlanError> {
        let merges = self.inner.store.noted_merges(&plan.project).await?;
        if merges.is_empty() {
            return Ok(());
        }
        let repo = self.repo_of(plan).await?;
        // The plan's own was looked at when its lock was taken.
        for (_, merge) in merges.iter().filter(|(id, _)| *id != plan.id) {
            if is_made(&repo, merge).await.map_err(|error| unusable(plan, &error))? {
                self.repair(&repo, merge, fence, plan, deadline.clone()).await?;
            }
        }
        Ok(())
    }

    async fn repair(
        &self,
        repo: &Repo,
        merge: &Merge,
        fence: Fence,
        plan: &Plan,
        deadline: Until,
    ) -> Result<(), PlanError> {
        let repaired = repair(self, repo, merge, &merge.commit, fence, deadline).await;
        repaired.map_err(|message| PlanError::ProjectUnusable {
            project: plan.project.clone(),
            message,
        })
    }

    /// Removes the branch of a plan that ends, if it can be.
    async fn drop_branch_of(&self, plan: &Plan, locks: &Locks) {
        let fence = locks.fence(plan.id);
        let Ok(repo) = self.repo_of(plan).await else { return };
        if let Err(error) = drop_branch(&repo, plan, fence).await {
            tracing::warn!(plan.id = %plan.id, error = %chain(&error), "a plan's branch was not removed");
        }
    }

    /// Finishes a merge that was made by a run that is gone. False when it was
    /// not made.
    async fn settle_merge(
        &self,
        plan: &Plan,
        merge: &Merge,
        owner: &LockClient,
        locks: &mut Locks,
    ) -> Result<bool, PlanError> {
        // If the project cannot be looked at, whether it has the merge is not known:
        // then the plan stays as it is.
        let repo = self.repo_of(plan).await?;
        let failed = |error: crate::git::GitError| unusable(plan, &error);
        let fence = locks.fence(plan.id);
        // From here on the run that is gone cannot make it any more, should it
        // come back.
        if repo.raise_fence(fence).await.map_err(failed)? == Raised::Refused {
            return Err(PlanError::LockLost(plan.id));
        }
        if !is_made(&repo, merge).await.map_err(failed)? {
            return Ok(false);
        }
        if locks.project.is_none() {
            let guard = self.lock_project(owner, &plan.project, plan.id, Duration::ZERO).await?;
            locks.project = Some(guard);
        }
        let repairing = |deadline| self.repair(&repo, merge, fence, plan, deadline);
        locks.telling(repairing).await?;
        drop_branch(&repo, plan, fence).await.map_err(failed)?;
        Ok(true)
    }
}

fn unusable(plan: &Plan, error: &crate::git::GitError) -> PlanError {
    PlanError::ProjectUnusable { project: plan.project.clone(), message: chain(error) }
}

fn interrupted(plan: &Plan) -> Problem {
    let by = plan.run.as_ref().map_or("an instance", |run| run.instance.as_str());
    Problem::new(
        ProblemReason::Interrupted,
        format!("{by} worked on it and is gone: its lock ran out before the phase ended; retry it"),
    )
}
