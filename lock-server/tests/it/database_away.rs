//! The database goes away and comes back: calls fail in bounded time, never
//! wrongly succeed, and service resumes by itself.

use std::time::{Duration, Instant};

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{PostgresServer, TcpProxy, eventually, free_port};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::support::{
    DEADLINE, Locks, OpenStream, Serving, acquire, channel, client, failure, lease, renew,
    resource, run, take,
};

/// What the server allows its database.
const TIMEOUT: &str = "500ms";
/// By when a call has failed: the same, and what a busy machine takes.
const LATEST: Duration = Duration::from_millis(2_500);
/// By when the server has noticed that the database is away or back.
const NOTICED: Duration = Duration::from_secs(10);

/// A server, its database and what is between them.
struct Rig {
    postgres: PostgresServer,
    proxy: TcpProxy,
    url: String,
}

impl Rig {
    async fn start() -> Self {
        let postgres = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
        let database = postgres.database().await.url().to_owned();
        let (_, place) = database.split_once('@').unwrap();
        let (upstream, name) = place.split_once('/').unwrap();
        let proxy = TcpProxy::start(upstream.parse().unwrap()).await;
        let url = format!("postgres://postgres@{}/{name}", proxy.address());
        Self { postgres, proxy, url }
    }

    fn flags(&self) -> [&str; 4] {
        ["--database-url", &self.url, "--store-timeout", TIMEOUT]
    }
}

async fn status_of(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    health.check(request).await.unwrap().into_inner().status()
}

async fn until_ready(health: &mut HealthClient<Channel>, ready: ServingStatus) {
    eventually("the readiness changes", NOTICED, async || {
        (status_of(health, "lock.v1.LockService").await == ready).then_some(())
    })
    .await;
}

/// A call that must fail as the store being away, in time.
async fn refused<T: std::fmt::Debug>(what: &str, call: impl Future<Output = Result<T, Status>>) {
    let started = Instant::now();
    let result = call.await;
    let took = started.elapsed();
    let status = match result {
        Err(status) => status,
        Ok(answer) => panic!("{what} was answered while the database was away: {answer:?}"),
    };
    let details = failure(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    let retry = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(!retry.is_zero(), "{what}: {status:?}");
    assert!(took < LATEST, "{what} failed after {took:?}");
}

/// Every method, each on a lock that nothing else here looks at.
async fn refused_everywhere(locks: &Locks, leaver: &wire::Lock) {
    let owner_id = leaver.owner_id.clone();
    let release = wire::ReleaseRequest {
        resource: leaver.resource.clone(),
        owner_id: owner_id.clone(),
        fencing_token: None,
    };
    let get = wire::GetLockRequest { resource: leaver.resource.clone() };
    let (mut a, mut b, mut c, mut d) = clones(locks);
    refused("Acquire", a.acquire(acquire("plan/new", "somebody"))).await;
    refused("Renew", b.renew(renew(leaver))).await;
    refused("Release", c.release(release)).await;
    refused("ReleaseAll", d.release_all(wire::ReleaseAllRequest { owner_id })).await;
    refused("GetLock", a.get_lock(get)).await;
    refused("ListLocks", b.list_locks(wire::ListLocksRequest::default())).await;
    refused("ListStale", c.list_stale(wire::ListStaleRequest::default())).await;
    refused("PurgeStale", d.purge_stale(wire::PurgeStaleRequest::default())).await;
}

fn clones(locks: &Locks) -> (Locks, Locks, Locks, Locks) {
    (locks.clone(), locks.clone(), locks.clone(), locks.clone())
}

/// Breaks the database in one way, and looks at the server before, meanwhile
/// and after.
async fn outage(goes: impl AsyncFnOnce(&Rig), comes_back: impl AsyncFnOnce(&Rig)) {
    let rig = Rig::start().await;
    let server = TestServer::start(&rig.flags()).await;
    let mut locks = client(&server.url());
    let mut health = HealthClient::new(channel(&server.url()));
    let keeper = take(&locks, "plan/keeper", "keeper").await;
    let leaver = take(&locks, "plan/leaver", "leaver").await;
    let mut stream = OpenStream::open(&locks).await;
    stream.send(vec![lease(&keeper)]).await;
    stream.next().await.unwrap().unwrap();

    goes(&rig).await;
    stream.send(vec![lease(&keeper)]).await;
    refused("KeepAlive", stream.next()).await;
    assert!(stream.next().await.unwrap().is_none(), "the stream has ended");
    refused_everywhere(&locks, &leaver).await;
    let many = (0..64).map(|id| {
        let mut locks = locks.clone();
        async move { refused("Acquire", locks.acquire(acquire(&format!("many/{id}"), "a"))).await }
    });
    futures::future::join_all(many).await;
    until_ready(&mut health, ServingStatus::NotServing).await;
    assert_eq!(status_of(&mut health, "").await, ServingStatus::Serving, "it lives");

    comes_back(&rig).await;
    until_ready(&mut health, ServingStatus::Serving).await;
    let renewed =
        eventually("service resumes", NOTICED, async || locks.renew(renew(&keeper)).await.ok());
    let renewed = renewed.await.into_inner().lock.unwrap();
    assert_eq!(renewed.fencing_token, keeper.fencing_token);
    let status = locks.acquire(acquire("plan/keeper", "other")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_killed_and_started_again() {
    outage(async |rig| rig.postgres.kill(), async |rig| rig.postgres.start_again()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_shut_down_and_started_again() {
    outage(async |rig| rig.postgres.stop_fast(), async |rig| rig.postgres.start_again()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_frozen_and_goes_on() {
    outage(async |rig| rig.postgres.pause(), async |rig| rig.postgres.resume()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_to_the_database_are_cut() {
    outage(async |rig| rig.proxy.cut().await, async |rig| rig.proxy.resume().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_the_database_is_dead_and_comes_back() {
    outage(async |rig| rig.proxy.stall().await, async |rig| rig.proxy.resume().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_command_tells_ready_from_alive() {
    let rig = Rig::start().await;
    let server = Serving::start(&rig.flags()).await;
    let asks = ["health", "--listen", server.address()];
    run(&asks, &[]).await.ended_with(0);
    rig.proxy.cut().await;
    let not_ready = eventually("the readiness changes", NOTICED, async || {
        let asked = run(&asks, &[]).await;
        (asked.code != 0).then_some(asked)
    });
    not_ready.await.ended_with(1).complains(&["NOT_SERVING"]);
    run(&[&asks[..], &["--live"]].concat(), &[]).await.ended_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_database_is_away_is_graceful_all_the_same() {
    let rig = Rig::start().await;
    let mut server = Serving::start(&rig.flags()).await;
    take(&server.locks(), "plan/42", "owner").await;
    rig.proxy.stall().await;
    server.process.signal(service_kit::testing::Signal::SIGTERM);
    server.assert_ends_well(NOTICED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_database_ends_with_a_clear_message() {
    let port = free_port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/locks");
    let args = ["--listen", "127.0.0.1:0", "--database-url", &url];
    let place = format!("127.0.0.1:{port}/locks");
    run(&args, &[]).await.ended_with(1).complains(&["cannot use the database", &place, "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_database_does_not_answer_ends_in_bounded_time() {
    let rig = Rig::start().await;
    rig.proxy.stall().await;
    let args = [&["--listen", "127.0.0.1:0"][..], &rig.flags()].concat();
    let place = rig.url.rsplit('@').next().unwrap();
    run(&args, &[]).await.ended_with(1).complains(&["cannot use the database", place]);
    let migrate = [&["migrate"][..], &rig.flags()].concat();
    run(&migrate, &[]).await.ended_with(1).complains(&[place]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_grant_is_lost_when_the_database_is_killed() {
    let rig = Rig::start().await;
    let server = TestServer::start(&rig.flags()).await;
    let mut held = Vec::new();
    for round in 0..3 {
        let takers = (0..16).map(|id| {
            let mut locks = client(&server.url());
            let request = acquire(&format!("round-{round}/{id}"), "owner");
            tokio::spawn(async move { locks.acquire(request).await.ok() })
        });
        let takers: Vec<_> = takers.collect();
        // One at least is acknowledged, others are under way.
        held.push(take(&client(&server.url()), &format!("before/{round}"), "owner").await);
        rig.postgres.kill();
        for taker in takers {
            held.extend(taker.await.unwrap().map(|granted| granted.into_inner().lock.unwrap()));
        }
        rig.postgres.start_again();
        take_eventually(&client(&server.url()), &format!("after/{round}")).await;
    }
    let mut locks = client(&server.url());
    for lock in held {
        let get = wire::GetLockRequest { resource: lock.resource.clone() };
        let found = locks.get_lock(get).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(found.fencing_token, lock.fencing_token);
    }
    let gone = wire::GetLockRequest { resource: resource("after/none") };
    failure(&locks.get_lock(gone).await.unwrap_err(), Code::NotFound, "LOCK_NOT_FOUND");
}

async fn take_eventually(locks: &Locks, resource: &str) {
    eventually("the server grants again", DEADLINE, async || {
        locks.clone().acquire(acquire(resource, "owner")).await.ok()
    })
    .await;
}
