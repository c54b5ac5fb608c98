//! Strategize: decides what is going to be done. Reads the project and changes
//! nothing in it, but for the branch of a plan that begins anew.

use super::run::{Run, Worked};
use crate::domain::{Problem, ProblemReason, Strategy, expand};

impl Run {
    /// Pins the base commit and expands the steps.
    pub(super) async fn strategize(&self, anew: bool) -> Worked {
        if anew {
            self.fenced_repo().await?;
            self.forget_branch().await;
        }
        let repo = self.repo().await?;
        let head = self.git(repo.head()).await?;
        let Some(branch) = head.branch else {
            return Err(Problem::new(
                ProblemReason::ProjectUnusable,
                "the project is on no branch (its HEAD is detached), so there would be nothing to \
                 merge into: check a branch out, then retry",
            )
            .into());
        };
        self.update(|plan| {
            plan.steps = expand(&plan.template.steps, &plan.arguments);
            plan.checks = expand(&plan.template.checks, &plan.arguments);
            plan.strategy = Some(Strategy { base: head.commit, branch });
        })
        .await
    }
}
