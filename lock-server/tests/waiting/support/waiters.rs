//! Many who wait, by calls or on command streams, and what each is told.

use std::time::Duration;

use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tonic::{Status, Streaming};

use super::{DEADLINE, LONG, Locks, acquire, is_elsewhere, release_at_any, span};

/// The lock, once it is granted.
pub(crate) type Answer = Result<wire::Lock, Status>;

type Tell = mpsc::UnboundedSender<(String, Answer)>;

/// Those who wait for what everybody wants. They stop when this is dropped.
pub(crate) struct Waiters {
    /// For how long they ask.
    ttl: Duration,
    tell: Tell,
    told: mpsc::UnboundedReceiver<(String, Answer)>,
    tasks: JoinSet<()>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self::with_ttl(LONG)
    }

    pub(crate) fn with_ttl(ttl: Duration) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self { ttl, tell, told, tasks: JoinSet::new() }
    }

    fn request(&self, owner: &str) -> wire::AcquireRequest {
        wire::AcquireRequest { ttl: span(self.ttl), ..acquire(owner, LONG) }
    }

    /// Waits by a call. To abort it is to cancel the call.
    pub(crate) fn ask(&mut self, locks: &Locks, owner: &str) -> AbortHandle {
        let (mut locks, owner, tell) = (locks.clone(), owner.to_owned(), self.tell.clone());
        let request = self.request(&owner);
        self.tasks.spawn(async move {
            let answer = locks.acquire(request).await;
            let lock = answer.map(|answer| answer.into_inner().lock.unwrap());
            // The test may be over.
            drop(tell.send((owner, lock)));
        })
    }

    /// All wait on one command stream, in this order.
    pub(crate) fn ask_on_a_stream(&mut self, locks: &Locks, owners: &[String]) -> AbortHandle {
        let (mut locks, owners, tell) = (locks.clone(), owners.to_vec(), self.tell.clone());
        // While this is there, more may come. A stream of requests that never
        // ends would keep the call open after its answers are not read any more.
        let (requests, receiver) = futures::channel::mpsc::unbounded();
        for (owner, request_id) in owners.iter().zip(1..) {
            let command = Some(Asked::Acquire(self.request(owner)));
            requests.unbounded_send(wire::SessionRequest { request_id, command }).unwrap();
        }
        self.tasks.spawn(async move {
            let _requests = requests;
            let mut waiting: Vec<_> = owners.into_iter().map(Some).collect();
            let opened = locks.session(receiver).await;
            let why = match opened {
                Ok(answers) => pass_on(answers.into_inner(), &mut waiting, &tell).await,
                Err(status) => status,
            };
            for owner in waiting.into_iter().flatten() {
                drop(tell.send((owner, Err(why.clone()))));
            }
        })
    }

    /// The next answer to anybody.
    pub(crate) async fn answer(&mut self) -> (String, Answer) {
        let answer = tokio::time::timeout(DEADLINE, self.told.recv()).await;
        answer.unwrap_or_else(|_| panic!("nobody is answered within {DEADLINE:?}")).unwrap()
    }

    /// Whether nobody has been answered who was not asked about yet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.told.is_empty()
    }

    /// Answers each of so many grants by a release. Whose server cannot asks
    /// another one. The owners, in the order of their tokens.
    pub(crate) async fn hand_through(&mut self, servers: &[Locks], count: usize) -> Vec<String> {
        let mut granted = Vec::new();
        let mut asked = 0;
        while granted.len() < count {
            let (owner, answer) = self.answer().await;
            match answer {
                Ok(lock) => {
                    release_at_any(servers, &lock).await;
                    granted.push((lock.fencing_token, owner));
                }
                Err(status) if is_elsewhere(&status) => {
                    asked += 1;
                    self.ask(&servers[asked % servers.len()], &owner);
                }
                Err(status) => panic!("{owner}: {status:?}"),
            }
        }
        granted.sort();
        granted.into_iter().map(|(_, owner)| owner).collect()
    }
}

/// Tells each what its answer is, up to the end of the stream: why that was.
async fn pass_on(
    mut answers: Streaming<wire::SessionResponse>,
    waiting: &mut [Option<String>],
    tell: &Tell,
) -> Status {
    loop {
        match answers.message().await {
            Ok(Some(wire::SessionResponse { request_id, outcome })) => {
                let owner = waiting[usize::try_from(request_id).unwrap() - 1].take();
                let owner = owner.expect("answered once");
                drop(tell.send((owner, lock(outcome.unwrap()))));
            }
            Ok(None) => return Status::unavailable("the stream has ended"),
            Err(status) => return status,
        }
    }
}

/// What a stream's answer says.
fn lock(outcome: Answered) -> Answer {
    match outcome {
        Answered::Acquire(wire::AcquireResponse { lock: Some(lock), .. }) => Ok(lock),
        Answered::Error(error) => {
            let details = prost::Message::encode_to_vec(&error).into();
            Err(Status::with_details(error.code.into(), error.message, details))
        }
        other => panic!("no lock: {other:?}"),
    }
}
