//! What a plan changes, from its base to where its branch is, or was when it was
//! merged.

use super::{Planner, run::chain};
use crate::{
    domain::{Diff, Oid, Plan, PlanId, State},
    error::PlanError,
    git::{GitError, Patch},
};

/// The most files that are named, and read.
const MOST_FILES: usize = 10_000;

impl Planner {
    /// The patch and the files of a plan.
    ///
    /// # Errors
    /// When it has executed nothing, or its branch is gone and was not merged.
    pub async fn diff(&self, id: PlanId, max_bytes: usize) -> Result<Diff, PlanError> {
        let plan = self.plan(id).await?;
        let gone = || PlanError::DiffGone(id);
        if plan.state == State::Cancelled {
            return Err(gone());
        }
        let (base, head) = ends(&plan).ok_or_else(gone)?;
        let project = self.project(&plan.project).await?;
        // What is in the way of further plans is not in the way of this.
        let repo = self.inner.git.open_to_look(&project.path).await;
        let repo = repo.map_err(|error| PlanError::ProjectUnusable {
            project: project.name,
            message: format!("{}: {error}", project.path.display()),
        })?;
        let failed = |error: GitError| PlanError::ProjectUnusable {
            project: plan.project.clone(),
            message: chain(&error),
        };
        for end in [&base, &head] {
            if repo.resolve(end.as_str()).await.map_err(failed)?.is_none() {
                return Err(gone());
            }
        }
        let Patch { bytes: patch, truncated } =
            repo.patch(&base, &head, max_bytes).await.map_err(failed)?;
        let (files, file_count) =
            repo.first_changes(&base, &head, MOST_FILES).await.map_err(failed)?;
        Ok(Diff { patch, truncated, base, head, files, file_count })
    }
}

fn ends(plan: &Plan) -> Option<(Oid, Oid)> {
    let base = plan.strategy.as_ref()?.base.clone();
    Some((base, plan.head.clone()?))
}
