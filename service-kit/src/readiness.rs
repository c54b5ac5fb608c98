//! Whether the store answers, asked again and again, for the readiness of a service. A server
//! whose database is away stays alive and says so: to restart it would help nobody.

use std::{error::Error, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::text::chain;

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Probes again and again, and calls `report` whenever the answer changes, until stopped. The
/// first answer is taken to be yes: the server has just opened the store.
pub async fn watch<P, F, E>(
    probe: impl Fn() -> P,
    stopping: CancellationToken,
    mut report: impl FnMut(bool) -> F,
) where
    P: Future<Output = Result<(), E>>,
    E: Error + 'static,
    F: Future<Output = ()>,
{
    let mut ready = true;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let answer = tokio::select! {
            () = stopping.cancelled() => return,
            answer = probe() => answer,
        };
        match (&answer, ready) {
            (Err(error), true) => {
                tracing::warn!(error = %chain(error), "the store does not answer: not ready");
            }
            (Ok(()), false) => tracing::info!("the store answers again: ready"),
            _ => {}
        }
        // The error is gone before the next wait: it need not cross threads.
        let answers = answer.is_ok();
        drop(answer);
        if answers != ready {
            ready = answers;
            report(ready).await;
        }
    }
}
