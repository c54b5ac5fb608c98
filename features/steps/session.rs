//! Commands as messages on one stream. Once callers use one, what they acquire,
//! renew, release and keep alive goes on it.

use cucumber::{gherkin::Step, given, then, when};
use prost_types::Duration;
use proto::lock::v1::{self as wire, session_request::Command as Asked};

use crate::{
    answer::{Answer, Refusal, Reply},
    vocabulary::{Owner, Resource, rows},
    world::LockWorld,
};

#[given("callers use a command stream")]
async fn use_a_stream(world: &mut LockWorld) {
    world.open_session().await;
}

#[when("callers use calls again")]
async fn use_calls(world: &mut LockWorld) {
    world.session = None;
}

/// The stream stays as it is, with those who wait on it.
#[when("callers use calls beside the stream")]
async fn use_calls_too(world: &mut LockWorld) {
    world.beside = world.session.take();
}

#[when("the caller has no more commands")]
async fn no_more_commands(world: &mut LockWorld) {
    world.session.as_mut().expect("an open stream").end();
}

#[then(expr = "{owner} is granted {resource} on the stream")]
async fn is_granted_on_the_stream(world: &mut LockWorld, owner: Owner, resource: Resource) {
    world.session = world.beside.take();
    world.end_of_wait(&owner.0, &resource.0.to_string()).await;
    world.beside = world.session.take();
    let reply = world.reply();
    assert!(matches!(reply, Reply::Acquired { reentrant: false, .. }), "{reply:?}");
    assert_eq!(world.lock().owner_id, owner.0);
}

#[then("the command stream ends well")]
async fn has_ended_well(world: &mut LockWorld) {
    let mut session = world.beside.take().expect("an open stream");
    assert_eq!(session.next().await.expect("no error"), None);
}

#[when("a message without a command is sent")]
async fn no_command(world: &mut LockWorld) {
    let session = world.session.as_mut().expect("an open stream");
    let asked = session.send(None).await;
    let (answered, answer) = session.next_answer().await;
    assert_eq!(answered, asked);
    world.note(answer);
}

/// A wait that no scenario sees the end of.
const MINUTE: Duration = Duration { seconds: 60, nanos: 0 };

/// What a row of a table asks for: an owner, a verb and a resource.
fn command(row: &[String]) -> Asked {
    let [owner, verb, resource] = row else { panic!("owner, verb and resource, not {row:?}") };
    let resource = Some(resource.parse().expect("a resource"));
    let owner_id = owner.clone();
    match verb.as_str() {
        "acquires" => {
            Asked::Acquire(wire::AcquireRequest { resource, owner_id, ..Default::default() })
        }
        "waits for" => {
            let wait = Some(MINUTE);
            Asked::Acquire(wire::AcquireRequest { resource, owner_id, wait, ..Default::default() })
        }
        "releases" => {
            Asked::Release(wire::ReleaseRequest { resource, owner_id, fencing_token: None })
        }
        other => panic!("no verb {other}"),
    }
}

/// As the tables write it.
fn shown(answer: &Answer) -> String {
    match answer {
        Ok(Reply::Acquired { reentrant, .. }) => {
            if *reentrant { "re-entered" } else { "granted" }.to_owned()
        }
        Ok(Reply::Released(ended)) => if *ended { "released" } else { "was free" }.to_owned(),
        Ok(other) => panic!("not what was asked: {other:?}"),
        Err(status) => {
            let refusal = Refusal::of(status);
            match refusal.metadata.get("holder") {
                Some(holder) => format!("{}, held by {holder}", refusal.reason),
                None => refusal.reason,
            }
        }
    }
}

#[when("these are sent without waiting for an answer")]
async fn pipeline(world: &mut LockWorld, step: &Step) {
    let session = world.session.as_mut().expect("an open stream");
    let mut ids = Vec::new();
    for row in rows(step) {
        ids.push(session.send(Some(command(row))).await);
    }
    world.race = in_the_order_sent(world, &ids).await;
}

#[when(expr = "{owner} and {owner} take turns on {resource} {int} times without waiting")]
async fn take_turns(world: &mut LockWorld, one: Owner, other: Owner, plan: Resource, times: usize) {
    let session = world.session.as_mut().expect("an open stream");
    let mut ids = Vec::new();
    for turn in 0..times {
        let owner = if turn % 2 == 0 { &one } else { &other };
        for verb in ["acquires", "releases"] {
            let row = [owner.0.clone(), verb.to_owned(), plan.0.to_string()];
            ids.push(session.send(Some(command(&row))).await);
        }
    }
    world.race = in_the_order_sent(world, &ids).await;
}

/// The answers to commands, whichever comes first.
async fn in_the_order_sent(world: &mut LockWorld, ids: &[u64]) -> Vec<Answer> {
    let session = world.session.as_mut().expect("an open stream");
    let mut answers = Vec::new();
    for _ in ids {
        answers.push(session.next_answer().await);
    }
    answers.sort_by_key(|(id, _)| *id);
    let answered: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
    assert_eq!(answered, ids, "each is answered once");
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[then("they come to, in the order sent")]
async fn come_to(world: &mut LockWorld, step: &Step) {
    let got: Vec<_> = world.race.iter().map(shown).collect();
    let wanted: Vec<_> = rows(step).iter().map(|row| row[0].clone()).collect();
    assert_eq!(got, wanted);
}

#[then("each of them was granted and released, with tokens that grow")]
async fn all_went_well(world: &mut LockWorld) {
    let mut tokens = Vec::new();
    for pair in world.race.chunks(2) {
        assert_eq!([shown(&pair[0]), shown(&pair[1])], ["granted", "released"]);
        let granted = pair[0].as_ref().expect("granted");
        tokens.push(granted.lock().expect("a lock").fencing_token);
    }
    assert!(tokens.is_sorted_by(|before, after| before < after), "{tokens:?}");
}

#[then("the command stream ends well when the caller has no more commands")]
async fn ends_well(world: &mut LockWorld) {
    let mut session = world.session.take().expect("an open stream");
    session.end();
    assert_eq!(session.next().await.expect("no error"), None);
}

#[then(expr = "the command stream ends with {word}")]
async fn ends_with(world: &mut LockWorld, reason: String) {
    let mut session = world.session.take().expect("an open stream");
    let status = session.next().await.expect_err("the stream ends");
    assert_eq!(Refusal::of(&status).reason, reason);
}

/// Answered on the same stream, which an answer before this one has not ended.
#[then("the command stream goes on")]
async fn goes_on(world: &mut LockWorld) {
    let request = wire::AcquireRequest {
        resource: Some(wire::Resource::new("plan", "after")),
        owner_id: "Zoe".to_owned(),
        ..Default::default()
    };
    world.exchange(Asked::Acquire(request)).await.expect("granted");
}
