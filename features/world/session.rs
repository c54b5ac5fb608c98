//! Callers that send their commands as messages on one stream.

use std::collections::HashMap;

use futures::FutureExt as _;
use prost::Message as _;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tonic::{Status, Streaming};

use super::{LockWorld, PATIENCE};
use crate::answer::{Answer, Reply};

/// An open command stream.
#[derive(Debug)]
pub(crate) struct Session {
    requests: mpsc::Sender<wire::SessionRequest>,
    responses: Streaming<wire::SessionResponse>,
    last_id: u64,
    /// Answers that came before somebody waited for them.
    early: HashMap<u64, Answer>,
}

impl LockWorld {
    /// Has callers send their commands on a stream from now on.
    pub(crate) async fn open_session(&mut self) {
        let (requests, stream) = mpsc::channel(1_024);
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        let responses = self.ask(async |mut client| client.session(stream).await).await;
        let responses = responses.expect("the stream opens");
        self.session = Some(Session { requests, responses, last_id: 0, early: HashMap::new() });
    }

    /// Sends a command on the open stream, and notes how long its answer took.
    pub(crate) async fn exchange(&mut self, command: Asked) -> Answer {
        let session = self.session.as_mut().expect("an open stream");
        let started = Instant::now();
        let asked = session.send(Some(command)).await;
        let answer = session.answer_to(asked).await;
        self.took = started.elapsed();
        answer
    }
}

impl Session {
    /// Sends a command, or a message without one: its id.
    pub(crate) async fn send(&mut self, command: Option<Asked>) -> u64 {
        self.last_id += 1;
        let request = wire::SessionRequest { request_id: self.last_id, command };
        // A stream that has ended says why when it is read.
        let _ = self.requests.send(request).await;
        self.last_id
    }

    /// Says that there are no more commands.
    pub(crate) fn end(&mut self) {
        // Dropping the only sender ends the requests.
        self.requests = mpsc::channel(1).0;
    }

    /// The next response, or the status with which the stream ended; none when
    /// it ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<wire::SessionResponse>, Status> {
        timeout(PATIENCE, self.responses.message()).await.expect("the stream goes on or ends")
    }

    /// The next answer and its id.
    pub(crate) async fn next_answer(&mut self) -> (u64, Answer) {
        let response = self.next().await.expect("no error").expect("a response");
        (response.request_id, answer(response.outcome.expect("an outcome")))
    }

    /// Whether the answer to a command is here.
    pub(crate) fn has_answer_to(&mut self, asked: u64) -> bool {
        while let Some(Ok(Some(response))) = self.responses.message().now_or_never() {
            let answer = answer(response.outcome.expect("an outcome"));
            self.early.insert(response.request_id, answer);
        }
        self.early.contains_key(&asked)
    }

    /// The answer to a command, whichever answers come before it: to those who
    /// wait in line, say.
    pub(crate) async fn answer_to(&mut self, asked: u64) -> Answer {
        loop {
            if let Some(answer) = self.early.remove(&asked) {
                return answer;
            }
            let (answered, answer) = self.next_answer().await;
            assert!(answered <= self.last_id, "an answer to {answered}, which nobody sent");
            assert!(self.early.insert(answered, answer).is_none(), "{answered} is answered twice");
        }
    }
}

/// What an outcome says, as the call would have said it.
fn answer(outcome: Answered) -> Answer {
    Ok(match outcome {
        Answered::Acquire(reply) => {
            Reply::Acquired { lock: reply.lock.expect("a lock"), reentrant: reply.reentrant }
        }
        Answered::Renew(reply) => Reply::Renewed(reply.lock.expect("a lock")),
        Answered::Release(reply) => Reply::Released(reply.released),
        Answered::KeepAlive(reply) => Reply::KeptAlive(reply),
        Answered::Error(error) => {
            let details = error.encode_to_vec().into();
            return Err(Status::with_details(error.code.into(), error.message, details));
        }
    })
}
