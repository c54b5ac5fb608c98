//! The `Session` stream: commands as messages, answered in any order.
//!
//! # Overview
//!
//! The response stream pulls the requests. Whenever the transport has room for
//! an answer, what is there is answered; then the requests that have come in
//! are put in line, in the order sent; then it waits for either. Nothing runs
//! beside it, and every command goes the way that a unary call's goes, through
//! [`commands`] and the engine.
//!
//! # Back-pressure
//!
//! At most [`MOST_UNANSWERED`] commands of a stream are without an answer that
//! the transport has taken; a keep-alive counts as many, by its leases. Past
//! that the stream is not read from, HTTP/2's window closes, and the client
//! waits: a client that does not read its answers is not read from either.
//! What is refused on the spot is kept as the message that it will be, which is
//! small whatever was asked.
//!
//! # How it ends
//!
//! - Well, when the client has sent its last request and all are answered.
//! - With `SHUTTING_DOWN` when this server stops before: what was in line is
//!   answered first, and nothing more is read.
//!
//! When the client goes, so does this stream, and its commands that are not yet
//! under way are not sent to the store.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    FutureExt as _, Stream, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use prost::Message as _;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tokio::sync::mpsc;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::{check::Check, commands, convert, keep_alive, observe::note_command, status};
use crate::{
    domain::Command,
    engine::{self, Answer, Answers, Done, LockEngine, Number, Numbered, Receipt},
    error::LockError,
};

/// The most commands of one stream that wait for their answer, or whose answer
/// waits for the transport.
const MOST_UNANSWERED: usize = 1_024;

/// The most acquires of one stream that wait in line, or may have to. They have
/// places of their own, or those who wait would keep the others from being read.
const MOST_WAITING: usize = 65_536;

/// How many leases of a keep-alive count as one command.
const LEASES_A_COMMAND: usize = 64;

type Told = Result<Answered, LockError>;

/// What came of a keep-alive, with its request's id and how much it counts.
type KeptAlive = (u64, usize, Told);

/// The responses to a stream of commands.
pub struct Session {
    engine: Arc<LockEngine>,
    /// None when the client has sent its last one, or the server is stopping.
    requests: Option<Streaming<wire::SessionRequest>>,
    sender: Answers,
    answers: mpsc::UnboundedReceiver<Numbered>,
    keep_alives: FuturesUnordered<BoxFuture<'static, KeptAlive>>,
    /// What was answered without having been in line.
    refused: VecDeque<(u64, Answered)>,
    /// How much is without an answer that the transport has taken.
    unanswered: usize,
    /// How many acquires may be waiting in line.
    waiting: usize,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    ending: Ending,
}

/// How the stream ends once all are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Well,
    Stopping,
    Ended,
}

impl Session {
    pub(super) fn new(engine: Arc<LockEngine>, requests: Streaming<wire::SessionRequest>) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let stopping = Box::pin(engine.stopping().clone().cancelled_owned());
        Self {
            engine,
            requests: Some(requests),
            sender,
            answers,
            keep_alives: FuturesUnordered::new(),
            refused: VecDeque::new(),
            unanswered: 0,
            waiting: 0,
            stopping,
            ending: Ending::Well,
        }
    }

    /// An answer that is there.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<wire::SessionResponse> {
        let (request_id, weight, outcome) =
            if let Some((request_id, refusal)) = self.refused.pop_front() {
                (request_id, 1, refusal)
            } else if let Poll::Ready(Some(Numbered { number, answer, .. })) =
                self.answers.poll_recv(cx)
            {
                // This object has a sender of its own, so there always is one.
                let waits = usize::from(number.waits);
                self.waiting -= waits;
                (number.id, 1 - waits, answered(number.id, told(answer)))
            } else if let Poll::Ready(Some((request_id, weight, told))) =
                self.keep_alives.poll_next_unpin(cx)
            {
                (request_id, weight, answered(request_id, told))
            } else {
                return Poll::Pending;
            };
        self.unanswered -= weight;
        Poll::Ready(wire::SessionResponse { request_id, outcome: Some(outcome) })
    }

    /// Puts in line what has come in, as far as it may: whether there was any.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Result<bool, Status> {
        if self.requests.is_some() && self.stopping.poll_unpin(cx).is_ready() {
            self.requests = None;
            self.ending = Ending::Stopping;
        }
        let before = self.unanswered + self.waiting;
        while self.unanswered < MOST_UNANSWERED
            && let Some(requests) = &mut self.requests
        {
            match requests.poll_next_unpin(cx) {
                Poll::Ready(Some(request)) => self.take(request?),
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => break,
            }
        }
        Ok(self.unanswered + self.waiting > before)
    }

    fn take(&mut self, request: wire::SessionRequest) {
        let request_id = request.request_id;
        let policy = self.engine.ttl();
        let command = match request.command {
            Some(Asked::Acquire(asked)) => {
                commands::acquire(policy, self.engine.max_wait(), asked).map(Command::Acquire)
            }
            Some(Asked::Renew(asked)) => commands::renew(policy, &asked).map(Command::Renew),
            Some(Asked::Release(asked)) => commands::release(&asked).map(Command::Release),
            Some(Asked::KeepAlive(asked)) => {
                let weight = 1 + asked.leases.len() / LEASES_A_COMMAND;
                let told = keep_alive::answer(&self.engine, asked);
                let told =
                    told.map(move |told| (request_id, weight, told.map(Answered::KeepAlive)));
                self.keep_alives.push(told.boxed());
                self.unanswered += weight;
                return;
            }
            None => Err(no_command()),
        };
        let submitted = command.and_then(|command| {
            let waits = matches!(&command, Command::Acquire(acquire) if acquire.wait.is_some());
            if waits && self.waiting == MOST_WAITING {
                return Err(LockError::Overloaded {
                    limit: "a session",
                    value: MOST_WAITING,
                    what: "acquires wait on this session",
                });
            }
            let number = Number { id: request_id, waits };
            self.engine.submit(command, number, &self.sender)?;
            Ok(usize::from(waits))
        });
        match submitted {
            Ok(waits) => {
                self.waiting += waits;
                self.unanswered += 1 - waits;
            }
            Err(error) => {
                self.unanswered += 1;
                self.refused.push_back((request_id, answered(request_id, Err(error))));
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("unanswered", &self.unanswered).finish_non_exhaustive()
    }
}

impl Stream for Session {
    type Item = Result<wire::SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(response) = this.poll_answer(cx) {
                return Poll::Ready(Some(Ok(response)));
            }
            match this.poll_requests(cx) {
                // What was taken may have been answered on the spot.
                Ok(true) => {}
                Ok(false) => break,
                Err(status) => {
                    this.requests = None;
                    this.ending = Ending::Ended;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
        if this.requests.is_some() || this.unanswered + this.waiting > 0 {
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.ending, Ending::Ended) {
            Ending::Stopping => Poll::Ready(Some(Err(status::status(&LockError::ShuttingDown)))),
            Ending::Well | Ending::Ended => Poll::Ready(None),
        }
    }
}

/// The outcome of a command, noted on the way.
fn answered(request_id: u64, told: Told) -> Answered {
    note_command(request_id, told.as_ref().err());
    told.unwrap_or_else(|error| Answered::Error(as_message(&error)))
}

/// What an answer says, as the message of its command's name.
fn told(answer: Answer) -> Told {
    match &answer {
        Ok(Done { command: Command::Acquire(_), .. }) => {
            engine::acquired(answer).map(|(lock, reentrant, receipt)| {
                // The transport asks for it, and has room.
                receipt.inspect(Receipt::sent);
                let lock = Some(convert::lock(lock));
                Answered::Acquire(wire::AcquireResponse { lock, reentrant })
            })
        }
        Ok(Done { command: Command::Renew(_), .. }) => engine::renewed(answer).map(|lock| {
            let lock = Some(convert::lock(lock));
            Answered::Renew(wire::RenewResponse { lock })
        }),
        Ok(Done { command: Command::Release(_), .. }) => engine::released(answer)
            .map(|released| Answered::Release(wire::ReleaseResponse { released })),
        Ok(Done { command: Command::Leave(_) | Command::HandOn(_), .. }) => {
            unreachable!("no client asks for that")
        }
        Err(_) => Err(answer.expect_err("an error")),
    }
}

fn no_command() -> LockError {
    let mut check = Check::default();
    check.wrong("command", "is missing; it is acquire, renew, release or keep_alive");
    check.finish().expect_err("something is wrong")
}

/// The status that the call would have ended with, as a message.
fn as_message(error: &LockError) -> tonic_types::Status {
    let status = status::status(error);
    // The details of a status are this very message, encoded.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
