//! A server on a database that is looked at with plain SQL, and callers who wait
//! there.

use std::time::{Duration, Instant};

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::eventually;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::support::{DEADLINE, Locks, Tables, acquire, client, resource, span};

/// A wait that no test sees the end of.
pub(crate) const LONG: i64 = 600;

/// Within which time all places are given up when all callers have gone.
const LEFT_WITHIN: Duration = Duration::from_secs(25);

/// Leases that a test sees the end of, and a store that is never away: on a busy
/// machine it may take its time.
const FLAGS: [&str; 4] = ["--min-ttl", "100ms", "--store-timeout", "25s"];

/// A server and its database.
pub(crate) struct Scene {
    pub(crate) server: TestServer,
    pub(crate) locks: Locks,
    pub(crate) tables: Tables,
}

impl Scene {
    /// Runs a test on each engine, and panics when it leaves anybody in line.
    pub(crate) async fn on_each_store(flags: &[&str], test: impl AsyncFn(&Self)) {
        for tables in Tables::on_each_store().await {
            let scene = Self::of(tables, flags).await;
            test(&scene).await;
            scene.end().await;
        }
    }

    pub(crate) async fn of(tables: Tables, flags: &[&str]) -> Self {
        let url = tables.url();
        let all = [&["--database-url", &url], &FLAGS[..], flags].concat();
        let server = TestServer::start(&all).await;
        let locks = client(&server.url());
        Self { server, locks, tables }
    }

    pub(crate) fn engine(&self) -> &'static str {
        self.tables.engine()
    }

    /// Panics unless all who waited have left the line.
    pub(crate) async fn end(self) {
        let what = format!("{}: no place is left, and none is counted", self.engine());
        eventually(&what, LEFT_WITHIN, async || (self.places().await == (0, 0)).then_some(()))
            .await;
        self.server.stop().await;
    }

    /// How many places there are, of any kind, and how many locks count any.
    pub(crate) async fn places(&self) -> (u64, u64) {
        let places = "UPDATE lock_waiters SET waits_until = waits_until";
        let counting = "UPDATE locks SET waiters = waiters WHERE waiters > 0";
        (self.tables.run(places, places).await, self.tables.run(counting, counting).await)
    }
}

/// A call that waits; cancelled when this is dropped.
pub(crate) struct Waiting {
    pub(crate) owner: String,
    call: JoinHandle<(Result<wire::AcquireResponse, Status>, Duration)>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.call.abort();
    }
}

impl Waiting {
    /// The answer, and how long it took.
    pub(crate) async fn ended(mut self) -> (Result<wire::AcquireResponse, Status>, Duration) {
        let ended = tokio::time::timeout(DEADLINE, &mut self.call).await;
        ended.unwrap_or_else(|_| panic!("{} has no answer in {DEADLINE:?}", self.owner)).unwrap()
    }

    /// The lock, which must be granted.
    pub(crate) async fn granted(self) -> wire::Lock {
        let owner = self.owner.clone();
        let answer = self.ended().await.0.unwrap_or_else(|status| panic!("{owner}: {status:?}"));
        assert!(!answer.reentrant, "{owner}");
        let lock = answer.lock.unwrap();
        assert_eq!(lock.owner_id, owner);
        lock
    }

    /// Why it was not granted.
    pub(crate) async fn refused(self) -> Status {
        let owner = self.owner.clone();
        self.ended().await.0.err().unwrap_or_else(|| panic!("{owner} is granted it"))
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.call.is_finished()
    }
}

/// Asks for a lock, and waits for it for a long time.
pub(crate) fn wait_for(resource: &str, owner: &str) -> wire::AcquireRequest {
    wire::AcquireRequest { wait: span(LONG, 0), ..acquire(resource, owner) }
}

/// A call that has been made, no more.
pub(crate) fn waiting(
    locks: &Locks,
    request: impl tonic::IntoRequest<wire::AcquireRequest>,
) -> Waiting {
    let (mut locks, request) = (locks.clone(), request.into_request());
    let owner = request.get_ref().owner_id.clone();
    let asked = Instant::now();
    let call = async move {
        let answer = locks.acquire(request).await;
        (answer.map(tonic::Response::into_inner), asked.elapsed())
    };
    Waiting { owner, call: tokio::spawn(call) }
}

/// Callers who stand in line, in this order.
pub(crate) async fn line<const N: usize>(
    locks: &Locks,
    resource: &str,
    owners: [&str; N],
) -> [Waiting; N] {
    let mut in_line = Vec::new();
    for owner in owners {
        let before = queue_length(locks, resource).await;
        in_line.push(waiting(locks, wait_for(resource, owner)));
        until_waiting(locks, resource, before + 1).await;
    }
    in_line.try_into().unwrap_or_else(|_| unreachable!("as many as asked for"))
}

/// The lock of a resource.
pub(crate) async fn get(locks: &Locks, name: &str) -> Result<wire::Lock, Status> {
    let get = wire::GetLockRequest { resource: resource(name) };
    locks.clone().get_lock(get).await.map(|response| response.into_inner().lock.unwrap())
}

pub(crate) async fn queue_length(locks: &Locks, resource: &str) -> u64 {
    get(locks, resource).await.map_or(0, |lock| lock.queue_length)
}

/// Waits until so many wait for a resource.
pub(crate) async fn until_waiting(locks: &Locks, resource: &str, count: u64) {
    let what = format!("{count} wait for {resource}");
    eventually(&what, DEADLINE, async || {
        (queue_length(locks, resource).await == count).then_some(())
    })
    .await;
}
