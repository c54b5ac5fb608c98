//! One `Session` stream: the commands that wait to be sent, those that wait for
//! their answer, and how it ended.
//!
//! A task of its own opens it and reads it, and the transport takes commands
//! from it as fast as the server lets it. So the bounds are these: no more than
//! [`MOST`] commands are unsent or unanswered, and others wait for one of these
//! places within their own deadline. Who gives up takes its command out again.
//!
//! An answer finds its command by the request id, in whatever order it comes.
//! The answer to one that was given up is ignored: it was asked for once. An
//! answer to what was never asked is not, and the stream is lost.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::stream;
use proto::lock::v1::{
    SessionRequest, SessionResponse, lock_service_client::LockServiceClient,
    session_request::Command, session_response::Outcome,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};

use crate::{
    call::{Missed, Reply},
    connector::Connections,
    error::Refusal,
};

/// The most commands that are unanswered at a time: as many as a server takes
/// calls on one connection, unless set otherwise.
const MOST: usize = 1_024;

/// An open stream, or what is left of one.
pub(super) struct Stream {
    places: Semaphore,
    state: Mutex<State>,
    over: CancellationToken,
}

#[derive(Default)]
struct State {
    /// That of the newest command.
    last_id: u64,
    /// What the transport has not taken yet, by request id.
    unsent: BTreeMap<u64, Command>,
    /// Whom to tell, by request id.
    waiting: HashMap<u64, oneshot::Sender<Option<Outcome>>>,
    /// How many answers there were.
    heard: u64,
    /// Wakes the transport when there is something to send.
    transport: Option<Waker>,
    end: Option<End>,
}

/// Why there is nothing more to be had from a stream.
enum End {
    /// Nobody used it.
    Idle,
    /// The server knows no such method, on this connection.
    Unknown { connection: u64 },
    /// With this to tell of every command that was not answered.
    Lost(Refusal),
}

/// Whether a stream takes commands.
pub(super) enum Standing {
    Open,
    Over,
    /// The server knew no such method on this connection.
    Unknown {
        connection: u64,
    },
}

/// Why there is no answer to a command.
pub(super) enum Unanswered {
    /// It had no effect, and can have one elsewhere: nothing has failed.
    Closed,
    /// The attempt failed.
    Missed(Missed),
}

/// A command that is under way; given up when this is dropped.
struct Ticket<'a> {
    stream: &'a Stream,
    id: u64,
    sent_at: Instant,
    /// How many answers there were before it was sent.
    heard: u64,
    answer: oneshot::Receiver<Option<Outcome>>,
}

impl Stream {
    /// Opens a stream, to be closed when it was not used for so long. Must be
    /// called in the runtime that does the network work.
    pub(super) fn open(channel: Channel, connections: Connections, idle: Duration) -> Arc<Self> {
        let stream = Arc::new(Self {
            places: Semaphore::new(MOST),
            state: Mutex::default(),
            over: CancellationToken::new(),
        });
        let own = stream.clone();
        tokio::spawn(async move {
            let end = tokio::select! {
                biased;
                () = own.over.cancelled() => return,
                end = own.read(channel, connections) => end,
                () = own.unused(idle) => return,
            };
            own.finish(&mut own.state(), end);
        });
        stream
    }

    pub(super) fn standing(&self) -> Standing {
        match self.state().end {
            None => Standing::Open,
            Some(End::Unknown { connection }) => Standing::Unknown { connection },
            Some(End::Idle | End::Lost(_)) => Standing::Over,
        }
    }

    /// Sends a command and waits for what it is answered with.
    pub(super) async fn ask(
        &self,
        command: Command,
        until: Instant,
    ) -> Result<Reply<Option<Outcome>>, Unanswered> {
        let asked_at = Instant::now();
        let late = || Refusal::timed_out(until.saturating_duration_since(asked_at));
        let Ok(place) = timeout_at(until, self.places.acquire()).await else {
            return Err(Unanswered::Missed(Missed::answered(late().unsent())));
        };
        // None: it has ended, as `send` finds too.
        let _place = place.ok();
        let mut ticket = self.send(command)?;
        match timeout_at(until, &mut ticket.answer).await {
            Ok(Ok(outcome)) => Ok(Reply { message: outcome, sent_at: ticket.sent_at }),
            Ok(Err(_)) => Err(ticket.unanswered()),
            Err(_) => Err(Unanswered::Missed(ticket.overdue(late()))),
        }
    }

    fn send(&self, command: Command) -> Result<Ticket<'_>, Unanswered> {
        let mut state = self.state();
        if let Some(end) = &state.end {
            return Err(end.told(true));
        }
        state.last_id += 1;
        let (id, heard) = (state.last_id, state.heard);
        let (tell, answer) = oneshot::channel();
        state.waiting.insert(id, tell);
        state.unsent.insert(id, command);
        // The transport takes it after this, so before it is really sent.
        let sent_at = Instant::now();
        let transport = state.transport.take();
        drop(state);
        if let Some(transport) = transport {
            transport.wake();
        }
        Ok(Ticket { stream: self, id, sent_at, heard, answer })
    }

    /// Gives the stream up, with what to tell of the commands on it.
    pub(super) fn lose(&self, why: &str) -> Refusal {
        let refusal = Refusal::of_stream(Status::unavailable(why));
        self.finish(&mut self.state(), End::Lost(refusal.clone()));
        refusal
    }

    /// Only the first end counts.
    fn finish(&self, state: &mut State, end: End) {
        if state.end.is_some() {
            return;
        }
        if let End::Lost(refusal) = &end {
            let commands = state.waiting.len();
            tracing::debug!(error = refusal.summary(), commands, "the command stream ended");
        }
        state.end = Some(end);
        // Whoever waits looks why when nobody is left to tell.
        state.waiting.clear();
        if let Some(transport) = state.transport.take() {
            transport.wake();
        }
        self.places.close();
        self.over.cancel();
    }

    /// Opens the stream and reads it to its end.
    async fn read(self: &Arc<Self>, channel: Channel, connections: Connections) -> End {
        let stream = self.clone();
        let commands = stream::poll_fn(move |cx| stream.next_command(cx));
        let opened = LockServiceClient::new(channel).session(commands).await;
        let mut answers = match opened {
            Ok(answers) => answers.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => {
                return End::Unknown { connection: connections.made() };
            }
            // Commands may have been carried out all the same if the server
            // says this only after it has read them.
            Err(status) => {
                let refusal = Refusal::from(status.clone());
                let failed = refusal.is_retryable();
                return End::Lost(if failed { Refusal::of_stream(status) } else { refusal });
            }
        };
        loop {
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return End::lost("the server ended the stream"),
                Err(status) => return End::Lost(Refusal::of_stream(status)),
            };
            if !self.answered(answer) {
                return End::lost("an answer to what was not asked");
            }
        }
    }

    /// Whether it was asked for.
    fn answered(&self, SessionResponse { request_id, outcome }: SessionResponse) -> bool {
        let mut state = self.state();
        state.heard += 1;
        if request_id > state.last_id || state.unsent.contains_key(&request_id) {
            return false;
        }
        if let Some(waiting) = state.waiting.remove(&request_id) {
            // Whoever asked may give up at this moment.
            let _ = waiting.send(outcome);
        }
        request_id > 0
    }

    /// For the transport: the next one to send.
    fn next_command(&self, cx: &Context<'_>) -> Poll<Option<SessionRequest>> {
        let mut state = self.state();
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        let Some((request_id, command)) = state.unsent.pop_first() else {
            state.transport = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(Some(SessionRequest { request_id, command: Some(command) }))
    }

    /// Ends the stream when no command was on it for so long.
    async fn unused(&self, idle: Duration) {
        let mut seen = 0;
        loop {
            sleep(idle).await;
            let mut state = self.state();
            if state.waiting.is_empty() && mem::replace(&mut seen, state.last_id) == state.last_id {
                return self.finish(&mut state, End::Idle);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn lost(why: &str) -> Self {
        Self::Lost(Refusal::of_stream(Status::unavailable(why)))
    }

    /// What it means for a command that was not answered.
    fn told(&self, unsent: bool) -> Unanswered {
        match self {
            // An unknown method reads nothing, and an idle one has nothing.
            Self::Idle | Self::Unknown { .. } => Unanswered::Closed,
            Self::Lost(refusal) => {
                let refusal = refusal.clone();
                let refusal = if unsent { refusal.unsent() } else { refusal };
                Unanswered::Missed(Missed::answered(refusal))
            }
        }
    }
}

impl Ticket<'_> {
    /// The stream has ended.
    fn unanswered(&self) -> Unanswered {
        let state = self.stream.state();
        let unsent = state.unsent.contains_key(&self.id);
        match &state.end {
            Some(end) => end.told(unsent),
            None => End::lost("the answer was dropped").told(unsent),
        }
    }

    /// Its time is over.
    fn overdue(&self, late: Refusal) -> Missed {
        let state = self.stream.state();
        let unsent = state.unsent.contains_key(&self.id);
        let silent = state.heard == self.heard;
        drop(state);
        let late = if unsent { late.unsent() } else { late };
        if !silent {
            return Missed::answered(late);
        }
        self.stream.lose("nothing was heard on the stream for as long as an attempt may take");
        Missed::silent(late)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.stream.state();
        state.waiting.remove(&self.id);
        state.unsent.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
