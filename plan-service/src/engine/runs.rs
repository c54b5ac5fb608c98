//! The runs of this instance that are under way: so that one can be told that
//! somebody wants it to end, and so that the recovery leaves them alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::PlanId;

/// Who works on which plan. Cheap to clone.
#[derive(Debug, Default, Clone)]
pub(super) struct Runs {
    listed: Arc<Mutex<HashMap<PlanId, Arc<Notify>>>>,
}

/// A run is listed for as long as this lives, however it ends.
#[derive(Debug)]
pub(super) struct Listed {
    runs: Runs,
    plan: PlanId,
    poke: Arc<Notify>,
}

impl Runs {
    /// Lists a run, by what it is poked with.
    #[must_use = "the run is listed as long as this lives"]
    pub(super) fn list(&self, plan: PlanId, poke: Arc<Notify>) -> Listed {
        self.lock().insert(plan, poke.clone());
        Listed { runs: self.clone(), plan, poke }
    }

    /// Tells the plan's run to look for the wish to cancel at once, if it is one
    /// of these.
    pub(super) fn poke(&self, plan: PlanId) {
        if let Some(poke) = self.lock().get(&plan) {
            poke.notify_one();
        }
    }

    /// Whether a run of this instance has the plan.
    pub(super) fn contains(&self, plan: PlanId) -> bool {
        self.lock().contains_key(&plan)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PlanId, Arc<Notify>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut listed = self.runs.lock();
        // One that has lost its lock may still be ending when the plan's next run
        // is here already.
        if listed.get(&self.plan).is_some_and(|poke| Arc::ptr_eq(poke, &self.poke)) {
            listed.remove(&self.plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_breaks_off_is_not_listed_any_more() {
        let (runs, plan) = (Runs::default(), PlanId::default());
        let listed = runs.list(plan, Arc::default());
        assert!(runs.contains(plan));
        let broken = tokio::spawn(async move {
            let _listed = listed;
            panic!("a run breaks off");
        });
        assert!(broken.await.unwrap_err().is_panic());
        assert_eq!((runs.contains(plan), runs.len()), (false, 0));
    }

    #[tokio::test]
    async fn a_run_that_ends_late_leaves_the_next_one_listed() {
        let (runs, plan) = (Runs::default(), PlanId::default());
        let late = runs.list(plan, Arc::default());
        let poke = Arc::new(Notify::new());
        let next = runs.list(plan, poke.clone());
        drop(late);
        assert!(runs.contains(plan));
        runs.poke(plan);
        poke.notified().await;
        drop(next);
        assert!(!runs.contains(plan));
    }
}
