//! Servers inside a test: the production path, on a free port of loopback and
//! a database of their own.

use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{Config, Server, StartError};

/// A running server, on threads of its own: a test that blocks its runtime does
/// not block the server, and a server can be killed with all its connections.
#[derive(Debug)]
pub struct TestServer {
    url: String,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<&'static str>>,
    task: JoinHandle<Result<(), StartError>>,
    _folder: TempDir,
}

impl TestServer {
    /// Starts a server with these flags, on a free port and, unless they name
    /// a database, on a new SQLite file.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(flags: &[&str]) -> Self {
        Self::try_start(flags).await.unwrap_or_else(|error| panic!("{}", error.report()))
    }

    /// As [`Self::start`].
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When a flag is wrong.
    pub async fn try_start(flags: &[&str]) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().expect("a folder for the test's database");
        let database = format!("sqlite://{}", folder.path().join("locks.db").display());
        let mut args = vec!["lock-server"];
        args.extend(flags);
        if !flags.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        if !flags.contains(&"--database-url") {
            args.extend(["--database-url", &database]);
        }
        let config = Config::parse_from_args(args).unwrap_or_else(|error| panic!("{error}"));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime for the server");
        let (started, stop, task) = launch(&runtime, config);
        let url = match started.await.expect("the server did not panic") {
            Ok(url) => url,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self { url, runtime: Some(runtime), stop: Some(stop), task, _folder: folder })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Asks it to stop, as SIGTERM does, without waiting.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have stopped by itself; `stop` tells.
            let _ = stop.send("the test says so");
        }
    }

    /// Stops it gracefully.
    ///
    /// # Panics
    /// When it did not run well.
    pub async fn stop(mut self) {
        self.begin_stop();
        let result = (&mut self.task).await.expect("the server did not panic");
        result.unwrap_or_else(|error| panic!("{}", error.report()));
    }

    /// Ends it with all its connections, in the middle of whatever it does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Started = oneshot::Receiver<Result<String, StartError>>;

/// Starts a server on a runtime: where it is told how that went, where it is
/// told to stop, and how it ended.
fn launch(
    runtime: &Runtime,
    config: Config,
) -> (Started, oneshot::Sender<&'static str>, JoinHandle<Result<(), StartError>>) {
    let (tell, started) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let task = runtime.spawn(async move {
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(error) => {
                drop(tell.send(Err(error)));
                return Ok(());
            }
        };
        drop(tell.send(Ok(format!("http://{}", server.address()))));
        let stopped = async {
            match stopped.await {
                Ok(why) => why,
                // The handle was dropped, and the runtime with it.
                Err(_dropped) => std::future::pending().await,
            }
        };
        server.run(stopped).await
    });
    (started, stop, task)
}
