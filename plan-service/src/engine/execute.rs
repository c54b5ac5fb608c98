//! Execute: runs the steps in worktrees of the run's own, and commits what each
//! changed on the plan's branch.
//!
//! The order for one step, and why:
//!
//! 1. its command runs, and what differs in its worktree becomes a tree;
//! 2. the changes are recorded through the step's changeset;
//! 3. the commit is made, and the branch moves to it, under the fence;
//! 4. one write of the database completes step, changeset and `head`.
//!
//! The database is the authority. A run that dies between 3 and 4 leaves a branch
//! that is ahead: the next one puts it back to `head` and runs the step again.

use super::{
    command::step_of,
    run::{Beside, Run, Worked},
};
use crate::{
    domain::{
        Change, Moment, Oid, Plan, Problem, ProblemReason, RepoPath, Step, StepState,
        files_in_words,
    },
    git::{Repo, Start, Worktree},
    store::{ChangesetHandle, Fenced, OutputKey, StoreError},
};

/// The most changes that are recorded at a time.
const PART: usize = 10_000;

/// What Execute works with.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) repo: Repo,
    /// The worktree on the plan's branch.
    pub(super) main: Worktree,
    pub(super) on_branch: Start,
}

impl Run {
    /// Runs the steps that are not complete yet.
    pub(super) async fn execute(&self) -> Worked {
        let repo = self.fenced_repo().await?;
        let plan = self.plan().await;
        let head = head_of(&plan)?;
        self.move_branch(&repo, &head).await?;
        let on_branch = Start::Branch(plan.branch());
        let worked = async {
            let place = self.inner().workspace.worktree(self.fence, "plan");
            let main = self.git(repo.add_worktree(&place, &on_branch)).await?;
            let site = Site { repo: repo.clone(), main, on_branch };
            let worked = self.steps(&site, &plan).await;
            self.remove_worktree(site.main).await;
            worked
        }
        .await;
        self.leave(&repo, &worked).await;
        worked
    }

    async fn steps(&self, site: &Site, plan: &Plan) -> Worked {
        self.git(site.main.settle(&site.on_branch, &head_of(plan)?)).await?;
        for group in groups(&plan.steps) {
            let left: Vec<_> = group
                .iter()
                .filter(|step| step.state != StepState::Complete)
                .map(|step| OutputKey { check: false, name: step.name.clone() })
                .collect();
            match left.as_slice() {
                [] => {}
                [key] => self.step_alone(site, key).await?,
                keys => self.steps_together(site, keys).await?,
            }
        }
        // What was complete before may be all there is: the branch is at head.
        self.update(|plan| plan.head = plan.head.clone().or_else(|| base_of(plan))).await
    }

    /// One step in the worktree on the branch.
    async fn step_alone(&self, site: &Site, key: &OutputKey) -> Worked {
        let before = head_of(&self.plan().await)?;
        let changeset = self.start_changeset(key).await?;
        self.command(key, site.main.path()).await??;
        let tree = self.left_by(key, &site.main).await?;
        let commit = self.commit_of(site, key, &tree, &before).await?;
        let changeset = self.record(site, key, changeset, &before, &commit).await?;
        self.move_branch(&site.repo, &commit).await?;
        self.complete(key, changeset, commit.clone()).await?;
        self.git(site.main.settle(&site.on_branch, &commit)).await
    }

    /// Starts a step's changeset, again while the database is away: one whose
    /// answer was lost holds nothing, and goes with the run.
    pub(super) async fn start_changeset(&self, key: &OutputKey) -> Worked<ChangesetHandle> {
        loop {
            let store = &self.inner().store;
            let started = store.start_changeset(self.fence, &key.name, Moment::now());
            match self.during(started).await? {
                Ok(Some(changeset)) => return Ok(changeset),
                Ok(None) => return Err(self.overtaken()),
                Err(error) => self.try_again("start a changeset", &error).await?,
            }
        }
    }

    /// The commit of what a step left behind; the one before, if that is the same.
    pub(super) async fn commit_of(
        &self,
        site: &Site,
        key: &OutputKey,
        tree: &Oid,
        before: &Oid,
    ) -> Worked<Oid> {
        if *tree == self.git(site.repo.tree_of(before)).await? {
            return Ok(before.clone());
        }
        let outward = self.git(site.repo.links_out(before, tree)).await?;
        if !outward.is_empty() {
            return Err(self.fail(key, leads_out(key, &outward)).await);
        }
        let message = format!("{}\n\nPlan: {}\n", key.name, self.fence.plan);
        self.git(site.repo.commit_tree(tree, &[before], &message)).await
    }

    /// Records what a step changed, in its own changeset, and says which that is:
    /// when the database failed, what it has recorded is unknown, and another one
    /// is begun.
    pub(super) async fn record(
        &self,
        site: &Site,
        key: &OutputKey,
        mut changeset: ChangesetHandle,
        from: &Oid,
        to: &Oid,
    ) -> Worked<ChangesetHandle> {
        if from == to {
            return Ok(changeset);
        }
        let changes = self.git(site.repo.changes(from, to)).await?;
        loop {
            match self.during(self.record_all(&changeset, &changes)).await? {
                Ok(Fenced::Written(_)) => return Ok(changeset),
                Ok(Fenced::Refused) => return Err(self.overtaken()),
                Err(error) => self.try_again("record changes", &error).await?,
            }
            changeset = self.start_changeset(key).await?;
        }
    }

    /// Records changes in parts, each of which the database can take in time.
    async fn record_all(
        &self,
        changeset: &ChangesetHandle,
        changes: &[Change],
    ) -> Result<Fenced, StoreError> {
        let mut written = Fenced::Written(0);
        for part in changes.chunks(PART) {
            written = self.inner().store.record_changes(changeset, part).await?;
            if written == Fenced::Refused {
                break;
            }
        }
        Ok(written)
    }

    /// Completes a step: the write that counts.
    pub(super) async fn complete(
        &self,
        key: &OutputKey,
        changeset: ChangesetHandle,
        commit: Oid,
    ) -> Worked {
        let finished = vec![(changeset, commit.clone())];
        let beside = Beside { finished, ..Beside::default() };
        self.write(
            |plan| {
                plan.head = Some(commit.clone());
                let step = step_of(plan, key);
                step.state = StepState::Complete;
                step.commit = Some(commit);
            },
            beside,
        )
        .await
    }

    /// Removes the run's folder. Work that was broken off may have been making a
    /// worktree in it: git is to know of none.
    pub(super) async fn leave(&self, repo: &Repo, worked: &Worked) {
        self.inner().workspace.remove(self.fence).await;
        if worked.is_ok() {
            return;
        }
        let folder = self.inner().workspace.of(self.fence);
        if let Err(error) = repo.forget_worktrees_in(&folder).await {
            tracing::warn!(folder = %folder.display(), error = %super::run::chain(&error),
                "git may still know of a worktree here");
        }
    }

    /// Removes a worktree, whatever is in it. One that stays is removed when the
    /// instance starts again.
    pub(super) async fn remove_worktree(&self, worktree: Worktree) {
        let path = worktree.path().to_owned();
        if let Err(error) = worktree.remove().await {
            tracing::warn!(worktree = %path.display(), error = %super::run::chain(&error),
                "a worktree was not removed");
        }
    }
}

fn leads_out(key: &OutputKey, links: &[RepoPath]) -> Problem {
    let shown: Vec<_> = links.iter().map(RepoPath::shown).collect();
    Problem::new(
        ProblemReason::LinkLeadsOut,
        format!(
            "step {} left symbolic links that lead out of the project: {}; make them relative and \
             keep them inside",
            key.name,
            files_in_words(&shown)
        ),
    )
    .about(shown)
}

fn base_of(plan: &Plan) -> Option<Oid> {
    plan.strategy.as_ref().map(|strategy| strategy.base.clone())
}

/// Where the plan's branch is, by the database.
pub(super) fn head_of(plan: &Plan) -> Worked<Oid> {
    let head = plan.head.clone().or_else(|| base_of(plan));
    head.ok_or_else(|| Problem::new(ProblemReason::Internal, "the plan has no strategy").into())
}

/// Steps that run beside each other: neighbours with the same group.
fn groups(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, next| one.group.is_some() && one.group == next.group)
}
