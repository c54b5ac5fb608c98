//! Steps that run beside each other: each in a worktree of its own from the same
//! commit, so that what each changed is never in doubt, then put on the branch
//! one after the other in the action's order.

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use super::{
    command::Outcome,
    execute::{Site, head_of},
    run::{Ended, Run, Worked},
};
use crate::{
    domain::{Oid, Problem, ProblemReason, RepoPath, files_in_words},
    git::{Merged, Start, Worktree},
    store::{ChangesetHandle, OutputKey},
};

/// A step of the group that has succeeded.
#[derive(Debug)]
struct Done {
    at: usize,
    changeset: ChangesetHandle,
    /// The commit of what it changed, on the group's first commit.
    commit: Oid,
}

impl Run {
    /// Runs the steps of one group. Those that succeed are kept, also when
    /// another one fails.
    pub(super) async fn steps_together(&self, site: &Site, keys: &[OutputKey]) -> Worked {
        let base = head_of(&self.plan().await)?;
        // Changesets are listed in the order in which they are started.
        let mut changesets = Vec::with_capacity(keys.len());
        for key in keys {
            changesets.push(self.start_changeset(key).await?);
        }
        let places = Semaphore::new(self.inner().limits.max_parallel_steps);
        let mut running: FuturesUnordered<_> = keys
            .iter()
            .zip(changesets)
            .enumerate()
            .map(|(at, (key, changeset))| {
                let (places, base) = (&places, &base);
                async move {
                    let _place = self.during(places.acquire()).await?;
                    let worked = self.step_beside(site, key, changeset, base).await?;
                    Ok::<_, Ended>(worked.map(|(commit, changeset)| Done { at, changeset, commit }))
                }
            })
            .collect();
        let mut done = Vec::new();
        let mut failed: Option<Ended> = None;
        while let Some(ended) = running.next().await {
            match ended {
                Ok(Ok(one)) => done.push(one),
                Ok(Err(problem)) => drop(failed.get_or_insert_with(|| problem.into())),
                // The others are halted with it; they are waited for, so that no
                // command outlives this.
                Err(ended) => drop(failed.get_or_insert(ended)),
            }
        }
        self.check()?;
        done.sort_by_key(|one| one.at);
        for one in done {
            self.put_on_branch(site, &keys[one.at], one, &base).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// One step of a group: its commit on the group's first one.
    async fn step_beside(
        &self,
        site: &Site,
        key: &OutputKey,
        changeset: ChangesetHandle,
        base: &Oid,
    ) -> Worked<Result<(Oid, ChangesetHandle), Problem>> {
        let path = self.inner().workspace.worktree(self.fence, &format!("step-{}", key.name));
        let start = Start::Detached(base.clone());
        let worktree = self.git(site.repo.add_worktree(&path, &start)).await?;
        let worked = self.work_beside(site, key, changeset, base, &worktree).await;
        self.remove_worktree(worktree).await;
        match worked {
            Ok(done) => Ok(Ok(done)),
            // A step's own problem does not end its neighbours.
            Err(Ended::Problem(problem)) => Ok(Err(*problem)),
            Err(ended @ Ended::Halted) => Err(ended),
        }
    }

    async fn work_beside(
        &self,
        site: &Site,
        key: &OutputKey,
        changeset: ChangesetHandle,
        base: &Oid,
        worktree: &Worktree,
    ) -> Worked<(Oid, ChangesetHandle)> {
        let outcome: Outcome = self.command(key, worktree.path()).await?;
        outcome?;
        let tree = self.left_by(key, worktree).await?;
        let commit = self.commit_of(site, key, &tree, base).await?;
        let changeset = self.record(site, key, changeset, base, &commit).await?;
        Ok((commit, changeset))
    }

    /// Puts what a step changed on the branch, where its neighbours may have
    /// come first.
    async fn put_on_branch(&self, site: &Site, key: &OutputKey, done: Done, base: &Oid) -> Worked {
        let head = head_of(&self.plan().await)?;
        let commit = if head == *base || done.commit == *base {
            if done.commit == *base { head.clone() } else { done.commit }
        } else {
            match self.git(site.repo.merge_trees(&head, &done.commit)).await? {
                Merged::Clean { tree } => self.commit_of(site, key, &tree, &head).await?,
                Merged::Conflict { files } => {
                    return Err(self.fail(key, clash(key, &files)).await);
                }
            }
        };
        self.move_branch(&site.repo, &commit).await?;
        self.complete(key, done.changeset, commit.clone()).await?;
        self.git(site.main.settle(&site.on_branch, &commit)).await
    }
}

fn clash(key: &OutputKey, files: &[RepoPath]) -> Problem {
    let shown: Vec<_> = files.iter().map(RepoPath::shown).collect();
    Problem::new(
        ProblemReason::StepsConflict,
        format!(
            "step {} changed the same places as a step that ran beside it: {}; a retry runs it \
             again after the others; in a new action, give them different groups",
            key.name,
            files_in_words(&shown)
        ),
    )
    .about(shown)
}
