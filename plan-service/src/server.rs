//! Puts the parts together, starts them and stops them.

mod data_dir;

use std::{
    env, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lock_client::{ClientError, LockClient};
use service_kit::{
    database::Migrate,
    grpc::{DescriptorError, Health, Readiness},
    readiness,
    shutdown::Background,
    text::chain,
};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use self::data_dir::DataDir;
pub use self::data_dir::DataDirError;
use crate::{
    Config,
    config::{ConfigError, load_actions},
    engine::{Limits, Planner, PlannerParts},
    git::{Git, GitError},
    grpc::{self, PLAN_STORE_HEADER, PlanApi, SERVICE_NAME, VERSION_HEADER},
    runner::Runner,
    store::{self, OpenError, OpenOptions, SharedStore},
};

/// What needs no time at all is given this.
const MOMENT: Duration = Duration::from_secs(1);

/// A service that holds its port, its data folder and its database, and is about
/// to serve.
#[derive(Debug)]
pub struct Server {
    config: Config,
    store: SharedStore,
    planner: Planner,
    listener: TcpListener,
    address: SocketAddr,
    // Held until the end: nobody else may use the folder.
    _data_dir: DataDir,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no git that can be used.
    #[error("--git cannot be used")]
    Git(#[source] GitError),
    /// The lock servers cannot be called.
    #[error("--lock-server cannot be used")]
    Locks(#[source] ClientError),
    /// The path of this program, which supervises steps, is not known.
    #[error("cannot find this program itself, which supervises the steps")]
    Program(#[source] io::Error),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on --listen {address} (is another service running there? stop it, or give \
         another address; port 0 takes a free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signals that stop the service cannot be caught.
    #[error("cannot catch the signals that stop the service")]
    Signals(#[source] io::Error),
    /// The runtime cannot be started.
    #[error("cannot start the threads of the service")]
    Runtime(#[source] io::Error),
    /// The transport failed.
    #[error("cannot serve")]
    Serve(#[source] tonic::transport::Error),
    /// The built-in descriptors are broken.
    #[error("cannot describe the service")]
    Describe(#[source] DescriptorError),
}

impl StartError {
    /// What the process exits with: 64 for a wrong setting, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        const USAGE: u8 = 64;
        match self {
            Self::Config(_)
            | Self::Open(OpenError::Url { .. })
            | Self::Locks(ClientError::Invalid { .. }) => USAGE,
            _ => 1,
        }
    }

    /// The error with all its causes.
    pub fn report(&self) -> String {
        chain(self)
    }
}

impl Server {
    /// Starts with this program as the one that supervises steps.
    ///
    /// # Errors
    /// As [`Self::start_with`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let program = env::current_exe().map_err(StartError::Program)?;
        Self::start_with(config, program).await
    }

    /// Checks the settings, takes the data folder and the port, opens and
    /// migrates the database, and cleans up what a dead process of this instance
    /// has left behind. Steps are run under `supervisor supervise`.
    ///
    /// # Errors
    /// When one of these fails.
    pub async fn start_with(config: Config, supervisor: PathBuf) -> Result<Self, StartError> {
        config.validate()?;
        let actions = config.work.allow_actions_from.as_deref().map(load_actions).transpose();
        let actions = actions.map_err(ConfigError::from)?;
        let data_dir = DataDir::take(&config.work.data_dir().map_err(ConfigError::from)?)?;
        let git = Git::new(&config.work.git);
        let version = git.check().await.map_err(StartError::Git)?;
        let locks = lock_client(&config).map_err(StartError::Locks)?;
        let store = open(&config, data_dir.path(), config.store.migrate).await?;
        let url = config.store.url(data_dir.path()).map_err(ConfigError::from)?;
        tracing::info!(database = %url, "keeping plans here");
        let (listener, address) = listen(config.listen).await?;
        let instance = config.work.instance_name.clone();
        let instance = instance.unwrap_or_else(|| default_name(address.port()));
        tracing::info!(instance, git = version, data_dir = %data_dir.path().display(), "starting");
        if let Some(actions) = &actions {
            tracing::info!(
                count = actions.len(),
                "loaded the actions; nobody can create others here"
            );
        }
        let planner = Planner::start(PlannerParts {
            store: store.clone(),
            locks,
            git,
            runner: Runner::new(supervisor),
            data_dir: data_dir.path().to_owned(),
            instance,
            actions_from_files: actions,
            limits: limits(&config),
        });
        planner.recover_at_start().await;
        Ok(Self { config, store, planner, listener, address, _data_dir: data_dir })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says why to stop, then stops gracefully: turns the
    /// readiness off, refuses new work, gives running phases most of the grace,
    /// then stops them and marks their plans, and releases all locks.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn run(self, stop: impl Future<Output = &'static str>) -> Result<(), StartError> {
        let Self { config, store, planner, listener, _data_dir, .. } = self;
        let stopping = CancellationToken::new();
        let readiness = Readiness::new(SERVICE_NAME).await;
        readiness.report(true).await;
        let headers =
            [(PLAN_STORE_HEADER, store.engine()), (VERSION_HEADER, env!("CARGO_PKG_VERSION"))];
        let health = Health::new(&readiness, headers, stopping.clone());
        let api = PlanApi::new(planner.clone());
        let router = grpc::router(api, health, &config.network).map_err(StartError::Describe)?;
        let background = start_background(&planner, &store, &readiness, &stopping);

        // Small answers must not wait for a peer's delayed acknowledgement.
        let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
        let stopped = stopping.clone().cancelled_owned();
        let serving = router.serve_with_incoming_shutdown(connections, stopped);
        let mut serving = std::pin::pin!(serving);
        let why = tokio::select! {
            result = &mut serving => return result.map_err(StartError::Serve),
            why = stop => why,
        };

        let grace = config.shutdown.shutdown_grace;
        let end = Instant::now() + grace;
        tracing::info!(why, grace = %humantime::format_duration(grace), "stopping");
        // Before connections are told to end: no call is let in on the way.
        planner.refuse();
        stopping.cancel();
        readiness.report(false).await;
        let served = last_runs_and_answers(&planner, &mut serving, grace).await;
        stop_background(background, &store, end).await;
        tracing::info!("stopped");
        served.map_err(StartError::Serve)
    }
}

/// Ends the runs, while calls that are under way are answered. What then waits
/// for an answer, or only keeps a connection open, has another moment.
async fn last_runs_and_answers(
    planner: &Planner,
    serving: &mut (impl Future<Output = Result<(), tonic::transport::Error>> + Unpin),
    grace: Duration,
) -> Result<(), tonic::transport::Error> {
    let moment = (grace / 10).min(MOMENT);
    let ended = Instant::now() + grace.saturating_sub(2 * moment);
    let mut served = None;
    let ending = async {
        let for_runs = grace.saturating_sub(3 * moment);
        if tokio::time::timeout_at(ended, planner.stop(for_runs)).await.is_err() {
            tracing::warn!("the grace is over, and runs are not at their end");
        }
    };
    let mut ending = std::pin::pin!(ending);
    loop {
        tokio::select! {
            () = &mut ending => break,
            result = &mut *serving, if served.is_none() => served = Some(result),
        }
    }
    match served {
        Some(result) => result,
        None => match tokio::time::timeout(moment, serving).await {
            Ok(result) => result,
            Err(_elapsed) => {
                tracing::debug!("connections are still open: they are cut off");
                Ok(())
            }
        },
    }
}

/// Brings the schema of the database that the settings name up to date, and
/// says which one that is.
///
/// # Errors
/// When it cannot be used.
pub async fn migrate(config: &Config) -> Result<String, StartError> {
    config.validate()?;
    let data_dir = config.work.data_dir().map_err(ConfigError::from)?;
    let url = config.store.url(&data_dir).map_err(ConfigError::from)?;
    if config.store.database_url.is_none() {
        // Not taken: a service may run with it.
        DataDir::make(&data_dir)?;
    }
    let store = open(config, &data_dir, Migrate::Auto).await?;
    store.close().await;
    Ok(url.to_string())
}

async fn open(
    config: &Config,
    data_dir: &Path,
    migrate: Migrate,
) -> Result<SharedStore, StartError> {
    let url = config.store.url(data_dir).map_err(ConfigError::from)?;
    let options = OpenOptions {
        max_connections: config.store.database_connections,
        timeout: config.store.store_timeout,
        migrate,
    };
    Ok(store::open(&url, &options).await?)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn lock_client(config: &Config) -> Result<LockClient, ClientError> {
    let work = &config.work;
    LockClient::builder().endpoints(&work.lock_server).timeout(work.lock_timeout).build()
}

fn limits(config: &Config) -> Limits {
    let work = &config.work;
    Limits {
        max_runs: work.max_runs,
        max_queued_runs: work.max_queued_runs,
        max_parallel_steps: work.max_parallel_steps,
        max_watches: config.network.max_watches,
        output_tail: work.output_tail_bytes,
        recovery_interval: work.recovery_interval,
    }
}

/// The machine's name and the port.
fn default_name(port: u16) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned());
    format!("{host}:{port}")
}

fn start_background(
    planner: &Planner,
    store: &SharedStore,
    readiness: &Readiness,
    stopping: &CancellationToken,
) -> Background {
    let background = Background::new();
    background.spawn(planner.clone().run_recovery(stopping.clone()));
    let readiness = readiness.clone();
    let report = move |ready| {
        let readiness = readiness.clone();
        async move { readiness.report(ready).await }
    };
    let store = store.clone();
    let probe = move || {
        let store = store.clone();
        async move { store.probe().await }
    };
    background.spawn(readiness::watch(probe, stopping.clone(), report));
    background
}

async fn stop_background(background: Background, store: &SharedStore, end: Instant) {
    if !background.stop(end - Instant::now()).await {
        tracing::warn!("a background task did not stop");
    }
    if tokio::time::timeout_at(end, store.close()).await.is_err() {
        tracing::warn!("the database did not say goodbye");
    }
}
