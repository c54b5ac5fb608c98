//! One `KeepAlive` stream: what was asked on it, in order, and what is heard.
//!
//! A task of its own opens it and reads it, because opening may take as long as
//! the server likes, and the first request should not wait for that.

use std::collections::VecDeque;

use proto::lock::v1::{
    KeepAliveRequest, KeepAliveResponse, lock_service_client::LockServiceClient,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, transport::Channel};

use crate::{endpoints::Pick, error::Refusal};

/// An open stream; it ends when this is dropped.
pub(super) struct Stream {
    id: u64,
    pick: Pick,
    // Holds no more than the leases that wait for an answer, each once.
    requests: mpsc::UnboundedSender<KeepAliveRequest>,
    attempts: VecDeque<Attempt>,
    _reader: AbortOnDropHandle<()>,
}

/// One request that has yet to be answered.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// Just before it was sent.
    pub(super) sent_at: Instant,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// The holds in it, in order.
    pub(super) ids: Vec<u64>,
}

/// What was heard on a stream; nothing comes after an error.
pub(super) struct Event {
    pub(super) stream: u64,
    pub(super) heard: Result<KeepAliveResponse, Refusal>,
}

impl Stream {
    pub(super) fn open(id: u64, pick: Pick, events: mpsc::Sender<Event>) -> Self {
        let (requests, outbox) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read(id, pick.line.channel.clone(), outbox, events));
        let _reader = AbortOnDropHandle::new(reader);
        Self { id, pick, requests, attempts: VecDeque::new(), _reader }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn pick(&self) -> &Pick {
        &self.pick
    }

    pub(super) fn send(&mut self, attempt: Attempt, request: KeepAliveRequest) {
        self.attempts.push_back(attempt);
        // If it has ended, that is heard as an event.
        let _ = self.requests.send(request);
    }

    /// The request that an answer belongs to, if it fits: answers come in order.
    pub(super) fn answered(&mut self, fits: impl FnOnce(&Attempt) -> bool) -> Option<Attempt> {
        self.attempts.pop_front_if(|attempt| fits(attempt))
    }

    /// When the first of the unanswered requests is given up: not always the
    /// oldest one.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.attempts.iter().map(|attempt| attempt.deadline).min()
    }

    /// The holds in all requests that have not been answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &u64> {
        self.attempts.iter().flat_map(|attempt| &attempt.ids)
    }
}

async fn read(
    stream: u64,
    channel: Channel,
    outbox: mpsc::UnboundedReceiver<KeepAliveRequest>,
    events: mpsc::Sender<Event>,
) {
    let heard = async |heard| events.send(Event { stream, heard }).await;
    let ended = async {
        let outbox = UnboundedReceiverStream::new(outbox);
        let mut answers = LockServiceClient::new(channel).keep_alive(outbox).await?.into_inner();
        while let Some(response) = answers.message().await? {
            // The task that listens drops this one before it stops listening.
            let _ = heard(Ok(response)).await;
        }
        Err::<(), _>(Status::unavailable("the server ended the stream"))
    };
    if let Err(status) = ended.await {
        let _ = heard(Err(Refusal::from(status))).await;
    }
}
