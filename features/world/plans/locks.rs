//! The scenario's lock server, and those who take locks of it beside the plan
//! service.

use std::net::SocketAddr;

use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};
use service_kit::testing::{TcpProxy, TestDatabase, eventually, postgres};
use tokio::{task::JoinHandle, time::timeout};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::{PATIENCE, SOON};
use crate::{answer::shown, world::Store};

/// How long people hold what they hold.
const LONG: i64 = 600;

/// A lock server with a proxy before it, if it is to be taken away.
#[derive(Debug)]
pub(crate) struct LockSide {
    _server: TestServer,
    url: String,
    channel: Channel,
    proxy: Option<TcpProxy>,
    /// Those who wait in line.
    waiting: Vec<Waiting>,
    _database: Option<TestDatabase>,
}

#[derive(Debug)]
struct Waiting(JoinHandle<Result<wire::Lock, tonic::Status>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LockSide {
    /// Starts a lock server on a database of its own.
    pub(crate) async fn start(store: Store, flags: &[&str], can_be_away: bool) -> Self {
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(postgres::database().await),
        };
        let mut flags = flags.to_vec();
        flags.extend(["--min-ttl", "100ms"]);
        if let Some(database) = &database {
            flags.extend(["--database-url", database.url()]);
        }
        let server = TestServer::start(&flags).await;
        let url = server.url();
        let endpoint = Endpoint::from_shared(url.clone()).expect("a server's address");
        let channel = endpoint.connect().await.expect("connect to the lock server");
        let proxy = match can_be_away {
            true => Some(TcpProxy::start(address(&url)).await),
            false => None,
        };
        let url = proxy.as_ref().map_or(url, |proxy| format!("http://{}", proxy.address()));
        Self { _server: server, url, channel, proxy, waiting: Vec::new(), _database: database }
    }

    /// Where the plan services find it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Takes it away from the plan services, or gives it back.
    pub(crate) async fn set_away(&mut self, away: bool) {
        match (&self.proxy, away) {
            (Some(proxy), true) => proxy.cut().await,
            (Some(proxy), false) => proxy.resume().await,
            (None, true) => panic!("a lock server that cannot be taken away"),
            (None, false) => {}
        }
    }

    fn client(&self) -> LockServiceClient<Channel> {
        LockServiceClient::new(self.channel.clone())
    }

    /// The live or stale lock of a resource.
    pub(crate) async fn get(&self, resource: &wire::Resource) -> Option<wire::Lock> {
        let request = wire::GetLockRequest { resource: Some(resource.clone()) };
        match self.client().get_lock(request).await {
            Ok(answer) => answer.into_inner().lock,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{}", shown(&status)),
        }
    }

    /// The lock of a resource, if somebody has it now.
    pub(crate) async fn live(&self, resource: &wire::Resource) -> Option<wire::Lock> {
        let lock = self.get(resource).await;
        lock.filter(|lock| lock.state() == wire::LockState::Held)
    }

    /// Waits until nobody has it.
    pub(crate) async fn is_free(&self, resource: &wire::Resource) {
        let what = format!("{resource} is free");
        eventually(&what, SOON, async || self.get(resource).await.is_none().then_some(())).await;
    }

    /// Waits until its lease is over, or it was given back.
    pub(crate) async fn is_not_live(&self, resource: &wire::Resource) {
        let what = format!("the lease on {resource} is over");
        eventually(&what, SOON, async || self.live(resource).await.is_none().then_some(())).await;
    }

    /// All live locks.
    pub(crate) async fn all(&self) -> Vec<wire::Lock> {
        let answer = self.client().list_locks(wire::ListLocksRequest::default()).await;
        answer.expect("a list").into_inner().locks
    }

    fn request(owner: &str, resource: &wire::Resource, wait: Option<i64>) -> wire::AcquireRequest {
        wire::AcquireRequest {
            resource: Some(resource.clone()),
            owner_id: owner.to_owned(),
            ttl: Some(wait_of(LONG)),
            wait: wait.map(wait_of),
            ..Default::default()
        }
    }

    /// Has somebody take a lock.
    pub(crate) async fn acquire(&self, owner: &str, resource: &wire::Resource) {
        let answer = self.client().acquire(Self::request(owner, resource, None)).await;
        answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
    }

    /// Has somebody wait for a lock, and sees to it that it stands in line.
    pub(crate) async fn wait(&mut self, owner: &str, resource: &wire::Resource) {
        let mut client = self.client();
        let request = Self::request(owner, resource, Some(LONG));
        let asked = async move {
            let answer = client.acquire(request).await?.into_inner();
            Ok(answer.lock.expect("a lock"))
        };
        self.waiting.push(Waiting(tokio::spawn(asked)));
        self.queue_is(resource, 1).await;
    }

    /// Waits for the end of the first wait.
    pub(crate) async fn end_of_wait(&mut self) -> wire::Lock {
        let mut wait = self.waiting.remove(0);
        let ended = timeout(PATIENCE, &mut wait.0).await.expect("granted in time");
        ended.expect("nobody cancels it").unwrap_or_else(|status| panic!("{}", shown(&status)))
    }

    /// Waits until so many stand in line.
    pub(crate) async fn queue_is(&self, resource: &wire::Resource, length: u64) {
        let what = format!("{length} wait for {resource}");
        eventually(&what, SOON, async || {
            let waiting = self.get(resource).await.map_or(0, |lock| lock.queue_length);
            (waiting == length).then_some(())
        })
        .await;
    }

    /// Has somebody give a lock back.
    pub(crate) async fn release(&self, owner: &str, resource: &wire::Resource) {
        let request = wire::ReleaseRequest {
            resource: Some(resource.clone()),
            owner_id: owner.to_owned(),
            fencing_token: None,
        };
        let answer = self.client().release(request).await.expect("an answer").into_inner();
        assert!(answer.released, "{owner} held {resource}");
    }

    /// Has an operator break a hold.
    pub(crate) async fn force_release(&self, resource: &wire::Resource) {
        let lock = self.live(resource).await.expect("somebody holds it");
        let request = wire::ForceReleaseRequest {
            resource: Some(resource.clone()),
            fencing_token: lock.fencing_token,
            reason: "the scenario says so".to_owned(),
        };
        self.client().force_release(request).await.expect("broken");
    }
}

fn address(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://").expect("an address of http");
    address.parse().expect("an address with a port")
}

/// The lock of a plan.
pub(crate) fn of_plan(id: &str) -> wire::Resource {
    wire::Resource::new("plan", id)
}

/// A span of so many seconds.
pub(crate) fn wait_of(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}
