//! Ends a plan. One that rests is ended here, under its lock. One that runs is
//! ended by its run, which reads the wish from the database: it may be another
//! instance's.

use std::time::Duration;

use tokio::{sync::oneshot, time::sleep};

use super::{Planner, begin::Prepared, run::Halt};
use crate::{
    domain::{Moment, Move, Plan, PlanId, State},
    error::PlanError,
};

/// How often a plan is looked at that somebody holds and that is not
/// `PROCESSING`: it is about to be, or was.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

impl Planner {
    /// Ends a plan: it is `CANCELLED`, or its run has been told.
    ///
    /// # Errors
    /// When it is final already, or its lock cannot be had.
    pub async fn cancel(&self, id: PlanId, reason: &str) -> Result<Plan, PlanError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.prepare(id, Move::Cancel, Duration::ZERO).await {
                Ok(prepared) => return self.cancel_at_rest(prepared, reason).await,
                // A full instance can still tell a run to end.
                Err(refused @ (PlanError::Conflict(_) | PlanError::Overloaded { .. })) => {
                    if self.inner.store.request_cancel(id, reason, Moment::now()).await? {
                        self.inner.runs.poke(id);
                        return self.plan(id).await;
                    }
                    if attempt == ATTEMPTS {
                        return Err(refused);
                    }
                }
                Err(error) => return Err(error),
            }
            sleep(BETWEEN).await;
        }
    }

    /// In a task: a caller that goes does not leave it half done.
    async fn cancel_at_rest(&self, prepared: Prepared, reason: &str) -> Result<Plan, PlanError> {
        let (tell, told) = oneshot::channel();
        let problem = Halt::Cancelled(reason.to_owned()).problem();
        let (planner, id) = (self.clone(), prepared.plan.id);
        self.inner.tasks.spawn(async move {
            let run = prepared.run(&planner);
            let plan = run.finish(State::Cancelled, Some(problem)).await;
            run.release().await;
            // Who asked may be gone.
            let _ = tell.send(plan.ok_or(PlanError::LockLost(id)));
        });
        told.await.unwrap_or_else(|_| Err(PlanError::Internal("a run broke off".to_owned())))
    }
}
