//! What every phase does with the project's repository: open it, raise the
//! fence, forget the branch.

use std::future::Future;

use super::{
    Planner,
    run::{Ended, Run, Worked, chain},
};
use crate::{
    domain::{Fence, Oid, Plan, Problem, ProblemReason, Project},
    error::PlanError,
    git::{From, GitError, Moved, OpenError, Raised, RefMove, Repo},
};

impl std::convert::From<GitError> for Ended {
    fn from(error: GitError) -> Self {
        Problem::new(ProblemReason::GitFailed, chain(&error)).into()
    }
}

impl Planner {
    /// The repository of a plan's project, to look at it or to tidy up.
    pub(super) async fn repo_of(&self, plan: &Plan) -> Result<Repo, PlanError> {
        let project = self.project(&plan.project).await?;
        let opened = self.inner.git.open_to_look(&project.path).await;
        opened.map_err(|error| cannot_open(project, &error))
    }

    /// The same, for work: it must be such that plans can make what they need.
    pub(super) async fn repo_to_work_in(&self, plan: &Plan) -> Result<Repo, PlanError> {
        let project = self.project(&plan.project).await?;
        let opened = self.inner.git.open(&project.path).await;
        opened.map_err(|error| cannot_open(project, &error))
    }
}

impl Run {
    /// The outcome of a git command, given up when the run is to end.
    pub(super) async fn git<T>(
        &self,
        command: impl Future<Output = Result<T, GitError>>,
    ) -> Worked<T> {
        Ok(self.during(command).await??)
    }

    /// The project's repository, as it must be for any work.
    pub(super) async fn repo(&self) -> Worked<Repo> {
        let plan = self.plan().await;
        loop {
            match self.during(self.planner.repo_to_work_in(&plan)).await? {
                Ok(repo) => return Ok(repo),
                Err(PlanError::StoreUnavailable(error)) => {
                    self.try_again("find the project", &error).await?;
                }
                Err(error) => {
                    let reason = ProblemReason::ProjectUnusable;
                    return Err(Problem::new(reason, error.to_string()).into());
                }
            }
        }
    }

    /// The repository with the run's fence raised, and the plan written once
    /// more after that: from here on the run may move refs.
    pub(super) async fn fenced_repo(&self) -> Worked<Repo> {
        let repo = self.repo().await?;
        match self.git(repo.raise_fence(self.fence)).await? {
            Raised::Raised => {}
            Raised::Refused => return Err(self.fence_gone()),
        }
        // A later run may have removed its fence with the branch before this one
        // was raised: the database would refuse this then.
        self.update(|_| {}).await?;
        Ok(repo)
    }

    fn fence_gone(&self) -> Ended {
        let why = "another run has raised the repository's fence since".to_owned();
        self.halt(super::run::Halt::LockLost(why));
        Ended::Halted
    }

    /// Moves refs under the fence. False when one was not where it should have
    /// been.
    pub(super) async fn move_refs(&self, repo: &Repo, moves: &[RefMove]) -> Worked<bool> {
        self.check()?;
        match repo.move_refs(self.fence, moves).await? {
            Moved::Moved => Ok(true),
            Moved::Changed => Ok(false),
            Moved::FenceGone => Err(self.fence_gone()),
        }
    }

    /// Lets the plan's branch point to a commit, wherever it points now.
    pub(super) async fn move_branch(&self, repo: &Repo, to: &Oid) -> Worked {
        let branch = self.plan().await.branch();
        let moves = [RefMove { name: branch, from: From::Anything, to: Some(to.clone()) }];
        match self.move_refs(repo, &moves).await? {
            true => Ok(()),
            false => Err(Problem::new(
                ProblemReason::GitFailed,
                "the plan's branch could not be moved: another program works on it",
            )
            .into()),
        }
    }

    /// Removes the plan's branch and fence. What cannot be removed stays until an
    /// instance starts: it keeps nobody from anything.
    pub(super) async fn forget_branch(&self) {
        let plan = self.plan().await;
        let forgotten = async {
            let repo = self.planner.repo_of(&plan).await.map_err(|error| chain(&error))?;
            drop_branch(&repo, &plan, self.fence).await.map(drop).map_err(|error| chain(&error))
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(plan.id = %plan.id, error, "the plan's branch was not removed");
        }
    }
}

fn cannot_open(project: Project, error: &OpenError) -> PlanError {
    let message = format!("{}: {error}", project.path.display());
    PlanError::ProjectUnusable { project: project.name, message }
}

/// What became of a plan's branch that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Branch and fence are gone.
    Gone,
    /// A later run has raised the fence, and has both.
    Refused,
}

/// Removes a plan's branch, and then the fence by which it is found.
pub(super) async fn drop_branch(
    repo: &Repo,
    plan: &Plan,
    fence: Fence,
) -> Result<Dropped, GitError> {
    if repo.raise_fence(fence).await? == Raised::Refused {
        return Ok(Dropped::Refused);
    }
    let moves = [RefMove { name: plan.branch(), from: From::Anything, to: None }];
    match repo.move_refs(fence, &moves).await? {
        Moved::Moved => repo.drop_fence(fence).await.map(|()| Dropped::Gone),
        Moved::FenceGone | Moved::Changed => Ok(Dropped::Refused),
    }
}
