//! Whether the store answers, asked again and again, for the readiness of the
//! service. A server whose database is away stays alive and says so: to
//! restart it would help nobody.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Calls `report` whenever the answer changes, until stopped. The first answer
/// is taken to be yes: the server has just opened the store.
pub async fn watch_readiness<F>(
    store: Arc<dyn Store>,
    stopping: CancellationToken,
    mut report: impl FnMut(bool) -> F,
) where
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
            answer = store.probe() => answer,
        };
        match (&answer, ready) {
            (Err(error), true) => {
                tracing::warn!(error = %chain(error), "the store does not answer: not ready");
            }
            (Ok(()), false) => tracing::info!("the store answers again: ready"),
            _ => {}
        }
        if answer.is_ok() != ready {
            ready = answer.is_ok();
            report(ready).await;
        }
    }
}

/// An error with all its causes, for a log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some errors say their cause themselves.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
