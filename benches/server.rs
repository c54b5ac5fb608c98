//! A server as in production, one connection to it, and what it holds before
//! anything is measured.

use std::cell::Cell;

use futures::{StreamExt as _, stream};
use lock_server::testing::TestServer;
use prost_types::Duration;
use proto::lock::v1::{
    AcquireRequest, Lock, ReleaseAllRequest, Resource, lock_service_client::LockServiceClient,
};
use service_kit::testing::PostgresServer;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use crate::store::Engine;

/// Longer than any run, so that nothing runs out.
const TTL: Duration = Duration { seconds: 3600, nanos: 0 };

/// How many acquires are under way at a time while locks are set up.
const SET_UP_CALLERS: usize = 64;

/// A running server and a connection to it.
pub(crate) struct Server {
    locks: LockServiceClient<Channel>,
    health: HealthClient<Channel>,
    names: Cell<u64>,
    held: OnceCell<Vec<Lock>>,
    listed: OnceCell<Vec<Lock>>,
    to_list: u64,
    // In this order: the server goes before its database.
    _server: TestServer,
    _postgres: Option<PostgresServer>,
}

impl Server {
    /// The owner of what [`Self::held`] holds.
    pub(crate) const HOLDER: &str = "holder";
    /// The type of what [`Self::held`] holds and of what is acquired freshly.
    pub(crate) const TYPE: &str = "plan";
    /// The type of what [`Self::listed`] holds.
    pub(crate) const LISTED_TYPE: &str = "project";

    /// Starts a server on a new database that keeps what it acknowledges.
    pub(crate) async fn start(engine: Engine, to_list: u64) -> Self {
        let (server, postgres) = match engine {
            Engine::Sqlite => (TestServer::start(&[]).await, None),
            Engine::Postgres => {
                // One of our own: the one that tests share runs without fsync.
                let postgres = PostgresServer::start();
                let database = postgres.database().await;
                let server = TestServer::start(&["--database-url", database.url()]).await;
                (server, Some(postgres))
            }
        };
        let endpoint = Endpoint::from_shared(server.url()).expect("a server's URL is one");
        let channel = endpoint.connect().await.expect("connect to the server");
        Self {
            locks: LockServiceClient::new(channel.clone()),
            health: HealthClient::new(channel),
            names: Cell::default(),
            held: OnceCell::new(),
            listed: OnceCell::new(),
            to_list,
            _server: server,
            _postgres: postgres,
        }
    }

    pub(crate) fn locks(&self) -> LockServiceClient<Channel> {
        self.locks.clone()
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        self.health.clone()
    }

    /// An id that was never used, in no order: new rows go to any place of the
    /// table, as those of random ids do.
    pub(crate) fn new_name(&self) -> String {
        let number = self.names.get() + 1;
        self.names.set(number);
        // Odd, so that no two numbers come to the same.
        format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A request for a resource that nobody ever locked.
    pub(crate) fn fresh(&self, owner: &str) -> AcquireRequest {
        acquire(Resource::new(Self::TYPE, self.new_name()), owner)
    }

    /// So many new locks.
    pub(crate) async fn hold(&self, kind: &str, owner: &str, count: u64) -> Vec<Lock> {
        let grants = stream::iter(0..count).map(|_| {
            let request = acquire(Resource::new(kind, self.new_name()), owner);
            let mut locks = self.locks();
            async move {
                let answer = locks.acquire(request).await.expect("acquire a fresh resource");
                answer.into_inner().lock.expect("a grant has a lock")
            }
        });
        grants.buffer_unordered(SET_UP_CALLERS).collect().await
    }

    /// 1,000 locks of [`Self::HOLDER`].
    pub(crate) async fn held(&self) -> &[Lock] {
        self.held.get_or_init(|| self.hold(Self::TYPE, Self::HOLDER, 1_000)).await
    }

    /// As many locks of [`Self::LISTED_TYPE`] as the start was told.
    pub(crate) async fn listed(&self) -> &[Lock] {
        let hold = || self.hold(Self::LISTED_TYPE, Self::HOLDER, self.to_list);
        self.listed.get_or_init(hold).await
    }

    /// Frees all that an owner holds.
    pub(crate) async fn release_all(&self, owner: &str) {
        let request = ReleaseAllRequest { owner_id: owner.to_owned() };
        self.locks().release_all(request).await.expect("release all");
    }
}

/// A request for a resource.
pub(crate) fn acquire(resource: Resource, owner: &str) -> AcquireRequest {
    AcquireRequest {
        resource: Some(resource),
        owner_id: owner.to_owned(),
        ttl: Some(TTL),
        ..AcquireRequest::default()
    }
}
