//! Follows a plan over all instances: looks at its version in the database five
//! times a second, and tells what is new.
//!
//! A watch reads what is there; it has no place in the run. Whoever reads slowly
//! misses steps in between, and never the last one: what is told is always what
//! is there when there is room to tell it, so nothing queues up.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::{OwnedSemaphorePermit, TryAcquireError, mpsc},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Planner, WatchEvent};
use crate::{
    domain::{Phase, Plan, PlanId, State, StepState},
    error::PlanError,
    store::{OutputKey, OutputMark, OutputTail, StoreError},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// After which silence progress is told.
const SILENCE: Duration = Duration::from_secs(10);
/// Events that a slow reader has not taken yet.
const ROOM: usize = 4;

type Told = Result<WatchEvent, PlanError>;

/// A stream of what happens to a plan.
pub(super) async fn watch(
    planner: &Planner,
    id: PlanId,
    until_rest: bool,
) -> Result<BoxStream<'static, Told>, PlanError> {
    if planner.is_stopping() {
        return Err(PlanError::ShuttingDown);
    }
    let permit =
        planner.inner.watches.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::Closed => PlanError::ShuttingDown,
            TryAcquireError::NoPermits => PlanError::Overloaded {
                limit: "--max-watches",
                value: planner.inner.limits.max_watches,
                what: "watches are open",
            },
        })?;
    let plan = planner.plan(id).await?;
    let (tell, told) = mpsc::channel(ROOM);
    let watch = Watch {
        planner: planner.clone(),
        until_rest,
        tell,
        seen: BTreeMap::new(),
        said: Instant::now(),
        _permit: permit,
    };
    tokio::spawn(watch.follow(plan));
    Ok(ReceiverStream::new(told).boxed())
}

struct Watch {
    planner: Planner,
    until_rest: bool,
    tell: mpsc::Sender<Told>,
    /// How far each output has been told.
    seen: BTreeMap<OutputKey, OutputMark>,
    said: Instant,
    _permit: OwnedSemaphorePermit,
}

/// The reader is gone.
struct Gone;

impl Watch {
    async fn follow(mut self, plan: Plan) {
        let tell = self.tell.clone();
        tokio::select! {
            () = tell.closed() => {}
            Err(error) = self.look_again_and_again(plan) => {
                if let Some(error) = error {
                    // The reader may be gone, too.
                    let _ = tell.send(Err(error)).await;
                }
            }
            else => {}
        }
    }

    /// Until the plan rests (`None`), or fails to be read.
    async fn look_again_and_again(&mut self, plan: Plan) -> Result<(), Option<PlanError>> {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let id = plan.id;
        let mut plan = plan;
        let mut told = None;
        loop {
            let now = (plan.version, plan.fencing_token);
            if told != Some(now) {
                let begins = told.is_none_or(|(_, run)| {
                    run != plan.fencing_token && plan.state == State::Processing
                });
                // What it is about, or a run that begins, comes before what that
                // writes; what led to a state, before the state.
                if begins {
                    self.tell_plan(&plan).await?;
                    self.tell_outputs(id).await?;
                } else {
                    self.tell_outputs(id).await?;
                    self.tell_plan(&plan).await?;
                }
                told = Some(now);
            } else if self.said.elapsed() >= SILENCE {
                self.say(progress(&plan)).await.map_err(|Gone| None)?;
            }
            if plan.state.is_final() || (self.until_rest && plan.state != State::Processing) {
                return Err(None);
            }
            ticks.tick().await;
            if self.planner.is_stopping() {
                return Err(Some(PlanError::ShuttingDown));
            }
            let version = self.planner.inner.store.plan_version(id).await;
            if version.map_err(|error| Some(error.into()))? != Some(plan.version) {
                plan = self.planner.plan(id).await.map_err(Some)?;
            }
        }
    }

    async fn tell_plan(&mut self, plan: &Plan) -> Result<(), Option<PlanError>> {
        self.say(WatchEvent::Plan(Box::new(plan.clone()))).await.map_err(|Gone| None)
    }

    async fn tell_outputs(&mut self, id: PlanId) -> Result<(), Option<PlanError>> {
        let failed = |error: StoreError| Some(error.into());
        let store = self.planner.inner.store.clone();
        for (key, mark) in store.output_marks(id).await.map_err(failed)? {
            if self.seen.get(&key) == Some(&mark) {
                continue;
            }
            // None, if it runs again since: that is told next time.
            if let Some((token, output)) = store.output(id, &key).await.map_err(failed)?
                && let Some(event) = self.news(key, token, output)
            {
                self.say(event).await.map_err(|Gone| None)?;
            }
        }
        Ok(())
    }

    /// What of an output has not been told yet.
    fn news(
        &mut self,
        key: OutputKey,
        fencing_token: u64,
        output: OutputTail,
    ) -> Option<WatchEvent> {
        let total_bytes = output.total_bytes;
        let told = self.seen.insert(key.clone(), OutputMark { fencing_token, total_bytes });
        // Of another run, it begins anew.
        let told = told.filter(|told| told.fencing_token == fencing_token);
        let told = told.map_or(0, |told| told.total_bytes);
        let kept_from = total_bytes - output.tail.len() as u64;
        let offset = kept_from.max(told);
        let skipped_bytes = offset - told;
        let at = usize::try_from(offset - kept_from).unwrap_or(usize::MAX);
        let data = output.tail.get(at..).unwrap_or_default().to_vec();
        let is_new = !data.is_empty();
        is_new.then_some(WatchEvent::Output { key, fencing_token, offset, skipped_bytes, data })
    }

    async fn say(&mut self, event: WatchEvent) -> Result<(), Gone> {
        self.said = Instant::now();
        self.tell.send(Ok(event)).await.map_err(|_| Gone)
    }
}

fn progress(plan: &Plan) -> WatchEvent {
    let steps = if plan.phase == Phase::Apply { &plan.checks } else { &plan.steps };
    let count = |steps: usize| u32::try_from(steps).unwrap_or(u32::MAX);
    let complete = steps.iter().filter(|step| step.state == StepState::Complete).count();
    WatchEvent::Progress {
        steps_complete: count(complete),
        steps_total: count(steps.len()),
        phase: plan.phase,
        state: plan.state,
    }
}
