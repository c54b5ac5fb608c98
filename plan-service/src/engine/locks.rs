//! The locks of a run: the plan's, and the project's where it needs that; and
//! until when they are trusted.

use lock_client::LockGuard;
use tokio::{sync::watch, time::sleep};

use super::{apply::Until, run::LOOK};
use crate::{
    domain::{Fence, PlanId},
    runner::Deadline,
};

/// The locks of a run.
#[derive(Debug)]
pub(super) struct Locks {
    pub(super) plan: LockGuard,
    pub(super) project: Option<LockGuard>,
}

impl Locks {
    /// The fence of the plan's lock.
    pub(super) fn fence(&self, plan: PlanId) -> Fence {
        Fence { plan, token: self.plan.fencing_token() }
    }

    /// Until when both are trusted.
    pub(super) fn deadline(&self) -> Deadline {
        deadline(&self.plan, self.project.as_ref())
    }

    /// Does something that is told, for as long as it takes, until when the locks
    /// are trusted.
    pub(super) async fn telling<T>(&self, work: impl AsyncFnOnce(Until) -> T) -> T {
        let (tell, told) = watch::channel(self.deadline());
        let telling = async {
            loop {
                sleep(LOOK).await;
                tell.send_replace(self.deadline());
            }
        };
        tokio::select! {
            done = work(told) => done,
            never = telling => never,
        }
    }

    /// Gives them back, the project's first.
    pub(super) async fn release(self) {
        let Self { plan, project } = self;
        for guard in project.into_iter().chain([plan]) {
            let resource = guard.resource().to_string();
            if let Err(error) = guard.release().await {
                tracing::debug!(resource, %error, "a lock was not given back, but is over");
            }
        }
    }
}

/// Until when the guards are trusted. The clock is read first: a pause between
/// the two looks makes the deadline come sooner, never later.
pub(super) fn deadline(plan: &LockGuard, project: Option<&LockGuard>) -> Deadline {
    let now = Deadline::now();
    let remaining = [Some(plan), project].into_iter().flatten().map(LockGuard::remaining).min();
    now.plus(remaining.unwrap_or_default())
}
