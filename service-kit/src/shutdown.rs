//! The end of a process: the signals that ask for it, and the tasks that must finish before.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// SIGTERM and SIGINT, caught from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the two signals over from the system, which would end the process.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and tells its name. The first asks to stop gracefully; one more
    /// asks to stop at once, so keep calling this while stopping.
    pub async fn recv(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            // The streams end with the runtime's signal driver: no signal can come any more.
            else => std::future::pending().await,
        }
    }
}

/// The background tasks of a server, told together to stop and waited for together.
#[derive(Clone, Debug, Default)]
pub struct Background {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// With no task yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is cancelled once the tasks should stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts a task that ends soon after [`token`](Self::token) is cancelled.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Tells all tasks to stop and waits for them; false when some still run after `grace`.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.token.cancel();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_tasks_stop_together() {
        let background = Background::new();
        let token = background.token().clone();
        background.spawn(async move { token.cancelled().await });
        assert!(background.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_told() {
        let background = Background::new();
        background.spawn(std::future::pending());
        assert!(!background.stop(Duration::from_millis(1)).await);
    }
}
