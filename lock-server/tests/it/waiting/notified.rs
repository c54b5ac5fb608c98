//! Who is notified by Postgres, and that nobody is who need not be: commits that
//! notify wait for each other.

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{eventually, postgres};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgListener, PgNotification},
};

use super::scene::{get, line, until_waiting, wait_for, waiting};
use crate::support::{
    DEADLINE, Locks, acquire, client, force, release, renew, span, take, until_stale,
};

/// Two servers on one database, and somebody who listens for what West is told.
struct Pair {
    east: Locks,
    west: Locks,
    heard: PgListener,
    url: String,
    _servers: [TestServer; 2],
}

impl Pair {
    async fn start(url: &str) -> Self {
        let flags = ["--database-url", url, "--min-ttl", "100ms"];
        let servers = [TestServer::start(&flags).await, TestServer::start(&flags).await];
        let [east, west] = [client(&servers[0].url()), client(&servers[1].url())];
        // West's name stands where it has had a waiter.
        take(&west, "plan/first", "holder").await;
        let [waiter] = line(&west, "plan/first", ["waiter"]).await;
        let mut connection = PgConnection::connect(url).await.unwrap();
        let name: String = sqlx::query_scalar("SELECT server::text FROM lock_servers")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        drop(waiter);
        until_waiting(&west, "plan/first", 0).await;
        let mut heard = PgListener::connect(url).await.unwrap();
        let channels = [format!("lock_server_{}", name.replace('-', "")), MARK.to_owned()];
        heard.listen_all(channels.iter().map(String::as_str)).await.unwrap();
        Self { east, west, heard, url: url.to_owned(), _servers: servers }
    }

    /// What West has been told up to now: whom it concerns.
    async fn told(&mut self) -> Vec<String> {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query("NOTIFY the_test_is_here").execute(&mut connection).await.unwrap();
        let mut told = Vec::new();
        loop {
            let next = tokio::time::timeout(DEADLINE, self.heard.recv()).await;
            let next: PgNotification = next.expect("the mark in time").unwrap();
            if next.channel() == MARK {
                return told;
            }
            told.push(next.payload().replace('\n', " "));
        }
    }
}

/// Comes after all that was committed before it.
const MARK: &str = "the_test_is_here";

#[tokio::test]
async fn one_is_notified_for_each_hand_over_and_nobody_else() {
    let database = postgres::database().await;
    let mut pair = Pair::start(database.url()).await;
    let (mut east, west) = (pair.east.clone(), pair.west.clone());
    let held = take(&east, "plan/42", "holder").await;
    let [first, second, third] = line(&west, "plan/42", ["first", "second", "third"]).await;
    assert_eq!(pair.told().await, [""; 0], "nothing happens");
    let renewed = east.renew(renew(&held)).await.unwrap().into_inner();
    assert!(renewed.lock.is_some());
    east.acquire(acquire("plan/42", "newcomer")).await.unwrap_err();
    assert_eq!(pair.told().await, [""; 0], "nothing of it concerns who waits");

    // Through East, so West must be told: of the first one only.
    east.release(release("plan/42", "holder")).await.unwrap();
    let lock = first.granted().await;
    assert_eq!(pair.told().await, ["plan 42 first"]);
    east.force_release(force(&lock, "stuck")).await.unwrap();
    second.granted().await;
    assert_eq!(pair.told().await, ["plan 42 second"]);
    let all = wire::ReleaseAllRequest { owner_id: "third".into() };
    east.release_all(all).await.unwrap();
    assert_eq!(third.refused().await.code(), tonic::Code::Aborted);
    assert_eq!(pair.told().await, ["plan 42 third"]);
}

/// West does it itself, and knows.
#[tokio::test]
async fn a_hand_over_within_a_server_notifies_nobody() {
    let database = postgres::database().await;
    let mut pair = Pair::start(database.url()).await;
    let mut west = pair.west.clone();
    take(&west, "plan/42", "holder").await;
    let [first, second] = line(&west, "plan/42", ["first", "second"]).await;
    west.release(release("plan/42", "holder")).await.unwrap();
    first.granted().await;
    assert_eq!(pair.told().await, [""; 0]);
    west.release(release("plan/42", "first")).await.unwrap();
    second.granted().await;
    assert_eq!(pair.told().await, [""; 0]);
}

/// While others wait elsewhere, for something else.
#[tokio::test]
async fn what_nobody_waits_for_notifies_nobody() {
    let database = postgres::database().await;
    let mut pair = Pair::start(database.url()).await;
    let (mut east, west) = (pair.east.clone(), pair.west.clone());
    take(&east, "plan/42", "holder").await;
    let [waits] = line(&west, "plan/42", ["waits"]).await;
    for round in 0..50 {
        let name = format!("other/{round}");
        let lock = take(&east, &name, "holder").await;
        east.renew(renew(&lock)).await.unwrap();
        east.acquire(acquire(&name, "newcomer")).await.unwrap_err();
        let short = wire::AcquireRequest { wait: span(0, 1_000_000), ..acquire(&name, "in-vain") };
        if round % 10 == 0 {
            waiting(&east, short).refused().await;
        }
        match round % 3 {
            0 => drop(east.release(release(&name, "holder")).await.unwrap()),
            1 => drop(east.force_release(force(&lock, "stuck")).await.unwrap()),
            _ => {
                let short = wire::RenewRequest { ttl: span(0, 100_000_000), ..renew(&lock) };
                east.renew(short).await.unwrap();
                until_stale(&east, &name).await;
                take(&east, &name, "other").await;
                let all = wire::ReleaseAllRequest { owner_id: "other".into() };
                east.release_all(all).await.unwrap();
            }
        }
    }
    assert_eq!(pair.told().await, [""; 0]);
    assert!(!waits.is_answered());
    assert_eq!(get(&east, "plan/42").await.unwrap().queue_length, 1);
    drop(waits);
    eventually("the place is given up", DEADLINE, async || {
        (get(&east, "plan/42").await.unwrap().queue_length == 0).then_some(())
    })
    .await;
    // A wait that was granted at once was never in line.
    waiting(&west, wait_for("plan/free", "me")).granted().await;
    assert_eq!(pair.told().await, [""; 0]);
}
