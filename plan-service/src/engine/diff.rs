//! What a plan changes, from its base to where its branch is, or was when it was
//! merged.

use super::{Diff, Planner, run::chain};
use crate::{
    domain::{Plan, PlanId, State},
    error::PlanError,
    git::GitError,
};

/// The most files that are named.
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
        let repo = self.repo_of(&plan).await?;
        let failed = |error: GitError| PlanError::ProjectUnusable {
            project: plan.project.clone(),
            message: chain(&error),
        };
        for end in [&base, &head] {
            if repo.resolve(end.as_str()).await.map_err(failed)?.is_none() {
                return Err(gone());
            }
        }
        let patch = repo.patch(&base, &head, max_bytes).await.map_err(failed)?;
        let mut files = repo.changes(&base, &head).await.map_err(failed)?;
        files.truncate(MOST_FILES);
        Ok(Diff { patch: patch.text, truncated: patch.truncated, base, head, files })
    }
}

fn ends(plan: &Plan) -> Option<(crate::domain::Oid, crate::domain::Oid)> {
    let base = plan.strategy.as_ref()?.base.clone();
    Some((base, plan.head.clone()?))
}
