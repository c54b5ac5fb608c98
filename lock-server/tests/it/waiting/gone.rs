//! Callers who are not there any more: their places are given up at once.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use proto::lock::v1::{self as wire, session_request::Command as Asked};
use service_kit::testing::{TcpProxy, eventually};
use tonic::{Request, Response, Status};

use super::scene::{Scene, Waiting, get, line, until_waiting, wait_for, waiting};
use crate::support::{DEADLINE, Locks, OpenSession, acquire, client, lock_of, release, take};

/// "At once", on a busy machine; far below the ping of 10 s, the grace of 10 s
/// and all waits.
const AT_ONCE: Duration = Duration::from_secs(4);

/// How callers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// The call is cancelled, or the stream.
    Cancelled,
    /// The connection breaks.
    Cut,
    /// The connection is closed.
    Closed,
    /// The call's deadline is over, and nothing tells the server but its clock.
    TimedOut,
}

/// Callers on a connection of their own.
struct Away {
    proxy: TcpProxy,
    locks: Option<Locks>,
    calls: Vec<Waiting>,
    streams: Vec<OpenSession>,
}

impl Away {
    async fn before(scene: &Scene) -> Self {
        let url = scene.server.url();
        let proxy = TcpProxy::start(url.trim_start_matches("http://").parse().unwrap()).await;
        let locks = Some(client(&format!("http://{}", proxy.address())));
        Self { proxy, locks, calls: Vec::new(), streams: Vec::new() }
    }

    async fn waits_by_a_call(&mut self, owner: &str, goes: Goes) {
        let mut request = Request::new(wait_for("plan/42", owner));
        if goes == Goes::TimedOut {
            request.set_timeout(Duration::from_secs(1));
        }
        self.calls.push(waiting(self.locks.as_ref().unwrap(), request));
    }

    async fn waits_on_a_stream(&mut self, owner: &str) {
        let mut stream = OpenSession::open(self.locks.as_ref().unwrap()).await;
        stream.send(Asked::Acquire(wait_for("plan/42", owner))).await;
        self.streams.push(stream);
    }

    async fn go(&mut self, goes: Goes) {
        match goes {
            Goes::Cancelled => {
                self.calls.clear();
                self.streams.clear();
            }
            Goes::Cut => self.proxy.cut().await,
            Goes::Closed => {
                self.locks = None;
                self.calls.clear();
                self.streams.clear();
            }
            Goes::TimedOut => self.proxy.stall().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_gives_up_its_place_at_once() {
    Scene::on_each_store(&[], async |scene| {
        for goes in [Goes::Cancelled, Goes::Cut, Goes::Closed, Goes::TimedOut] {
            let (what, locks) = (format!("{}: {goes:?}", scene.engine()), &scene.locks);
            let held = take(locks, "plan/42", "holder").await;
            let mut away = Away::before(scene).await;
            away.waits_by_a_call("first", goes).await;
            until_waiting(locks, "plan/42", 1).await;
            let mut before = 1;
            if goes != Goes::TimedOut {
                away.waits_on_a_stream("second").await;
                until_waiting(locks, "plan/42", 2).await;
                before = 2;
            }
            let [stays] = line(locks, "plan/42", ["stays"]).await;
            assert_eq!(get(locks, "plan/42").await.unwrap().queue_length, before + 1, "{what}");
            let went = Instant::now();
            away.go(goes).await;
            until_waiting(locks, "plan/42", 1).await;
            assert!(went.elapsed() < AT_ONCE, "{what}: {:?}", went.elapsed());
            assert_eq!(scene.places().await, (1, 1), "{what}");
            locks.clone().release(release("plan/42", "holder")).await.unwrap();
            let lock = stays.granted().await;
            assert!(lock.fencing_token > held.fencing_token, "{what}");
            locks.clone().release(release("plan/42", "stays")).await.unwrap();
        }
    })
    .await;
}

type Call = Pin<Box<dyn Future<Output = Result<Response<wire::AcquireResponse>, Status>>>>;

/// Stands in line by a call that is cancelled at the moment at which it is dropped.
async fn by_a_call(locks: &Locks, name: &str, owner: &str) -> Call {
    let (mut caller, request) = (locks.clone(), wait_for(name, owner));
    let mut call: Call = Box::pin(async move { caller.acquire(request).await });
    tokio::select! {
        answer = &mut call => panic!("it has its answer: {answer:?}"),
        () = until_waiting(locks, name, 1) => {}
    }
    call
}

/// Of so many rounds those in which the answer may have been on the way as the
/// caller went: the release may come before the server hears of it. What was
/// granted so is the caller's, who alone may know.
const ROUNDS: u64 = 40;
const LOST: u64 = 6;

/// Gives back what an owner was granted whom its answer did not reach.
async fn give_back(locks: &Locks, name: &str, gone: &[&str]) -> u64 {
    let lock = get(locks, name).await.unwrap();
    assert!(gone.contains(&lock.owner_id.as_str()), "{lock:?}");
    locks.clone().release(release(name, &lock.owner_id)).await.unwrap();
    1
}

/// The release comes as the server hears that two have gone, before, and after:
/// the next one has it soon, and nobody who has gone keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_to_who_goes_at_that_moment_is_passed_on() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        let mut lost = 0;
        for round in 0..ROUNDS {
            let name = format!("plan/{round}");
            take(locks, &name, "holder").await;
            let mut session = OpenSession::open(locks).await;
            let first = by_a_call(locks, &name, "first").await;
            session.send(Asked::Acquire(wait_for(&name, "second"))).await;
            until_waiting(locks, &name, 2).await;
            let [third] = line(locks, &name, ["third"]).await;
            drop((first, session));
            tokio::time::sleep(Duration::from_micros(round * 50)).await;
            let released = locks.clone().release(release(&name, "holder")).await.unwrap();
            assert!(released.into_inner().released);
            let mut began = Instant::now();
            while !third.is_answered() {
                if began.elapsed() > AT_ONCE {
                    lost += give_back(locks, &name, &["first", "second"]).await;
                    began = Instant::now();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let lock = third.granted().await;
            assert_eq!(get(locks, &name).await.unwrap().fencing_token, lock.fencing_token);
            assert_eq!(lock.queue_length, 0, "{}", scene.engine());
        }
        assert!(lost <= LOST, "{}: {lost} of {ROUNDS} are kept by nobody", scene.engine());
    })
    .await;
}

/// The same, and nobody is next: the lock is free and not held by a ghost.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_there_to_take_is_free() {
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        for round in 0..ROUNDS {
            let name = format!("plan/{round}");
            take(locks, &name, "holder").await;
            let gone = by_a_call(locks, &name, "gone").await;
            drop(gone);
            tokio::time::sleep(Duration::from_micros(round * 50)).await;
            let released = locks.clone().release(release(&name, "holder")).await.unwrap();
            assert!(released.into_inner().released);
        }
        let what = format!("{}: those are free who went", scene.engine());
        eventually(&what, AT_ONCE, async || {
            let list = wire::ListLocksRequest::default();
            let held = locks.clone().list_locks(list).await.unwrap().into_inner().locks;
            (held.len() as u64 <= LOST).then_some(())
        })
        .await;
    })
    .await;
}

/// Who went and asks again before the grant that it missed was passed on has it.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_for_what_it_was_granted_keeps_it() {
    const ROUNDS: u64 = 40;
    Scene::on_each_store(&[], async |scene| {
        let locks = &scene.locks;
        for round in 0..ROUNDS {
            let name = format!("plan/{round}");
            take(locks, &name, "holder").await;
            let [gone] = line(locks, &name, ["back"]).await;
            let mut holder = locks.clone();
            let (released, ()) = tokio::join!(holder.release(release(&name, "holder")), async {
                tokio::time::sleep(Duration::from_micros(round * 100)).await;
                drop(gone);
            });
            assert!(released.unwrap().into_inner().released);
            let answer = waiting(locks, wait_for(&name, "back")).ended().await.0.unwrap();
            let lock = answer.lock.unwrap();
            // Nothing that is still under way takes it back: what is asked now
            // comes after it.
            for _ in 0..3 {
                let status = locks.clone().acquire(acquire(&name, "other")).await.unwrap_err();
                assert!(status.message().contains("back"), "{status:?}");
            }
            let now = get(locks, &name).await.unwrap();
            assert_eq!(now.fencing_token, lock.fencing_token, "{}: {name}", scene.engine());
        }
        // A stream that is dropped and opened anew does the same.
        take(locks, "plan/stream", "holder").await;
        let mut session = OpenSession::open(locks).await;
        session.send(Asked::Acquire(wait_for("plan/stream", "back"))).await;
        until_waiting(locks, "plan/stream", 1).await;
        drop(session);
        let mut session = OpenSession::open(locks).await;
        session.send(Asked::Acquire(wait_for("plan/stream", "back"))).await;
        locks.clone().release(release("plan/stream", "holder")).await.unwrap();
        let answered = tokio::time::timeout(DEADLINE, session.answer()).await.unwrap();
        assert_eq!(lock_of(&answered.1).owner_id, "back");
    })
    .await;
}
