//! Apply: checks, then merges the plan's branch into the project's current
//! branch, all or nothing.
//!
//! # The point of no return
//!
//! Up to the ref transaction nothing of the project has changed. With it the plan
//! is applied: the branch has moved from exactly the commit that the merge was
//! made from. What follows, bringing the project's work tree up to it, is
//! finished by whoever finds the plan if this run does not (`recovery.rs`): the
//! merge is noted in the plan before it is made.

use super::{
    Planner,
    execute::head_of,
    run::{Run, Worked, chain},
};
use crate::{
    domain::{
        Fence, Merge, Oid, Plan, Problem, ProblemReason, RepoPath, StepState, files_in_words,
    },
    error::PlanError,
    git::{From, GitCommand, GitError, Merged, RefMove, Repo, Start},
    runner::{Deadline, End, Job},
    store::OutputKey,
};

/// How often the merge is made anew because the project's branch has moved.
const ATTEMPTS: u32 = 5;
/// How long git may take to bring the work tree up to date.
const SYNC_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

/// Until when what changes the project may run, told again as leases are renewed.
pub(super) type Until = tokio::sync::watch::Receiver<Deadline>;

/// What came of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// Branch and work tree are as they should be.
    Whole,
    /// The branch has moved, and the rest is left to the recovery.
    NotFinished,
}

impl Run {
    /// Checks and merges.
    pub(super) async fn apply(&self) -> Worked<Applied> {
        let repo = self.fenced_repo().await?;
        let plan = self.plan().await;
        let head = head_of(&plan)?;
        // The branch is no more than a name for it, and may have been moved.
        self.move_branch(&repo, &head).await?;
        self.checks(&repo, &plan, &head).await?;
        for _ in 0..ATTEMPTS {
            if let Some(merge) = self.merge(&repo, &plan, &head).await? {
                return self.finish_merge(&repo, &merge).await;
            }
        }
        Err(Problem::new(
            ProblemReason::GitFailed,
            format!("the project's branch moved {ATTEMPTS} times while it was merged; retry"),
        )
        .into())
    }

    /// Runs the checks in a worktree that is thrown away.
    async fn checks(&self, repo: &Repo, plan: &Plan, head: &Oid) -> Worked {
        if plan.checks.is_empty() {
            return Ok(());
        }
        let start = Start::Detached(head.clone());
        let place = self.inner().workspace.worktree(self.fence, "checks");
        let worked = async {
            let worktree = self.git(repo.add_worktree(&place, &start)).await?;
            let worked = self.checks_in(&worktree, plan).await;
            self.remove_worktree(worktree).await;
            worked
        }
        .await;
        self.leave(repo, &worked).await;
        worked
    }

    async fn checks_in(&self, worktree: &crate::git::Worktree, plan: &Plan) -> Worked {
        for check in &plan.checks {
            let key = OutputKey { check: true, name: check.name.clone() };
            if let Err(mut problem) = self.command(&key, worktree.path()).await? {
                problem.reason = ProblemReason::CheckFailed;
                return Err(problem.into());
            }
            self.update(|plan| super::command::step_of(plan, &key).state = StepState::Complete)
                .await?;
        }
        Ok(())
    }

    /// Makes the merge; none when the project's branch has moved meanwhile.
    async fn merge(&self, repo: &Repo, plan: &Plan, head: &Oid) -> Worked<Option<Merge>> {
        let target = self.git(repo.head()).await?;
        let Some(branch) = target.branch else { return Err(detached().into()) };
        let ours = target.commit;
        // After the branch was looked at: a merge that a run which is gone makes
        // from now on moves it, and then ours is refused and made anew.
        self.finish_merges_of_others(plan).await?;
        let tree = match self.git(repo.merge_trees(&ours, head)).await? {
            Merged::Clean { tree } => tree,
            Merged::Conflict { files } => return Err(conflict(&branch, &files).into()),
        };
        let message = format!("Merge plan {}: {}\n\nPlan: {}\n", plan.id, plan.action, plan.id);
        let commit = self.git(repo.commit_tree(&tree, &[&ours, head], &message)).await?;
        let touched = self.git(repo.touched_uncommitted(&ours, &commit)).await?;
        if !touched.is_empty() {
            return Err(uncommitted(&touched).into());
        }
        let merge = Merge { branch: branch.clone(), from: ours.clone(), commit: commit.clone() };
        self.update(|plan| plan.merge = Some(merge.clone())).await?;
        let moves = [RefMove { name: branch, from: From::Exactly(ours), to: Some(commit) }];
        // git may have died after it had moved the branch.
        let made = self.move_refs(repo, &moves).await? || self.git(is_made(repo, &merge)).await?;
        Ok(made.then_some(merge))
    }

    async fn finish_merges_of_others(&self, plan: &Plan) -> Worked {
        let deadline = self.deadline();
        loop {
            let finishing = self.planner.finish_merges_of_others(plan, self.fence, &deadline);
            match self.during(finishing).await? {
                Ok(()) => return Ok(()),
                Err(PlanError::StoreUnavailable(error)) => {
                    self.try_again("look for merges", &error).await?;
                }
                Err(error) => {
                    let reason = ProblemReason::ProjectUnusable;
                    return Err(Problem::new(reason, error.to_string()).into());
                }
            }
        }
    }

    /// After the point of no return. Nothing here makes the plan anything but
    /// applied, except that the merge is taken back as a whole.
    async fn finish_merge(&self, repo: &Repo, merge: &Merge) -> Worked<Applied> {
        match sync(&self.planner, repo, merge, self.deadline()).await {
            Ok(()) => {
                self.forget_branch().await;
                Ok(Applied::Whole)
            }
            Err(error) if self.check().is_err() => {
                tracing::warn!(plan.id = %self.fence.plan, error, "the work tree is not up to date");
                Ok(Applied::NotFinished)
            }
            Err(error) => self.take_back(repo, merge, &error).await,
        }
    }

    /// The work tree could not be brought up to date: somebody changed files in
    /// it at this very moment. The branch goes back to where it was.
    async fn take_back(&self, repo: &Repo, merge: &Merge, why: &str) -> Worked<Applied> {
        let back = RefMove {
            name: merge.branch.clone(),
            from: From::Exactly(merge.commit.clone()),
            to: Some(merge.from.clone()),
        };
        if !self.move_refs(repo, &[back]).await? {
            tracing::warn!(plan.id = %self.fence.plan, why, "the merge has been built on already");
            return Ok(Applied::Whole);
        }
        // Mostly nothing was written: git looks before it writes.
        let back =
            repair(&self.planner, repo, merge, &merge.from, self.fence, self.deadline()).await;
        if let Err(error) = back {
            tracing::warn!(plan.id = %self.fence.plan, error, "the work tree may be half written");
        }
        self.update(|plan| plan.merge = None).await?;
        Err(Problem::new(
            ProblemReason::UncommittedChanges,
            format!(
                "files of the project changed while it was merged, so it was taken back: {why}"
            ),
        )
        .into())
    }
}

impl Planner {
    /// Refuses to apply onto changes that nobody has committed, as far as can be
    /// seen before the merge is made.
    pub(super) async fn refuse_uncommitted_changes(&self, plan: &Plan) -> Result<(), PlanError> {
        let repo = self.repo_to_work_in(plan).await?;
        let look = async {
            let ours = repo.head().await?.commit;
            let Some(head) = plan.head.as_ref() else { return Ok(Vec::new()) };
            match repo.merge_trees(&ours, head).await? {
                Merged::Clean { tree } => repo.touched_uncommitted(&ours, &tree).await,
                // Told by the run, as the plan's state.
                Merged::Conflict { .. } => Ok(Vec::new()),
            }
        };
        let unusable = |error: GitError| PlanError::ProjectUnusable {
            project: plan.project.clone(),
            message: chain(&error),
        };
        match look.await.map_err(unusable)? {
            files if files.is_empty() => Ok(()),
            files => Err(PlanError::UncommittedChanges {
                project: plan.project.clone(),
                files: files.iter().map(RepoPath::shown).collect(),
            }),
        }
    }
}

/// Whether a merge that was noted has been made.
pub(super) async fn is_made(repo: &Repo, merge: &Merge) -> Result<bool, GitError> {
    // It was noted and never made, and git has cleaned up since.
    if repo.resolve(merge.commit.as_str()).await?.is_none() {
        return Ok(false);
    }
    match repo.resolve(&merge.branch).await? {
        Some(tip) => repo.is_ancestor(&merge.commit, &tip).await,
        None => Ok(false),
    }
}

/// Brings the project's work tree from one commit to another, if its branch is
/// there. git runs under a supervisor, so that it does not outlive the lease.
pub(super) async fn sync(
    planner: &Planner,
    repo: &Repo,
    merge: &Merge,
    deadline: Until,
) -> Result<(), String> {
    if !is_checked_out(repo, &merge.branch, &merge.commit).await? {
        return Ok(());
    }
    supervised(planner, repo.sync_work_tree(&merge.from, &merge.commit), deadline).await
}

/// As [`sync`], after one that may have been killed half way. What people have
/// changed since is kept.
pub(super) async fn repair(
    planner: &Planner,
    repo: &Repo,
    merge: &Merge,
    to: &Oid,
    fence: Fence,
    deadline: Until,
) -> Result<(), String> {
    if !is_checked_out(repo, &merge.branch, to).await? {
        return Ok(());
    }
    let found = repo.look_for_repairs(&merge.from, &merge.commit, to).await;
    let found = found.map_err(|error| chain(&error))?;
    for path in &found.kept {
        tracing::warn!(plan.id = %fence.plan, file = path.shown(), "somebody has changed a file \
            of the project since it was merged: it is kept");
    }
    if found.paths.is_empty() {
        return Ok(());
    }
    let written = async {
        let list = planner.inner.workspace.create(fence).await?.join("paths");
        tokio::fs::write(&list, &found.paths).await.map(|()| list)
    };
    let list = written.await.map_err(|error| format!("no folder to work in: {error}"))?;
    let done = supervised(planner, repo.repair_work_tree(to, &list), deadline).await;
    planner.inner.workspace.remove(fence).await;
    done
}

async fn is_checked_out(repo: &Repo, branch: &str, commit: &Oid) -> Result<bool, String> {
    let head = repo.head().await.map_err(|error| chain(&error))?;
    Ok(head.branch.as_deref() == Some(branch) && head.commit == *commit)
}

async fn supervised(planner: &Planner, command: GitCommand, deadline: Until) -> Result<(), String> {
    let job =
        Job { argv: command.argv, cwd: command.cwd, env: command.env, time_limit: SYNC_LIMIT };
    let mut running =
        planner.inner.runner.start(job, deadline).await.map_err(|error| chain(&error))?;
    let mut told = Vec::new();
    while let Some(output) = running.output().await {
        told.extend(output.into_iter().take(4_096_usize.saturating_sub(told.len())));
    }
    match running.end().await {
        End::Exited(0) => Ok(()),
        End::Exited(_) => Err(String::from_utf8_lossy(&told).trim().to_owned()),
        end => Err(format!("git did not come to its end: {end:?}")),
    }
}

fn detached() -> Problem {
    Problem::new(
        ProblemReason::ProjectUnusable,
        "the project is on no branch (its HEAD is detached), so there is nothing to merge into: \
         check a branch out, then retry",
    )
}

fn conflict(branch: &str, files: &[RepoPath]) -> Problem {
    let shown: Vec<_> = files.iter().map(RepoPath::shown).collect();
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    Problem::new(
        ProblemReason::MergeConflict,
        format!(
            "{branch} has changed the same places as the plan in {}; nothing was merged: revert \
             the plan to begin on the new base",
            files_in_words(&shown)
        ),
    )
    .about(shown)
}

fn uncommitted(files: &[RepoPath]) -> Problem {
    let shown: Vec<_> = files.iter().map(RepoPath::shown).collect();
    Problem::new(
        ProblemReason::UncommittedChanges,
        format!(
            "the project has uncommitted changes that the merge would touch: {}; commit them, or \
             stash or move them away, then retry",
            files_in_words(&shown)
        ),
    )
    .about(shown)
}
