//! The command stream: commands go as messages on one `Session` stream for each
//! connection, because a message costs a fraction of a call.
//!
//! # Overview
//!
//! A [`Session`] belongs to one connection and opens a stream when a command
//! needs one; `session/stream.rs` is one stream with the commands that it has
//! yet to answer, `session/command.rs` what may go on it. Which server is asked,
//! for how long and how often is decided in `call.rs`, for calls and commands
//! alike. An acquisition that waits in line is no command, since a message cannot
//! be cancelled: see `call.rs`.
//!
//! # Servers without it
//!
//! A server that knows no `Session` says so once, and is called from then on,
//! for as long as that connection lasts: the next one may lead to a newer
//! server. So clients and servers may be replaced in any order.
//!
//! # Failure handling
//!
//! A stream is lost when the server ends it, when the connection breaks, when
//! it answers what was not asked, and when an attempt ran out of time and
//! nothing at all was heard meanwhile: a connection may be dead without anyone
//! having noticed. Every command on it has then failed without an answer, and
//! is tried again as a call would be. One that was not sent yet can have had no
//! effect; of the others nothing is known, whatever the stream's end says.
//!
//! # Cancel safety
//!
//! A command whose caller has gone, or whose time is over, is not sent any more;
//! if it was, its answer is thrown away.

mod command;
mod stream;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::lock::v1::session_response::Outcome;
use tokio::time::Instant;
use tonic::{Code, transport::Channel};

pub(crate) use self::command::Command;
use self::stream::{Standing, Stream, Unanswered};
use crate::{
    call::{Missed, Reply},
    connector::Connections,
    error::Refusal,
};

/// The largest command that goes on the stream: no server reads less. A larger
/// one is no right one, and a server that does not even read it ends the stream;
/// as a call it harms nobody else.
const LARGEST: usize = 4_000;

/// How long a stream is kept that nobody uses, up to twice as long. A server
/// that stops ends it sooner.
const IDLE: Duration = Duration::from_secs(2);

/// The command stream on one connection.
pub(crate) struct Session {
    channel: Channel,
    connections: Connections,
    /// The newest one, in whatever state.
    stream: Mutex<Option<Arc<Stream>>>,
}

impl Session {
    pub(crate) fn new(channel: Channel, connections: Connections) -> Self {
        Self { channel, connections, stream: Mutex::new(None) }
    }

    /// Sends a command on the stream and waits for its answer. None: it was not
    /// sent and is to be called. Must run in the runtime that does the network
    /// work.
    pub(crate) async fn carry_out<C: Command>(
        &self,
        command: &C,
        until: Instant,
    ) -> Option<Result<Reply<C::Response>, Missed>> {
        if command.encoded_len() > LARGEST {
            return None;
        }
        loop {
            let stream = self.stream()?;
            match stream.ask(command.clone().into_message(), until).await {
                Ok(Reply { message, sent_at }) => {
                    let answer = read::<C>(&stream, message);
                    return Some(answer.map(|message| Reply { message, sent_at }));
                }
                Err(Unanswered::Missed(missed)) => return Some(Err(missed)),
                // Nothing was sent: there is another stream now, or none at all.
                Err(Unanswered::Closed) => {}
            }
        }
    }

    /// The stream that takes commands. None: the server has no such thing.
    fn stream(&self) -> Option<Arc<Stream>> {
        let mut current = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = current.as_ref() {
            match stream.standing() {
                Standing::Open => return Some(stream.clone()),
                Standing::Unknown { connection } if connection == self.connections.made() => {
                    return None;
                }
                Standing::Unknown { .. } | Standing::Over => {}
            }
        }
        let stream = Stream::open(self.channel.clone(), self.connections.clone(), IDLE);
        *current = Some(stream.clone());
        Some(stream)
    }
}

/// What an outcome says about a command.
fn read<C: Command>(stream: &Stream, outcome: Option<Outcome>) -> Result<C::Response, Missed> {
    match outcome {
        Some(Outcome::Error(error)) if Code::from(error.code) != Code::Ok => {
            Err(Missed::answered(Refusal::of_command(&error)))
        }
        outcome => outcome.and_then(C::response).ok_or_else(|| {
            // Who knows what else it mixes up.
            Missed::answered(stream.lose("an answer of another kind than its command"))
        }),
    }
}
