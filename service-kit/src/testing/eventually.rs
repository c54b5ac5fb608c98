//! Waiting for what another task or process is about to do, with a deadline.

use std::time::Duration;

/// The longest pause between two probes.
const LONGEST: Duration = Duration::from_millis(50);

/// Probes until there is a value, and panics with `what` when there is none by the deadline.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    match within(deadline, probe).await {
        Some(found) => found,
        None => panic!("not within {deadline:?}: {what}"),
    }
}

/// Probes until there is a value or the deadline has passed, also when a probe hangs.
pub(super) async fn within<T>(
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let probing = async {
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    };
    tokio::time::timeout(deadline, probing).await.ok()
}
