//! The thread that does all network work of a client, apart from whatever the
//! caller's own runtime is busy with.

use std::{future::Future, io, sync::mpsc, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::task::AbortOnDropHandle;

use crate::ClientError;

/// The thread with its runtime; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Handle,
    // The runtime waits for the end of this and of nothing else.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    pub(crate) fn start() -> Result<Self, ClientError> {
        let (alive, end) = oneshot::channel();
        let (started, starting) = mpsc::sync_channel(1);
        let body = move || run(&started, end);
        let failed = |error: io::Error| {
            ClientError::internal(format!("can't start the client's thread: {error}"))
        };
        thread::Builder::new().name("lock-client".to_owned()).spawn(body).map_err(failed)?;
        let handle = starting
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("it ended at once")))
            .map_err(failed)?;
        Ok(Self { handle, _alive: alive })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs this on the thread, and no further once the caller has gone.
    pub(crate) async fn run<F>(&self, work: F) -> Result<F::Output, ClientError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        joined(AbortOnDropHandle::new(self.handle.spawn(work)).await)
    }

    /// Runs this on the thread to its end, whether the caller waits for it or
    /// not. It starts at once, before the result is awaited.
    pub(crate) fn run_to_the_end<F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<F::Output, ClientError>> + Send + use<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task: JoinHandle<F::Output> = self.handle.spawn(work);
        async move { joined(task.await) }
    }
}

fn run(started: &mpsc::SyncSender<io::Result<Handle>>, end: oneshot::Receiver<()>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever started this thread is waiting for exactly this.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(runtime.handle().clone()));
    // Nothing is ever sent: it ends with an error, when the sender is gone.
    let _ = runtime.block_on(end);
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, ClientError> {
    result.map_err(|error| ClientError::internal(format!("the client's own task failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_the_thread_and_ends_with_it() {
        let io = IoThread::start().unwrap();
        let name = io.run(async { thread::current().name().map(str::to_owned) }).await.unwrap();
        assert_eq!(name.as_deref(), Some("lock-client"));
        let (running, gone) = oneshot::channel::<()>();
        let endless = io.run_to_the_end(async move {
            let _running = running;
            std::future::pending::<()>().await;
        });
        drop(io);
        gone.await.unwrap_err();
        let error = endless.await.unwrap_err();
        assert!(error.to_string().contains("the client's own task failed"), "{error}");
    }

    #[tokio::test]
    async fn work_stops_when_nobody_waits_for_it() {
        let io = IoThread::start().unwrap();
        let (running, gone) = oneshot::channel::<()>();
        let mut endless = Box::pin(io.run(async move {
            let _running = running;
            std::future::pending::<()>().await;
        }));
        assert!(futures::poll!(&mut endless).is_pending());
        drop(endless);
        gone.await.unwrap_err();
    }
}
