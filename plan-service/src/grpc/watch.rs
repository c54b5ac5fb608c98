//! The `WatchPlan` stream: what happens to a plan, as messages.
//!
//! The transport pulls: nothing is taken from the watch before the last event
//! has been taken by it.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream::BoxStream};
use proto::plan::v1::{self as wire, watch_plan_response::Event};
use tonic::Status;

use super::{convert, observe::note_watch, status};
use crate::{engine::WatchEvent, error::PlanError};

pub(super) type Events =
    Pin<Box<dyn Stream<Item = Result<wire::WatchPlanResponse, Status>> + Send>>;

/// The watch as messages. It ends with the first error.
pub(super) fn events(watch: BoxStream<'static, Result<WatchEvent, PlanError>>) -> Events {
    Box::pin(watch.map(|told| match told {
        Ok(event) => Ok(wire::WatchPlanResponse { event: Some(message(event)) }),
        Err(error) => {
            note_watch(&error);
            Err(status::status(&error))
        }
    }))
}

fn message(event: WatchEvent) -> Event {
    match event {
        WatchEvent::Plan(plan) => Event::Plan(convert::plan(*plan)),
        WatchEvent::Output { key, fencing_token, offset, skipped_bytes, data } => {
            Event::Output(wire::StepOutput {
                step: key.name.to_string(),
                offset,
                skipped_bytes,
                data,
                check: key.check,
                fencing_token,
            })
        }
        WatchEvent::Progress { steps_complete, steps_total, phase, state } => {
            Event::Progress(wire::Progress {
                steps_complete,
                steps_total,
                phase: convert::phase(phase).into(),
                state: convert::state(state).into(),
            })
        }
    }
}
