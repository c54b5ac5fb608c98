//! A message on a stream for each command. Callers of one connection share one stream, each with a
//! slot of its own, whose number is the `request_id`: an answer finds its caller without a search.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use futures::task::AtomicWaker;
use proto::lock::v1::{
    SessionRequest, SessionResponse, lock_service_client::LockServiceClient,
    session_request::Command, session_response::Outcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use super::{Grant, locks, odd};
use crate::{
    part::Part,
    trouble::{Result, Trouble},
};

/// A stream, open, with a slot for each of its callers.
pub(crate) struct Line {
    // Each caller has one command under way at most, so this is bounded by their number.
    commands: mpsc::UnboundedSender<SessionRequest>,
    slots: Arc<[Slot]>,
}

/// Where one caller's answer is put.
#[derive(Default)]
struct Slot {
    answer: Mutex<Option<Result<Outcome>>>,
    waker: AtomicWaker,
}

/// One caller.
pub(crate) struct Session {
    line: Arc<Line>,
    slot: usize,
    locks: locks::Locks,
}

impl Line {
    /// Opens a stream for so many callers.
    pub(crate) async fn open(channel: Channel, callers: usize) -> Result<Arc<Self>> {
        let (commands, outgoing) = mpsc::unbounded_channel();
        let mut client = LockServiceClient::new(channel);
        let incoming = client.session(UnboundedReceiverStream::new(outgoing)).await;
        let incoming = incoming.map_err(|status| broken(&status))?.into_inner();
        let slots: Arc<[Slot]> = (0..callers).map(|_| Slot::default()).collect();
        tokio::spawn(dispatch(incoming, Arc::clone(&slots)));
        Ok(Arc::new(Self { commands, slots }))
    }
}

impl Slot {
    fn answer(&self) -> MutexGuard<'_, Option<Result<Outcome>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, answer: Result<Outcome>) {
        *self.answer() = Some(answer);
        self.waker.wake();
    }
}

/// Hands answers out until the stream ends; whoever waits then is told.
async fn dispatch(mut incoming: Streaming<SessionResponse>, slots: Arc<[Slot]>) {
    let end = loop {
        match incoming.message().await {
            Ok(Some(SessionResponse { request_id, outcome })) => {
                let slot = usize::try_from(request_id).ok().and_then(|slot| slots.get(slot));
                let Some(slot) = slot else { break odd("an answer to no question") };
                slot.put(outcome.ok_or_else(|| odd("an answer without an outcome")));
            }
            Ok(None) => break Trouble::failed("the stream ended"),
            Err(status) => break broken(&status),
        }
    };
    for slot in slots.iter() {
        slot.put(Err(end.clone()));
    }
}

impl Session {
    pub(crate) fn new(line: Arc<Line>, slot: usize, part: Part) -> Self {
        Self { line, slot, locks: locks::Locks::new(part) }
    }

    pub(super) fn locks(&self) -> usize {
        self.locks.len()
    }

    pub(super) async fn acquire(&mut self, lock: usize, wait: Option<Duration>) -> Result<Grant> {
        match self.call(Command::Acquire(self.locks.acquire(lock, wait))).await? {
            Outcome::Acquire(answer) => {
                self.locks.granted(lock, &answer)?;
                Ok(Grant::Granted)
            }
            Outcome::Error(error) if error.code == Code::FailedPrecondition as i32 => {
                Ok(Grant::Conflict)
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        match self.call(Command::Release(self.locks.release(lock))).await? {
            Outcome::Release(answer) => locks::released(&answer),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn renew(&mut self, lock: usize) -> Result<()> {
        match self.call(Command::Renew(self.locks.renew(lock))).await? {
            Outcome::Renew(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn call(&self, command: Command) -> Result<Outcome> {
        let request = SessionRequest { request_id: self.slot as u64, command: Some(command) };
        let sent = self.line.commands.send(request);
        sent.map_err(|_| Trouble::failed("the stream is over"))?;
        let slot = &self.line.slots[self.slot];
        poll_fn(|context| {
            slot.waker.register(context.waker());
            slot.answer().take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

fn unexpected(outcome: &Outcome) -> Trouble {
    match outcome {
        Outcome::Error(error) => {
            Trouble::failed(format!("{:?}: {}", Code::from(error.code), error.message))
        }
        _ => odd("the outcome of another command"),
    }
}

fn broken(status: &Status) -> Trouble {
    Trouble::failed(format!("the stream broke: {:?}: {}", status.code(), status.message()))
}
