//! Commands for one resource take effect in the order sent, however many are
//! under way.

use proto::lock::v1::{
    self as wire, keep_alive_result::Outcome as Kept, session_request::Command as Asked,
    session_response::Outcome as Answered,
};
use tonic::Code;

use crate::support::{
    Locks, OpenSession, acquire, failure, lease, lock_of, on_each_store, refusal, release, renew,
    resource,
};

/// What a command must come to, when those before it have taken effect.
#[derive(Debug)]
enum Expected {
    Granted { reentrant: bool },
    Conflict { holder: String },
    Released(bool),
    NotHeld { holder: Option<String> },
}

/// Who holds each resource, by the commands so far.
struct Model {
    holders: Vec<Option<String>>,
}

impl Model {
    fn acquire(&mut self, at: usize, owner: &str) -> Expected {
        match &self.holders[at] {
            None => {
                self.holders[at] = Some(owner.to_owned());
                Expected::Granted { reentrant: false }
            }
            Some(holder) if holder == owner => Expected::Granted { reentrant: true },
            Some(holder) => Expected::Conflict { holder: holder.clone() },
        }
    }

    fn release(&mut self, at: usize, owner: &str) -> Expected {
        match &self.holders[at] {
            None => Expected::Released(false),
            Some(holder) if holder == owner => {
                self.holders[at] = None;
                Expected::Released(true)
            }
            Some(holder) => Expected::NotHeld { holder: Some(holder.clone()) },
        }
    }

    /// A renewal under a token that nobody has.
    fn renew(&mut self, at: usize, owner: &str) -> Expected {
        let holder = self.holders[at].clone().filter(|holder| holder != owner);
        Expected::NotHeld { holder }
    }
}

/// A token that no grant has.
const NOBODYS: u64 = 1;

fn nobodys(name: &str, owner: &str) -> wire::RenewRequest {
    wire::RenewRequest {
        resource: resource(name),
        owner_id: owner.to_owned(),
        fencing_token: NOBODYS,
        ttl: None,
    }
}

#[track_caller]
fn assert_came_to(what: &str, expected: &Expected, outcome: &Answered) {
    let told = |reason, code| {
        let status = refusal(outcome);
        let details = failure(&status, code, reason);
        details.error_info().unwrap().metadata.get("holder").cloned()
    };
    match expected {
        Expected::Granted { reentrant } => match outcome {
            Answered::Acquire(answer) => assert_eq!(answer.reentrant, *reentrant, "{what}"),
            other => panic!("{what}: {other:?}"),
        },
        Expected::Conflict { holder } => {
            let named = told("LOCK_CONFLICT", Code::FailedPrecondition);
            assert_eq!(named.as_ref(), Some(holder), "{what}");
        }
        Expected::Released(released) => {
            let released = wire::ReleaseResponse { released: *released };
            assert_eq!(*outcome, Answered::Release(released), "{what}");
        }
        Expected::NotHeld { holder } => {
            assert_eq!(told("LOCK_NOT_HELD", Code::Aborted), *holder, "{what}");
        }
    }
}

/// Sends many commands by several owners for few resources, none of which waits
/// for an answer, and compares with what one after the other would come to.
async fn pipeline(what: &str, locks: &Locks, names: &str, commands: usize, seed: u64) {
    const RESOURCES: usize = 5;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut session = OpenSession::open(locks).await;
    let mut model = Model { holders: vec![None; RESOURCES] };
    let mut expected = Vec::new();
    for _ in 0..commands {
        let at = random.usize(..RESOURCES);
        let (name, owner) = (format!("{names}/{at}"), format!("owner-{}", random.u8(..3)));
        let (command, comes_to) = match random.u8(..5) {
            0..2 => (Asked::Acquire(acquire(&name, &owner)), model.acquire(at, &owner)),
            2 => (Asked::Renew(nobodys(&name, &owner)), model.renew(at, &owner)),
            _ => (Asked::Release(release(&name, &owner)), model.release(at, &owner)),
        };
        expected.push((session.send(command).await, comes_to));
    }
    session.end();
    let answers = session.answers(commands).await;
    for (id, expected) in expected {
        assert_came_to(&format!("{what}, seed {seed}, command {id}"), &expected, &answers[&id]);
    }
    assert_eq!(session.next().await.unwrap(), None, "{what}: the stream ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_commands_come_to_what_one_after_the_other_would() {
    const ROUNDS: usize = 8;
    on_each_store(&[], async |engine, locks| {
        for round in 0..ROUNDS {
            // Others are in the same batches.
            let streams = ["a", "b", "c"].map(|name| {
                let names = format!("{name}{round}");
                let locks = locks.clone();
                async move { pipeline(engine, &locks, &names, 400, fastrand::u64(..)).await }
            });
            futures::future::join_all(streams).await;
        }
    })
    .await;
}

/// Taken, given back and taken by the next one, over and over.
#[tokio::test]
async fn a_lock_goes_from_hand_to_hand_without_an_answer_in_between() {
    const HANDS: u64 = 300;
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        for hand in 0..HANDS {
            let owner = format!("owner-{hand}");
            session.send(Asked::Acquire(acquire("plan/42", &owner))).await;
            session.send(Asked::Release(release("plan/42", &owner))).await;
        }
        let answers = session.answers(2 * usize::try_from(HANDS).unwrap()).await;
        let tokens: Vec<_> = (0..HANDS)
            .map(|hand| {
                let lock = lock_of(&answers[&(2 * hand + 1)]);
                assert_eq!(lock.owner_id, format!("owner-{hand}"), "{engine}");
                let released = Answered::Release(wire::ReleaseResponse { released: true });
                assert_eq!(answers[&(2 * hand + 2)], released, "{engine}");
                lock.fencing_token
            })
            .collect();
        assert!(tokens.is_sorted_by(|one, next| one < next), "{engine}: {tokens:?}");
    })
    .await;
}

#[tokio::test]
async fn a_keep_alive_has_its_place_among_the_commands() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        for round in 0..50 {
            let name = format!("plan/{round}");
            let held = session.ask(Asked::Acquire(acquire(&name, "alice"))).await;
            let lock = lock_of(&held).clone();
            let keep = wire::KeepAliveRequest { leases: vec![lease(&lock)], ttl: None };
            session.send_as(1, Some(Asked::KeepAlive(keep.clone()))).await;
            session.send_as(2, Some(Asked::Release(release(&name, "alice")))).await;
            session.send_as(3, Some(Asked::KeepAlive(keep))).await;
            session.send_as(4, Some(Asked::Acquire(acquire(&name, "bob")))).await;
            session.send_as(5, Some(Asked::Renew(renew(&lock)))).await;
            let answers = session.answers(5).await;
            let kept = |id| match &answers[&id] {
                Answered::KeepAlive(answer) => {
                    matches!(answer.results[0].outcome, Some(Kept::Lock(_)))
                }
                other => panic!("{engine}: {other:?}"),
            };
            assert!(kept(1), "{engine}: held then");
            assert!(!kept(3), "{engine}: released then");
            assert_eq!(lock_of(&answers[&4]).owner_id, "bob", "{engine}");
            let status = refusal(&answers[&5]);
            let details = failure(&status, Code::Aborted, "LOCK_NOT_HELD");
            assert_eq!(details.error_info().unwrap().metadata["holder"], "bob", "{engine}");
        }
    })
    .await;
}
