//! A server inside the test, on threads of its own: a test that blocks its runtime does not block
//! the server, and a server can be killed with all its connections.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use crate::shutdown::Stop;

/// A running server, whose errors are `E`.
#[derive(Debug)]
pub struct InProcess<E> {
    address: SocketAddr,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<&'static str>>,
    task: JoinHandle<Result<(), E>>,
}

impl<E: Send + 'static> InProcess<E> {
    /// Starts a server, asks it for its address, and runs it: the production path.
    ///
    /// # Errors
    ///
    /// When it does not start.
    ///
    /// # Panics
    ///
    /// When it panics as it starts.
    pub async fn start<S, R>(
        start: impl Future<Output = Result<S, E>> + Send + 'static,
        address: impl FnOnce(&S) -> SocketAddr + Send + 'static,
        run: impl FnOnce(S, Stop) -> R + Send + 'static,
    ) -> Result<Self, E>
    where
        S: Send + 'static,
        R: Future<Output = Result<(), E>> + Send,
    {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime for the server");
        let (tell, started) = oneshot::channel();
        let (word, stop) = Stop::new();
        let task = runtime.spawn(async move {
            let server = match start.await {
                Ok(server) => server,
                Err(error) => {
                    drop(tell.send(Err(error)));
                    return Ok(());
                }
            };
            drop(tell.send(Ok(address(&server))));
            run(server, stop).await
        });
        match started.await.expect("the server did not panic") {
            Ok(address) => Ok(Self { address, runtime: Some(runtime), stop: Some(word), task }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it to stop, as SIGTERM does, without waiting.
    pub fn begin_stop(&mut self) {
        if let Some(word) = self.stop.take() {
            // It may have stopped by itself; `stop` tells.
            let _ = word.send("the test says so");
        }
    }

    /// Stops it gracefully, and tells how it ended.
    ///
    /// # Errors
    ///
    /// What it ended with.
    ///
    /// # Panics
    ///
    /// When it panicked.
    pub async fn stop(mut self) -> Result<(), E> {
        self.begin_stop();
        (&mut self.task).await.expect("the server did not panic")
    }

    /// Ends it with all its connections, in the middle of whatever it does, and waits until its
    /// tasks are gone, and what they held with them.
    ///
    /// # Panics
    ///
    /// When a task does not let itself be ended.
    pub async fn kill(mut self) {
        const DEADLINE: Duration = Duration::from_secs(30);
        let runtime = self.runtime.take().expect("only the end takes the runtime");
        let end = move || runtime.shutdown_timeout(DEADLINE);
        tokio::task::spawn_blocking(end).await.expect("ending a runtime does not panic");
    }
}

/// Ends it with all its connections, in the middle of whatever it does.
impl<E> Drop for InProcess<E> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
