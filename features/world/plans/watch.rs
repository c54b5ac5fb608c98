//! A watch of a plan, read event by event.

use std::collections::HashMap;

use proto::plan::v1::{self as wire, watch_plan_response::Event};
use tokio::time::timeout;
use tonic::Streaming;

use super::{PATIENCE, PlanWorld, phase, state};
use crate::answer::shown;

/// An open watch, and what it has told.
#[derive(Debug)]
pub(crate) struct Watch {
    events: Streaming<wire::WatchPlanResponse>,
    /// What each step has written, as far as it was told.
    outputs: HashMap<String, Vec<u8>>,
    /// Where the plan has stood, as it was told.
    stood: Vec<String>,
    version: u64,
}

impl PlanWorld {
    /// Begins to watch a plan.
    pub(crate) async fn watch(&mut self, plan_id: &str, until_rest: bool) {
        let request = wire::WatchPlanRequest { plan_id: plan_id.to_owned(), until_rest };
        let answer = self.ask(async |mut client| client.watch_plan(request).await).await;
        let events = answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
        let (outputs, stood) = (HashMap::new(), Vec::new());
        self.watch = Some(Watch { events, outputs, stood, version: 0 });
    }
}

impl Watch {
    /// Reads one event; false at the end.
    async fn read(&mut self) -> bool {
        let event = timeout(PATIENCE, self.events.message()).await;
        let event = event.expect("the watch goes on or ends");
        let Some(event) = event.unwrap_or_else(|status| panic!("{}", shown(&status))) else {
            return false;
        };
        match event.event.expect("an event") {
            Event::Plan(plan) => {
                assert!(plan.version > self.version, "versions grow");
                self.version = plan.version;
                self.stood.push(format!("{} {}", phase(&plan), state(&plan)));
            }
            Event::Output(output) => {
                let before = self.outputs.entry(output.step).or_default();
                assert_eq!(output.offset, before.len() as u64, "no byte twice, and none skipped");
                assert_eq!(output.skipped_bytes, 0);
                before.extend(output.data);
            }
            Event::Progress(progress) => {
                assert!(progress.steps_complete <= progress.steps_total, "{progress:?}");
            }
        }
        true
    }

    /// Reads until a step has written this after what it had.
    pub(crate) async fn wrote(&mut self, step: &str, text: &str) {
        loop {
            let told = self.outputs.get(step).map(Vec::as_slice).unwrap_or_default();
            if told.ends_with(text.as_bytes()) {
                return;
            }
            let told = String::from_utf8_lossy(told).into_owned();
            assert!(
                self.read().await,
                "the watch ended after {told:?} of {step}, without {text:?}"
            );
        }
    }

    /// Reads until the plan stands there.
    pub(crate) async fn stands(&mut self, wanted: &str) {
        while self.stood.last().is_none_or(|last| last != wanted) {
            let stood = self.stood.join(", ");
            assert!(self.read().await, "the watch ended after {stood}, without {wanted}");
        }
    }

    /// Reads to the end, which must come by itself.
    pub(crate) async fn ends(&mut self) {
        while self.read().await {}
    }
}
