//! A client that was stopped while it waits: its connection is there, and says
//! nothing. The server pings it, so it is noticed after the interval and the
//! timeout of a ping, 0.6 s here.

use std::time::{Duration, Instant};

use service_kit::testing::{TcpProxy, TestDatabase, postgres};

use crate::support::{Locks, Queue, Serving, Waiters, client, release, take, until_waiting};

/// Interval and timeout of a ping together are 0.6 s.
const FLAGS: [&str; 6] =
    ["--ping-interval", "300ms", "--ping-timeout", "300ms", "--min-ttl", "100ms"];

/// Pings, the server's work, and a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_millis(600 + 2_000);

/// A server, and a way to it that can fall silent.
struct Scene {
    database: TestDatabase,
    _server: Serving,
    locks: Locks,
    proxy: TcpProxy,
    /// Goes through the proxy.
    stopped: Locks,
}

impl Scene {
    async fn set() -> Self {
        let database = postgres::database().await;
        let flags = [&["--database-url", database.url()], &FLAGS[..]].concat();
        let server = Serving::start(&flags).await;
        let locks = server.locks();
        let proxy = TcpProxy::start(server.address().parse().unwrap()).await;
        let stopped = client(&format!("http://{}", proxy.address()));
        Self { database, _server: server, locks, proxy, stopped }
    }

    async fn end(self) {
        let bound = Duration::from_secs(5);
        Queue::of(self.database.url()).assert_empty_within(bound).await;
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_loses_its_place() {
    let scene = Scene::set().await;
    let held = take(&scene.locks, "holder").await;
    let mut waiters = Waiters::new();
    waiters.ask(&scene.stopped, "stopped-by-call");
    waiters.ask_on_a_stream(&scene.stopped, &["stopped-on-a-stream".to_owned()]);
    until_waiting(&scene.locks, 2).await;
    waiters.ask(&scene.locks, "next");
    until_waiting(&scene.locks, 3).await;
    scene.proxy.stall().await;
    let silent = Instant::now();
    until_waiting(&scene.locks, 1).await;
    assert!(silent.elapsed() < NOTICED_WITHIN, "{:?}", silent.elapsed());
    assert_eq!(Queue::of(scene.database.url()).owners().await, ["next"]);
    release(&scene.locks, &held).await;
    let (owner, lock) = waiters.answer().await;
    assert_eq!(owner, "next");
    release(&scene.locks, &lock.unwrap()).await;
    scene.end().await;
}

/// It may have the answer: a server cannot know, and takes no lease from who may
/// believe in it. So it goes on when it has run out, and not before.
#[tokio::test]
async fn what_was_granted_to_a_client_that_had_fallen_silent_goes_on_when_it_has_run_out() {
    const TTL: Duration = Duration::from_secs(2);
    for streams in [false, true] {
        let scene = Scene::set().await;
        let held = take(&scene.locks, "holder").await;
        let mut waiters = Waiters::with_ttl(TTL);
        if streams {
            waiters.ask_on_a_stream(&scene.stopped, &["stopped".to_owned()]);
        } else {
            waiters.ask(&scene.stopped, "stopped");
        }
        until_waiting(&scene.locks, 1).await;
        waiters.ask(&scene.locks, "next");
        until_waiting(&scene.locks, 2).await;
        scene.proxy.stall().await;
        let silent = Instant::now();
        release(&scene.locks, &held).await;
        let (owner, lock) = waiters.answer().await;
        let lock = lock.unwrap();
        assert_eq!(owner, "next");
        let took = silent.elapsed();
        assert!(took > TTL && took < TTL + Duration::from_secs(2), "streams {streams}: {took:?}");
        release(&scene.locks, &lock).await;
        scene.end().await;
    }
}
