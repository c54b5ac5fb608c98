//! The command stream: that commands go over it, that they are calls where it
//! is not, and that nothing is lost with it.

use std::{collections::HashSet, time::Duration};

use lock_client::{
    AcquireOptions, ClientError, ListFilter, LockClient, Released, Resource, StaleFilter,
};
use service_kit::testing::{TcpProxy, eventually};
use tonic::Status;

use crate::fake::{
    Asked, Fake, Mood, PATIENCE, SessionMood, conflict, invalid, not_held, overloaded,
    shutting_down,
};

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

fn plan(id: impl ToString) -> Resource {
    Resource::new("plan", id.to_string())
}

fn acquisitions_of(fake: &Fake, id: &str) -> usize {
    fake.count(|asked| *asked == Asked::Acquire(id.to_owned()))
}

async fn acquisitions(fake: &Fake, id: &str, count: usize) {
    let asked = async || (acquisitions_of(fake, id) >= count).then_some(());
    eventually(&format!("{count} acquisitions of {id}"), PATIENCE, asked).await;
}

/// An acquisition that is under way at this server.
async fn under_way(
    fake: &Fake,
    client: &LockClient,
) -> tokio::task::JoinHandle<Result<lock_client::LockGuard, ClientError>> {
    fake.on_acquire(Mood::Silent);
    let client = client.clone();
    let acquisition = tokio::spawn(async move { client.acquire(plan("a"), options()).await });
    acquisitions(fake, "a", 1).await;
    acquisition
}

// ---- which way ----

/// Each kind of command once, with a guard and without.
async fn one_of_each(client: &LockClient) {
    let guard = client.acquire(plan("a"), options()).await.unwrap();
    let (owner, token) = (client.owner_id(), guard.fencing_token());
    client.renew(plan("a"), owner, token, None).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    let taken = client.acquire_unguarded(plan("b"), options()).await.unwrap();
    let token = taken.lock.fencing_token;
    client.renew(plan("b"), owner, token, Some(Duration::from_secs(9))).await.unwrap();
    assert!(client.release(plan("b"), owner, Some(token)).await.unwrap().released);
}

const OF_EACH: usize = 6;

#[tokio::test]
async fn commands_go_over_one_stream_and_everything_else_as_calls() {
    let fake = Fake::start();
    let client = fake.client();
    one_of_each(&client).await;
    one_of_each(&client.with_new_owner()).await;
    assert_eq!((fake.sessions(), fake.messages()), (1, 2 * OF_EACH));
    client.get(plan("a")).await.unwrap();
    client.list(ListFilter::default(), 0, "").await.unwrap_err();
    client.purge_stale(StaleFilter::default()).await.unwrap();
    client.release_all().await.unwrap();
    assert_eq!((fake.sessions(), fake.messages()), (1, 2 * OF_EACH));
}

#[tokio::test]
async fn a_server_that_knows_no_stream_is_asked_for_it_once_and_called() {
    let fake = Fake::start();
    fake.on_session(SessionMood::Unknown);
    let client = fake.client();
    one_of_each(&client).await;
    one_of_each(&client).await;
    assert_eq!((fake.sessions(), fake.messages()), (1, 0));
    assert_eq!(fake.asked().len(), 2 * OF_EACH, "each was asked once: {:?}", fake.asked());
}

#[tokio::test]
async fn many_commands_at_once_ask_an_old_server_for_the_stream_once() {
    let fake = Fake::start();
    fake.on_session(SessionMood::Unknown);
    let client = fake.client();
    let acquire = |id: usize| client.acquire(plan(id), options());
    let guards = futures::future::try_join_all((0..200).map(acquire)).await.unwrap();
    assert_eq!((fake.sessions(), fake.messages()), (1, 0));
    assert!(guards.iter().all(|guard| !guard.retried() && !guard.reentrant()));
}

#[tokio::test]
async fn a_server_that_is_replaced_by_a_newer_or_older_one_is_asked_again() {
    let fake = Fake::start();
    let proxy = TcpProxy::start(fake.address()).await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    for (mood, messages) in [
        (SessionMood::Unknown, 0),
        (SessionMood::Willing, OF_EACH),
        (SessionMood::Unknown, 0),
        (SessionMood::Willing, OF_EACH),
    ] {
        fake.on_session(mood);
        let (sessions, before) = (fake.sessions(), fake.messages());
        one_of_each(&client).await;
        one_of_each(&client).await;
        assert_eq!(fake.messages() - before, 2 * messages, "{mood:?}");
        assert_eq!(fake.sessions() - sessions, 1, "{mood:?}");
        proxy.cut().await;
        fake.no_session_is_open().await;
        proxy.resume().await;
        // A command that meets the broken connection is repeated; this one is
        // there to meet it.
        client.get(plan("a")).await.unwrap();
    }
}

#[tokio::test]
async fn a_command_too_large_for_some_servers_is_a_call_and_leaves_the_stream_alone() {
    let fake = Fake::start();
    let client = fake.client();
    client.acquire_unguarded(plan("a"), options()).await.unwrap();
    client.acquire_unguarded(plan("x".repeat(5_000)), options()).await.unwrap();
    client.acquire_unguarded(plan("b"), options()).await.unwrap();
    assert_eq!((fake.sessions(), fake.messages(), fake.asked().len()), (1, 2, 3));
}

#[tokio::test]
async fn a_stream_that_nobody_uses_is_closed_and_opened_again_when_somebody_does() {
    let fake = Fake::start();
    let client = fake.client();
    client.acquire_unguarded(plan("a"), options()).await.unwrap();
    fake.no_session_is_open().await;
    let again = client.acquire_unguarded(plan("a"), options()).await.unwrap();
    assert!(!again.retried);
    assert_eq!((fake.sessions(), fake.messages()), (2, 2));
}

// ---- errors ----

#[tokio::test]
async fn an_error_is_the_same_over_the_stream_as_from_a_call() {
    let (new, old) = (Fake::start(), Fake::start());
    old.on_session(SessionMood::Unknown);
    for status in [
        conflict,
        invalid,
        not_held,
        || Status::permission_denied("not you"),
        || Status::unimplemented("not this"),
        || Status::internal("a bug, 100 % of it: \u{fc}"),
    ] {
        let mut errors = Vec::new();
        for fake in [&new, &old] {
            fake.on_acquire(Mood::Refusing(status));
            let client = fake.client();
            errors.push(client.acquire_unguarded(plan("a"), options()).await.unwrap_err());
        }
        assert_eq!(errors[0], errors[1]);
    }
    assert_eq!((new.messages(), old.messages()), (6, 0));
    new.on_acquire(Mood::Refusing(conflict));
    let error = new.client().acquire(plan("a"), options()).await.unwrap_err();
    let ClientError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((conflict.holder.as_str(), conflict.queue_length), ("worker-7", 2));
    assert_eq!(conflict.metadata.get("job").map(String::as_str), Some("nightly"));
    assert_eq!(conflict.retry_after, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn a_server_that_opens_no_stream_for_good_says_why() {
    let fake = Fake::start();
    fake.on_session(SessionMood::Refusing(|| Status::unauthenticated("who are you?")));
    let error = fake.client().acquire(plan("a"), options()).await.unwrap_err();
    assert!(error.to_string().contains("who are you?"), "{error}");
    assert_eq!(fake.sessions(), 1, "that would not change");
}

#[tokio::test]
async fn a_server_that_opens_no_stream_now_is_left_for_the_next_one() {
    let (busy, fake) = (Fake::start(), Fake::start());
    busy.on_session(SessionMood::Refusing(overloaded));
    let client = LockClient::builder().endpoints([busy.url(), fake.url()]).build().unwrap();
    let taken = client.acquire_unguarded(plan("a"), options()).await.unwrap();
    assert_eq!(taken.lock.fencing_token, 1);
    assert_eq!((busy.sessions(), fake.messages()), (1, 1));
}

// ---- a stream that is lost ----

#[tokio::test]
async fn a_connection_that_is_cut_leaves_its_commands_to_be_repeated() {
    let fake = Fake::start();
    let proxy = TcpProxy::start(fake.address()).await;
    let client = LockClient::connect(format!("http://{}", proxy.address())).unwrap();
    let acquisition = under_way(&fake, &client).await;
    proxy.cut().await;
    fake.on_acquire(Mood::Willing);
    proxy.resume().await;
    let guard = acquisition.await.unwrap().unwrap();
    assert_eq!((guard.fencing_token(), guard.retried()), (1, true));
    guard.check().unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert!(!fake.holds(&plan("a")));
}

#[tokio::test]
async fn a_stream_that_ends_with_any_error_leaves_its_commands_to_be_repeated() {
    let endings: [fn() -> Status; 5] = [
        shutting_down,
        overloaded,
        || Status::internal("a bug"),
        || Status::unimplemented("now it does not know it any more"),
        || Status::permission_denied("not you any more"),
    ];
    for ending in endings {
        let fake = Fake::start();
        let client = fake.client();
        fake.on_session(SessionMood::EndingAfter(ending));
        let guard = client.acquire(plan("a"), options()).await.unwrap();
        // What the stream's end says does not tell whether this was done.
        assert!(guard.retried() && guard.reentrant(), "{}", ending());
        assert_eq!(guard.fencing_token(), 1);
        fake.on_session(SessionMood::EndingAfter(ending));
        let (owner, token) = (client.owner_id(), guard.fencing_token());
        client.renew(plan("a"), owner, token, None).await.unwrap();
        fake.on_session(SessionMood::EndingAfter(ending));
        assert_eq!(guard.release().await.unwrap(), Released::ReleasedOrFree, "{}", ending());
        assert!(!fake.holds(&plan("a")));
    }
}

#[tokio::test]
async fn answers_that_fit_no_command_end_the_stream_and_the_command_is_repeated() {
    for mood in [SessionMood::WrongId, SessionMood::WrongKind, SessionMood::Hollow] {
        let fake = Fake::start();
        let client = fake.client();
        client.acquire_unguarded(plan("b"), options()).await.unwrap();
        fake.on_session(mood);
        let guard = client.acquire(plan("a"), options()).await.unwrap();
        assert_eq!((guard.fencing_token(), guard.retried()), (2, true), "{mood:?}");
        assert_eq!(fake.sessions(), 2, "{mood:?}");
    }
}

#[tokio::test]
async fn commands_under_way_at_a_server_that_stops_go_to_another_one() {
    let (stopping, fake) = (Fake::start(), Fake::start());
    let client = LockClient::builder().endpoints([stopping.url(), fake.url()]).build().unwrap();
    stopping.on_acquire(Mood::Silent);
    let all = (0..50).map(|id| {
        let client = client.clone();
        tokio::spawn(async move { client.acquire(plan(id), options()).await })
    });
    let all: Vec<_> = all.collect();
    let asked = async || (stopping.asked().len() == 50).then_some(());
    eventually("50 acquisitions", PATIENCE, asked).await;
    stopping.end_sessions(shutting_down);
    let mut tokens = HashSet::new();
    for acquisition in all {
        let guard = acquisition.await.unwrap().unwrap();
        guard.check().unwrap();
        assert!(guard.retried());
        tokens.insert(guard.fencing_token());
        std::mem::forget(guard);
    }
    assert_eq!(tokens.len(), 50);
    assert_eq!((stopping.sessions(), fake.sessions(), fake.messages()), (1, 1, 50));
}

#[tokio::test]
async fn a_release_whose_outcome_went_with_the_stream_hits_no_later_guard() {
    let fake = Fake::start();
    let client = fake.builder().timeout(Duration::from_millis(200)).build().unwrap();
    let guard = client.acquire(plan("a"), options()).await.unwrap();
    fake.on_release(Mood::Silent);
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    fake.on_release(Mood::Willing);
    // The token that the late one names is not trusted.
    assert_eq!(client.acquire(plan("a"), options()).await.unwrap().fencing_token(), 2);
}

// ---- silence ----

#[tokio::test]
async fn a_silent_stream_is_left_by_all_its_commands_for_another_server() {
    let (silent, fake) = (Fake::start(), Fake::start());
    silent.on_acquire(Mood::Silent);
    let client = LockClient::builder()
        .endpoints([silent.url(), fake.url()])
        .attempt_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let acquire = |id: usize| client.acquire(plan(id), options());
    let guards = futures::future::try_join_all((0..2).map(acquire)).await.unwrap();
    let after = client.acquire(plan("c"), options()).await.unwrap();
    for guard in guards.iter().chain([&after]) {
        guard.check().unwrap();
    }
    assert_eq!((silent.sessions(), silent.messages()), (1, 2));
    assert_eq!((fake.sessions(), fake.messages()), (1, 3));
}

#[tokio::test]
async fn an_answer_that_comes_after_its_deadline_is_ignored_and_the_stream_goes_on() {
    let fake = Fake::start();
    let client = fake.builder().attempt_timeout(Duration::from_millis(300)).build().unwrap();
    let acquisition = under_way(&fake, &client).await;
    // Others are answered meanwhile: only this one is late.
    eventually("a second attempt", PATIENCE, async || {
        client.release(plan("b"), "me", None).await.unwrap();
        (acquisitions_of(&fake, "a") == 2).then_some(())
    })
    .await;
    fake.on_acquire(Mood::Willing);
    let guard = acquisition.await.unwrap().unwrap();
    assert_eq!((guard.fencing_token(), guard.retried()), (1, true));
    for id in 0..10 {
        client.acquire_unguarded(plan(id), options()).await.unwrap();
    }
    guard.check().unwrap();
    assert_eq!(fake.sessions(), 1);
}

// ---- bounds ----

/// The most that are unanswered on a stream.
const MOST: usize = 1_024;

#[tokio::test]
async fn no_more_commands_than_the_bound_are_unanswered_and_the_rest_waits() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let acquisitions = (0..MOST + 500).map(|id| {
        let client = client.clone();
        tokio::spawn(async move { client.acquire_unguarded(plan(id), options()).await })
    });
    let acquisitions: Vec<_> = acquisitions.collect();
    let full = async || (fake.most_unanswered() >= MOST).then_some(());
    eventually("a full stream", PATIENCE, full).await;
    fake.on_acquire(Mood::Willing);
    for acquisition in acquisitions {
        assert!(!acquisition.await.unwrap().unwrap().retried);
    }
    assert_eq!((fake.sessions(), fake.most_unanswered()), (1, MOST));
    assert_eq!(fake.messages(), MOST + 500);
}

#[tokio::test]
async fn callers_who_are_gone_take_no_room() {
    let fake = Fake::start();
    let client = fake.client();
    fake.on_acquire(Mood::Silent);
    let acquisitions = (0..MOST).map(|id| {
        let client = client.clone();
        tokio::spawn(async move { client.acquire_unguarded(plan(id), options()).await })
    });
    let acquisitions: Vec<_> = acquisitions.collect();
    let full = async || (fake.most_unanswered() == MOST).then_some(());
    eventually("a full stream", PATIENCE, full).await;
    for acquisition in &acquisitions {
        acquisition.abort();
    }
    // Under the same stream, though none of them is answered.
    client.release(plan("b"), "me", None).await.unwrap();
    assert_eq!((fake.sessions(), fake.messages()), (1, MOST + 1));
    fake.on_acquire(Mood::Willing);
    client.acquire(plan("a"), options()).await.unwrap().check().unwrap();
    assert_eq!(fake.sessions(), 1);
}
