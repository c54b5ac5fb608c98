//! Puts the parts together, starts them and stops them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use service_kit::{
    grpc::{DescriptorError, Health, Readiness},
    readiness,
    shutdown::Background,
    text::chain,
};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::{
    Config,
    config::ConfigError,
    engine::{EngineBounds, LockEngine, Sweeper},
    grpc::{self, LOCK_STORE_HEADER, LockApi, SERVICE_NAME, VERSION_HEADER},
    store::{self, OpenError, Store, StoreError},
};

/// A server that holds its port and its database, and is about to serve.
#[derive(Debug)]
pub struct Server {
    config: Config,
    store: Arc<dyn Store>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on --listen {address} (is another server running there? stop it, or give \
         another address; port 0 takes a free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signals that stop the server cannot be caught.
    #[error("cannot catch the signals that stop the server")]
    Signals(#[source] io::Error),
    /// The database went away while the server started.
    #[error("cannot purge stale locks at start")]
    Purge(#[source] StoreError),
    /// The transport failed.
    #[error("cannot serve")]
    Serve(#[source] tonic::transport::Error),
    /// The built-in descriptors are broken.
    #[error("cannot describe the service")]
    Describe(#[source] DescriptorError),
}

impl StartError {
    /// What the process exits with: 64 for a wrong setting, 1 for the rest.
    pub fn exit_code(&self) -> i32 {
        const USAGE: i32 = 64;
        match self {
            Self::Config(_) | Self::Open(OpenError::Url { .. }) => USAGE,
            _ => 1,
        }
    }

    /// The error with all its causes.
    pub fn report(&self) -> String {
        chain(self)
    }
}

impl Server {
    /// Checks the settings, opens and migrates the database, takes the port
    /// and purges what is stale.
    ///
    /// # Errors
    /// When one of these fails.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let store = open_store(&config).await?;
        tracing::info!(database = %config.store.options(&config.waiting)?.url, "keeping locks here");
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        let sweeper = Sweeper::new(Arc::clone(&store), config.lease.sweeper());
        let purged = sweeper.purge_at_start().await.map_err(StartError::Purge)?;
        tracing::info!(purged, "purged the locks that were stale");
        Ok(Self { config, store, listener, address })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says why to stop, then stops gracefully: turns the
    /// readiness off, refuses new requests, finishes those under way, ends the
    /// streams. What is not finished within the grace is cut off.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn run(self, stop: impl Future<Output = &'static str>) -> Result<(), StartError> {
        let Self { config, store, listener, .. } = self;
        let ttl = config.lease.ttl_policy().map_err(ConfigError::from)?;
        let stopping = CancellationToken::new();
        let readiness = Readiness::new(SERVICE_NAME).await;
        readiness.report(true).await;
        let headers =
            [(LOCK_STORE_HEADER, store.engine()), (VERSION_HEADER, env!("CARGO_PKG_VERSION"))];
        let health = Health::new(&readiness, headers, stopping.clone());
        let bounds = EngineBounds {
            max_queue: config.network.max_queue,
            max_wait: config.waiting.max_wait.into(),
            max_waiters: config.waiting.max_waiters,
            waiter_grace: config.waiting.waiter_grace,
            max_watches: config.network.max_watches,
        };
        let engine = Arc::new(LockEngine::new(Arc::clone(&store), ttl, bounds, stopping.clone()));
        let api = LockApi::new(Arc::clone(&engine));
        let router = grpc::router(api, health, &config.network).map_err(StartError::Describe)?;
        let background = start_background(&config, &store, &readiness, &stopping);

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
        // Before its callers hear of it and come to another server.
        if let Ok(Err(error)) = tokio::time::timeout(MOMENT, store.send_waiters_away()).await {
            tracing::debug!(error = %chain(&error), "could not tell the other servers");
        }
        stopping.cancel();
        readiness.report(false).await;
        tokio::select! {
            result = &mut serving => result.map_err(StartError::Serve)?,
            () = last_answers(&engine) => {}
            () = tokio::time::sleep_until(end - (grace / 10).min(MOMENT)) => {
                tracing::warn!("the grace is over: requests under way are cut off");
            }
        }
        stop_background(background, store.as_ref(), end).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What needs no time at all is given this.
const MOMENT: Duration = Duration::from_secs(1);

/// Waits until no request is under way and the answers have gone out. Who keeps
/// a connection open without a request does not keep the server.
async fn last_answers(engine: &LockEngine) {
    engine.idle().await;
    tokio::time::sleep(MOMENT).await;
}

/// Opens the database that the settings name, and migrates it.
///
/// # Errors
/// When it cannot be used.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    let options = config.store.options(&config.waiting)?;
    Ok(store::open(&options, config.store.database_pooler).await?)
}

fn start_background(
    config: &Config,
    store: &Arc<dyn Store>,
    readiness: &Readiness,
    stopping: &CancellationToken,
) -> Background {
    let background = Background::new();
    let sweeper = Sweeper::new(Arc::clone(store), config.lease.sweeper());
    background.spawn(sweeper.run(stopping.clone()));
    let readiness = readiness.clone();
    let report = move |ready| {
        let readiness = readiness.clone();
        async move { readiness.report(ready).await }
    };
    let store = Arc::clone(store);
    let probe = move || {
        let store = Arc::clone(&store);
        async move { store.probe().await }
    };
    background.spawn(readiness::watch(probe, stopping.clone(), report));
    background
}

async fn stop_background(background: Background, store: &dyn Store, end: Instant) {
    if !background.stop(end - Instant::now()).await {
        tracing::warn!("a background task did not stop");
    }
    if tokio::time::timeout_at(end, store.close()).await.is_err() {
        tracing::warn!("the database did not say goodbye");
    }
}
