//! An open command stream, and what its answers say.

use std::collections::HashMap;

use futures::{SinkExt as _, StreamExt as _, channel::mpsc, stream};
use prost::Message as _;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tonic::{Status, Streaming};

use super::{DEADLINE, Locks};

/// A command stream that stays open until it is ended or dropped.
pub(crate) struct OpenSession {
    requests: Option<mpsc::UnboundedSender<wire::SessionRequest>>,
    answers: Streaming<wire::SessionResponse>,
    last_id: u64,
}

impl OpenSession {
    pub(crate) async fn open(locks: &Locks) -> Self {
        let (requests, receiver) = mpsc::unbounded();
        let answers = locks.clone().session(receiver).await;
        let answers = answers.unwrap().into_inner();
        Self { requests: Some(requests), answers, last_id: 0 }
    }

    /// Sends a command, without waiting for its answer: its id.
    pub(crate) async fn send(&mut self, command: Asked) -> u64 {
        self.last_id += 1;
        self.send_as(self.last_id, Some(command)).await;
        self.last_id
    }

    /// Sends whatever it is.
    pub(crate) async fn send_as(&mut self, request_id: u64, command: Option<Asked>) {
        let requests = self.requests.as_mut().expect("the stream has not been ended");
        // A stream that has ended says why when it is read.
        drop(requests.send(wire::SessionRequest { request_id, command }).await);
    }

    /// Says that there are no more commands.
    pub(crate) fn end(&mut self) {
        self.requests = None;
    }

    /// The next answer; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<wire::SessionResponse>, Status> {
        let answer = tokio::time::timeout(DEADLINE, self.answers.message()).await;
        answer.expect("an answer, an error or the end in time")
    }

    /// The next answer and its id.
    pub(crate) async fn answer(&mut self) -> (u64, Answered) {
        let answer = self.next().await.unwrap().expect("an answer before the end");
        (answer.request_id, answer.outcome.expect("an outcome"))
    }

    /// Sends a command and waits for its answer, which must be the next.
    pub(crate) async fn ask(&mut self, command: Asked) -> Answered {
        let asked = self.send(command).await;
        let (answered, outcome) = self.answer().await;
        assert_eq!(answered, asked, "the answer is to what was asked");
        outcome
    }

    /// The answers to so many commands, by their ids.
    pub(crate) async fn answers(&mut self, count: usize) -> HashMap<u64, Answered> {
        let mut answers = HashMap::new();
        for _ in 0..count {
            let (request_id, outcome) = self.answer().await;
            let twice = answers.insert(request_id, outcome);
            assert!(twice.is_none(), "{request_id} is answered twice");
        }
        answers
    }
}

/// The command as the unary call or the stream of its own that it stands for.
pub(crate) async fn unary(locks: &Locks, command: Asked) -> Result<Answered, Status> {
    let mut locks = locks.clone();
    Ok(match command {
        Asked::Acquire(acquire) => Answered::Acquire(locks.acquire(acquire).await?.into_inner()),
        Asked::Renew(renew) => Answered::Renew(locks.renew(renew).await?.into_inner()),
        Asked::Release(release) => Answered::Release(locks.release(release).await?.into_inner()),
        Asked::KeepAlive(leases) => {
            Answered::KeepAlive(super::keep_alive(&mut locks, leases).await?)
        }
    })
}

/// Opens a command stream that sends what a stream of commands yields.
pub(crate) async fn session_of(
    locks: &Locks,
    commands: impl stream::Stream<Item = wire::SessionRequest> + Send + 'static,
) -> Streaming<wire::SessionResponse> {
    // It goes on for ever: its end is not what a test is about.
    let requests = commands.chain(stream::pending());
    locks.clone().session(requests).await.unwrap().into_inner()
}

/// The status that an answer is, to be looked at like that of a call.
#[track_caller]
pub(crate) fn refusal(outcome: &Answered) -> Status {
    match outcome {
        Answered::Error(error) => {
            let details = error.encode_to_vec().into();
            Status::with_details(error.code.into(), error.message.clone(), details)
        }
        other => panic!("not an error: {other:?}"),
    }
}

/// The lock that an answer tells of.
#[track_caller]
pub(crate) fn lock_of(outcome: &Answered) -> &wire::Lock {
    match outcome {
        Answered::Acquire(wire::AcquireResponse { lock: Some(lock), .. })
        | Answered::Renew(wire::RenewResponse { lock: Some(lock) }) => lock,
        other => panic!("no lock: {other:?}"),
    }
}

/// A request to give a lock back, whatever its token.
pub(crate) fn release(resource: &str, owner: &str) -> wire::ReleaseRequest {
    wire::ReleaseRequest {
        resource: super::resource(resource),
        owner_id: owner.to_owned(),
        fencing_token: None,
    }
}
