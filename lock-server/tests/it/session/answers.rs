//! What each command is answered: what the call of its name would be.

use proto::lock::v1::{
    self as wire, keep_alive_result::Outcome, session_request::Command as Asked,
    session_response::Outcome as Answered,
};

use crate::support::{
    Locks, OpenSession, acquire, lease, lock_of, on_each_store, release, renew, resource, span,
    take, unary,
};

/// The lock without what time changes from one answer to the next.
fn timeless(lock: &wire::Lock) -> wire::Lock {
    wire::Lock { remaining: None, ..lock.clone() }
}

async fn get(locks: &Locks, name: &str) -> wire::Lock {
    let get = wire::GetLockRequest { resource: resource(name) };
    locks.clone().get_lock(get).await.unwrap().into_inner().lock.unwrap()
}

#[tokio::test]
async fn an_acquire_is_granted_and_reentered_as_by_a_call() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        let request = wire::AcquireRequest {
            ttl: span(77, 0),
            metadata: [("host".to_owned(), "worker-7".to_owned())].into(),
            ..acquire("plan/42", "alice")
        };
        let granted = session.ask(Asked::Acquire(request.clone())).await;
        let Answered::Acquire(wire::AcquireResponse { reentrant: false, .. }) = granted else {
            panic!("{engine}: {granted:?}");
        };
        let lock = lock_of(&granted);
        assert_eq!(lock.ttl, span(77, 0), "{engine}");
        assert_eq!(lock.metadata, request.metadata, "{engine}");
        assert_eq!(timeless(lock), timeless(&get(&locks, "plan/42").await), "{engine}");

        // Shorter than what is left: the lock stays as it is, whoever asks.
        let shorter = Asked::Acquire(wire::AcquireRequest { ttl: span(7, 0), ..request });
        let by_call = unary(&locks, shorter.clone()).await.unwrap();
        let by_message = session.ask(shorter).await;
        for again in [by_call, by_message] {
            let Answered::Acquire(wire::AcquireResponse { reentrant: true, .. }) = again else {
                panic!("{engine}: {again:?}");
            };
            assert_eq!(timeless(lock_of(&again)), timeless(lock), "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_lock_is_renewed_and_released_across_calls_and_messages() {
    on_each_store(&[], async |engine, mut locks| {
        let mut session = OpenSession::open(&locks).await;
        let taken = take(&locks, "plan/42", "alice").await;
        let longer = wire::RenewRequest { ttl: span(1_000, 0), ..renew(&taken) };
        let renewed = session.ask(Asked::Renew(longer)).await;
        assert!(matches!(renewed, Answered::Renew(_)), "{engine}: {renewed:?}");
        let lock = lock_of(&renewed);
        assert_eq!((lock.fencing_token, lock.ttl), (taken.fencing_token, span(1_000, 0)));
        assert_eq!(timeless(lock), timeless(&get(&locks, "plan/42").await), "{engine}");
        let by_call = locks.renew(renew(lock)).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(by_call.ttl, lock.ttl, "{engine}: unset, it is the lock's own");

        for released in [true, false] {
            let answer = session.ask(Asked::Release(release("plan/42", "alice"))).await;
            assert_eq!(answer, Answered::Release(wire::ReleaseResponse { released }), "{engine}");
        }
        let granted = session.ask(Asked::Acquire(acquire("plan/42", "bob"))).await;
        assert!(lock_of(&granted).fencing_token > taken.fencing_token, "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_keep_alive_is_answered_as_on_its_own_stream() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        let mine = take(&locks, "plan/mine", "alice").await;
        let theirs = take(&locks, "plan/theirs", "bob").await;
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire("a/b", "alice") };
        let short = locks.acquire(short).await.unwrap().into_inner().lock.unwrap();
        crate::support::until_stale(&locks, "a/b").await;
        let foreign = wire::KeepAliveLease { owner_id: "alice".into(), ..lease(&theirs) };
        let never = wire::KeepAliveLease { resource: resource("plan/never"), ..lease(&mine) };
        // One of them twice.
        let leases = vec![lease(&mine), lease(&short), foreign, never, lease(&mine)];
        let request = Asked::KeepAlive(wire::KeepAliveRequest { leases, ttl: span(333, 0) });

        let mut session = OpenSession::open(&locks).await;
        let by_message = session.ask(request.clone()).await;
        let by_call = unary(&locks, request).await.unwrap();
        let [by_message, by_call] = [by_message, by_call].map(|answer| match answer {
            Answered::KeepAlive(answer) => answer.results,
            other => panic!("{engine}: {other:?}"),
        });
        assert_eq!(by_message.len(), 5, "{engine}");
        for (one, other) in by_message.iter().zip(&by_call) {
            assert_eq!(one.resource, other.resource, "{engine}");
            assert_eq!(one.fencing_token, other.fencing_token, "{engine}");
            match (&one.outcome, &other.outcome) {
                (Some(Outcome::Lock(one)), Some(Outcome::Lock(other))) => {
                    assert_eq!((one.fencing_token, one.ttl), (other.fencing_token, span(333, 0)));
                }
                (one, other) => assert_eq!(one, other, "{engine}: lost in the same way"),
            }
        }
        let lost = |at: usize| matches!(by_message[at].outcome, Some(Outcome::Lost(_)));
        assert_eq!([0, 1, 2, 3, 4].map(lost), [false, true, true, true, false], "{engine}");
        let nothing = session.ask(Asked::KeepAlive(wire::KeepAliveRequest::default())).await;
        assert_eq!(nothing, Answered::KeepAlive(wire::KeepAliveResponse::default()), "{engine}");
    })
    .await;
}

#[tokio::test]
async fn every_answer_carries_the_id_of_what_was_asked() {
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        let ids = [7, 0, u64::MAX, 3, 4_000_000_000, 1];
        for id in ids {
            let command = Asked::Acquire(acquire(&format!("plan/{id}"), "alice"));
            session.send_as(id, Some(command)).await;
        }
        let answers = session.answers(ids.len()).await;
        for id in ids {
            let lock = lock_of(&answers[&id]);
            assert_eq!(lock.resource, resource(&format!("plan/{id}")), "{engine}");
        }
        // The ids are the caller's: the same one again is answered again.
        for _ in 0..2 {
            session.send_as(7, Some(Asked::Release(release("plan/7", "alice")))).await;
        }
        for released in [true, false] {
            let answer = session.answer().await;
            let expected = Answered::Release(wire::ReleaseResponse { released });
            assert_eq!(answer, (7, expected), "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn many_commands_of_all_kinds_are_each_answered_for_themselves() {
    const EACH: usize = 200;
    on_each_store(&[], async |engine, locks| {
        let mut session = OpenSession::open(&locks).await;
        let mut held = Vec::new();
        for at in 0..EACH {
            held.push(take(&locks, &format!("held/{at}"), &format!("owner-{at}")).await);
        }
        for (at, lock) in held.iter().enumerate() {
            session.send(Asked::Acquire(acquire(&format!("new/{at}"), "alice"))).await;
            session.send(Asked::Renew(renew(lock))).await;
            session.send(Asked::Acquire(acquire(&format!("held/{at}"), "alice"))).await;
            session.send(Asked::Release(release(&format!("free/{at}"), "alice"))).await;
        }
        let answers = session.answers(4 * EACH).await;
        for (at, lock) in held.iter().enumerate() {
            let first = u64::try_from(4 * at).unwrap();
            let [granted, renewed, refused, released] =
                [1, 2, 3, 4].map(|number| &answers[&(first + number)]);
            assert_eq!(lock_of(granted).resource, resource(&format!("new/{at}")), "{engine}");
            assert_eq!(lock_of(renewed).fencing_token, lock.fencing_token, "{engine}");
            let status = crate::support::refusal(refused);
            let details =
                crate::support::failure(&status, tonic::Code::FailedPrecondition, "LOCK_CONFLICT");
            let holder = &details.error_info().unwrap().metadata["holder"];
            assert_eq!(*holder, format!("owner-{at}"), "{engine}");
            let free = Answered::Release(wire::ReleaseResponse { released: false });
            assert_eq!(*released, free, "{engine}");
        }
    })
    .await;
}
