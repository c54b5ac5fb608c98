//! Waiting on a command stream: it keeps nobody else on the stream from being
//! answered, and takes effect in the order sent.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tonic::Code;

use super::scene::{Scene, get, line, until_waiting, wait_for};
use crate::support::{
    Locks, OpenSession, acquire, failure, lease, lock_of, on_each_store, refusal, release, renew,
    span, take,
};

/// More than the commands that a stream may have without an answer.
const MANY: u64 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn many_who_wait_keep_nobody_from_being_answered() {
    Scene::on_each_store(&[], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        let mut session = OpenSession::open(locks).await;
        let held = session.ask(Asked::Acquire(acquire("plan/42", "holder"))).await;
        let mut held = lock_of(&held).clone();
        let mut in_line = VecDeque::new();
        for number in 0..MANY {
            let owner = format!("owner-{number}");
            let id = session.send(Asked::Acquire(wait_for("plan/42", &owner))).await;
            in_line.push_back((id, owner));
        }
        // Every other kind of command, while all of them wait.
        let lock = session.ask(Asked::Acquire(acquire("plan/7", "me"))).await;
        let lock = lock_of(&lock).clone();
        until_waiting(locks, "plan/42", MANY).await;
        let renewed = session.ask(Asked::Renew(renew(&lock))).await;
        assert_eq!(lock_of(&renewed).fencing_token, lock.fencing_token, "{engine}");
        let leases = vec![lease(&lock), lease(&held)];
        let kept =
            session.ask(Asked::KeepAlive(wire::KeepAliveRequest { leases, ttl: None })).await;
        assert!(matches!(kept, Answered::KeepAlive(_)), "{engine}: {kept:?}");
        let released = session.ask(Asked::Release(release("plan/7", "me"))).await;
        assert!(matches!(released, Answered::Release(_)), "{engine}: {released:?}");
        let conflict = session.ask(Asked::Acquire(acquire("plan/42", "me"))).await;
        let details = failure(&refusal(&conflict), Code::FailedPrecondition, "LOCK_CONFLICT");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["queue_length"], MANY.to_string(), "{engine}");
        let short =
            wire::AcquireRequest { wait: span(0, 1_000_000), ..acquire("plan/42", "short") };
        let conflict = session.ask(Asked::Acquire(short)).await;
        failure(&refusal(&conflict), Code::FailedPrecondition, "LOCK_CONFLICT");

        // From hand to hand, for a while; then the stream goes.
        for _ in 0..50 {
            let give_back = session.send(Asked::Release(release("plan/42", &held.owner_id))).await;
            let (id, owner) = in_line.pop_front().unwrap();
            let answers = session.answers(2).await;
            let released = Answered::Release(wire::ReleaseResponse { released: true });
            assert_eq!(answers[&give_back], released, "{engine}");
            let lock = lock_of(&answers[&id]).clone();
            assert_eq!(lock.owner_id, owner, "{engine}");
            assert!(lock.fencing_token > held.fencing_token, "{engine}");
            held = lock;
        }
        let [next] = line(locks, "plan/42", ["next"]).await;
        drop(session);
        until_waiting(locks, "plan/42", 1).await;
        locks.clone().release(release("plan/42", &held.owner_id)).await.unwrap();
        assert!(next.granted().await.fencing_token > held.fencing_token, "{engine}");
    })
    .await;
}

/// All is answered long before, with nobody who waits for anything but commands.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// What a command must come to, when those before it have taken effect.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Granted,
    Reentered,
    Conflict(String),
    Released(bool),
    NotHeld(String),
    Cancelled,
}

/// A resource, by the commands so far.
#[derive(Debug, Default)]
struct Model {
    holder: Option<String>,
    line: VecDeque<(String, u64)>,
}

impl Model {
    fn acquire(&mut self, owner: &str) -> Expected {
        match &self.holder {
            None => {
                self.holder = Some(owner.to_owned());
                Expected::Granted
            }
            Some(holder) if holder == owner => Expected::Reentered,
            Some(holder) => Expected::Conflict(holder.clone()),
        }
    }

    /// The release, and the acquire that it grants.
    fn release(&mut self, owner: &str) -> (Expected, Option<u64>) {
        match &self.holder {
            None => (Expected::Released(false), None),
            Some(holder) if holder == owner => {
                let next = self.line.pop_front();
                let granted = next.as_ref().map(|(_, id)| *id);
                self.holder = next.map(|(owner, _)| owner);
                (Expected::Released(true), granted)
            }
            Some(holder) => (Expected::NotHeld(holder.clone()), None),
        }
    }

    fn waits(&self, owner: &str) -> bool {
        self.line.iter().any(|(waits, _)| waits == owner)
    }
}

fn came_to(outcome: &Answered) -> Expected {
    match outcome {
        Answered::Acquire(answer) if answer.reentrant => Expected::Reentered,
        Answered::Acquire(_) => Expected::Granted,
        Answered::Release(answer) => Expected::Released(answer.released),
        other => {
            let status = refusal(other);
            let details = tonic_types::StatusExt::get_error_details(&status);
            let info = details.error_info().unwrap();
            let holder = info.metadata.get("holder").cloned().unwrap_or_default();
            match info.reason.as_str() {
                "LOCK_CONFLICT" => Expected::Conflict(holder),
                "LOCK_NOT_HELD" => Expected::NotHeld(holder),
                "WAIT_CANCELLED" => Expected::Cancelled,
                other => panic!("{other}: {status:?}"),
            }
        }
    }
}

/// Sends many commands for few resources, some of which wait, without waiting for
/// an answer, and compares with what one after the other would come to. Each
/// resource has owners of its own: nobody waits in a circle.
async fn pipeline(what: &str, locks: &Locks, names: &str, commands: usize, seed: u64) {
    const RESOURCES: usize = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut session = OpenSession::open(locks).await;
    let mut models: [Model; RESOURCES] = std::array::from_fn(|_| Model::default());
    let mut expected = HashMap::new();
    for _ in 0..commands {
        let at = random.usize(..RESOURCES);
        let (name, model) = (format!("{names}/{at}"), &mut models[at]);
        let owner = format!("{names}-{at}-{}", random.u8(..6));
        match random.u8(..6) {
            0..3 if !model.waits(&owner) => {
                let id = session.send(Asked::Acquire(wait_for(&name, &owner))).await;
                match model.acquire(&owner) {
                    Expected::Conflict(_) => model.line.push_back((owner, id)),
                    at_once => drop(expected.insert(id, at_once)),
                }
            }
            0..4 => {
                let id = session.send(Asked::Acquire(acquire(&name, &owner))).await;
                expected.insert(id, model.acquire(&owner));
            }
            holder => {
                // Mostly by who holds it.
                let holder = model.holder.clone().filter(|_| holder == 5);
                let owner = holder.unwrap_or(owner);
                let id = session.send(Asked::Release(release(&name, &owner))).await;
                let (released, granted) = model.release(&owner);
                expected.insert(id, released);
                expected.extend(granted.map(|id| (id, Expected::Granted)));
            }
        }
    }
    for (at, model) in models.iter_mut().enumerate() {
        while let Some(holder) = model.holder.clone() {
            let name = format!("{names}/{at}");
            let id = session.send(Asked::Release(release(&name, &holder))).await;
            let (released, granted) = model.release(&holder);
            expected.insert(id, released);
            expected.extend(granted.map(|id| (id, Expected::Granted)));
        }
    }
    session.end();
    while !expected.is_empty() {
        let Ok((id, outcome)) = tokio::time::timeout(ANSWERED_WITHIN, session.answer()).await
        else {
            panic!("{what}, seed {seed}: not answered: {expected:?}");
        };
        let expected = expected.remove(&id);
        assert_eq!(Some(came_to(&outcome)), expected, "{what}, seed {seed}, command {id}");
    }
    assert_eq!(session.next().await.unwrap(), None, "{what}: the stream ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_waits_come_to_what_one_after_the_other_would() {
    const ROUNDS: usize = 6;
    Scene::on_each_store(&[], async |scene| {
        for round in 0..ROUNDS {
            let streams = ["a", "b", "c"].map(|name| {
                let names = format!("{name}{round}");
                let locks = scene.locks.clone();
                let engine = scene.engine();
                async move { pipeline(engine, &locks, &names, 300, fastrand::u64(..)).await }
            });
            futures::future::join_all(streams).await;
        }
    })
    .await;
}

/// Two messages of one owner are as two calls: one place, and both have the lock.
#[tokio::test]
async fn two_waits_of_one_owner_on_one_stream_share_a_place() {
    Scene::on_each_store(&[], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        let held = take(locks, "plan/42", "holder").await;
        let mut session = OpenSession::open(locks).await;
        let one = session.send(Asked::Acquire(wait_for("plan/42", "me"))).await;
        let other = session.send(Asked::Acquire(wait_for("plan/42", "me"))).await;
        // What is sent later is carried out later.
        let conflict = session.ask(Asked::Acquire(acquire("plan/42", "newcomer"))).await;
        let details = failure(&refusal(&conflict), Code::FailedPrecondition, "LOCK_CONFLICT");
        assert_eq!(details.error_info().unwrap().metadata["queue_length"], "1", "{engine}");
        locks.clone().release(release("plan/42", "holder")).await.unwrap();
        let answers = session.answers(2).await;
        let [one, other] = [one, other].map(|id| lock_of(&answers[&id]));
        assert!(one.fencing_token > held.fencing_token, "{engine}");
        assert_eq!(one.fencing_token, other.fencing_token, "{engine}");
        assert_eq!(get(locks, "plan/42").await.unwrap().fencing_token, one.fencing_token);
    })
    .await;
}

/// One of them ends before the other: its end is its own.
#[tokio::test]
async fn of_two_who_share_a_place_the_shorter_wait_ends_alone() {
    Scene::on_each_store(&[], async |scene| {
        let (engine, locks) = (scene.engine(), &scene.locks);
        take(locks, "plan/42", "holder").await;
        for shorter_first in [true, false] {
            let short =
                wire::AcquireRequest { wait: span(0, 300_000_000), ..acquire("plan/42", "me") };
            let long = wait_for("plan/42", "me");
            let mut session = OpenSession::open(locks).await;
            let in_order =
                if shorter_first { [short.clone(), long] } else { [long, short.clone()] };
            let mut ids = Vec::new();
            for request in in_order {
                ids.push(session.send(Asked::Acquire(request)).await);
            }
            let (answered, outcome) = session.answer().await;
            assert_eq!(answered, ids[usize::from(!shorter_first)], "{engine}");
            failure(&refusal(&outcome), Code::FailedPrecondition, "LOCK_CONFLICT");
            let what = format!("{engine}, the shorter first: {shorter_first}");
            assert_eq!(get(locks, "plan/42").await.unwrap().queue_length, 1, "{what}");
            locks.clone().release(release("plan/42", "holder")).await.unwrap();
            let (answered, outcome) = session.answer().await;
            assert_eq!(answered, ids[usize::from(shorter_first)], "{what}");
            assert_eq!(lock_of(&outcome).owner_id, "me", "{what}");
            locks.clone().release(release("plan/42", "me")).await.unwrap();
            take(locks, "plan/42", "holder").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_wait_is_named_and_the_stream_goes_on() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        for wait in [span(-1, 0), span(3_601, 0), span(1, -1)] {
            let wrong = wire::AcquireRequest { wait, ..acquire("plan/42", "me") };
            let outcome = session.ask(Asked::Acquire(wrong)).await;
            assert_eq!(crate::support::wrong(&refusal(&outcome)), ["wait"], "{engine}");
        }
        session.ask(Asked::Acquire(wait_for("plan/42", "me"))).await;
    })
    .await;
}
