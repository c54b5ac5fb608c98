//! The end of a process: the signals that ask for it, and the tasks that must finish before.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
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

/// Where a server learns that it is to stop, and why.
#[derive(Debug)]
pub struct Stop(oneshot::Receiver<&'static str>);

impl Stop {
    /// The word, and where it arrives.
    pub fn new() -> (oneshot::Sender<&'static str>, Self) {
        let (word, stop) = oneshot::channel();
        (word, Self(stop))
    }

    /// Waits until somebody says why to stop. Who could have said it and is gone says nothing.
    pub async fn asked(self) -> &'static str {
        match self.0.await {
            Ok(why) => why,
            Err(_gone) => std::future::pending().await,
        }
    }
}

/// Starts a server and runs it until it ends by itself or a signal asks it to stop: the first
/// gracefully, one more at once.
///
/// # Errors
///
/// What the server ends with.
pub async fn run_until_signalled<S, E, R>(
    mut signals: Signals,
    start: impl Future<Output = Result<S, E>>,
    run: impl FnOnce(S, Stop) -> R,
) -> Result<(), E>
where
    R: Future<Output = Result<(), E>>,
{
    let server = tokio::select! {
        server = start => server?,
        signal = signals.recv() => {
            tracing::info!(signal, "stopped before it could serve");
            return Ok(());
        }
    };
    let (word, stop) = Stop::new();
    let mut running = Box::pin(run(server, stop));
    let first = tokio::select! {
        result = &mut running => return result,
        first = signals.recv() => first,
    };
    // A server that has just ended by itself needs not be told.
    let _ = word.send(first);
    tokio::select! {
        result = &mut running => result,
        second = signals.recv() => {
            tracing::warn!(signal = second, "a second signal: stopping at once");
            Ok(())
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
