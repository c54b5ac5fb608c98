//! How a contender asks a server: by calls, or by messages on a stream that it
//! shares with others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::lock::v1::{
    SessionRequest, SessionResponse, lock_service_client::LockServiceClient,
    session_request::Command as Asked, session_response::Outcome as Answered,
};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming, transport::Channel};

/// How long one answer may take: longer than the server's own limit.
const DEADLINE: Duration = Duration::from_secs(8);

/// One server, as its callers know it.
#[derive(Debug)]
pub(crate) struct Server {
    channel: Channel,
    /// The stream that is open now, where one is.
    stream: tokio::sync::Mutex<Option<Arc<Stream>>>,
}

/// A command stream with those who wait for its answers.
#[derive(Debug)]
struct Stream {
    requests: mpsc::UnboundedSender<SessionRequest>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_id: u64,
    answers: HashMap<u64, oneshot::Sender<Result<Answered, Status>>>,
    /// Why the stream has ended.
    ended: Option<Status>,
}

impl Server {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, stream: tokio::sync::Mutex::new(None) }
    }

    /// Asks by a call.
    pub(crate) async fn call(&self, command: Asked) -> Result<Answered, Status> {
        let mut client = LockServiceClient::new(self.channel.clone());
        let answer = async {
            Ok(match command {
                Asked::Acquire(asked) => {
                    Answered::Acquire(client.acquire(asked).await?.into_inner())
                }
                Asked::Renew(asked) => Answered::Renew(client.renew(asked).await?.into_inner()),
                Asked::Release(asked) => {
                    Answered::Release(client.release(asked).await?.into_inner())
                }
                Asked::KeepAlive(_) => unreachable!("no contender asks for this"),
            })
        };
        in_time(answer).await
    }

    /// Asks by messages, of which none waits for the answer to the one before:
    /// what each came to.
    pub(crate) async fn send<const N: usize>(
        &self,
        commands: [Asked; N],
    ) -> [Result<Answered, Status>; N] {
        let answers = match in_time(self.stream()).await {
            Ok(stream) => commands.map(|command| Ok(stream.send(command))),
            Err(status) => commands.map(|_| Err(status.clone())),
        };
        let mut answered = Vec::with_capacity(N);
        for answer in answers {
            answered.push(match answer {
                Ok(answer) => in_time(async { answer.await.expect("an answer or the end") }).await,
                Err(status) => Err(status),
            });
        }
        answered.try_into().expect("one for each")
    }

    /// The stream that is open, or a new one.
    async fn stream(&self) -> Result<Arc<Stream>, Status> {
        let mut stream = self.stream.lock().await;
        if let Some(stream) = stream.as_ref().filter(|stream| stream.is_open()) {
            return Ok(Arc::clone(stream));
        }
        let (requests, mut unsent) = mpsc::unbounded_channel();
        let requests_ = futures::stream::poll_fn(move |cx| unsent.poll_recv(cx));
        let mut client = LockServiceClient::new(self.channel.clone());
        let answers = client.session(requests_).await?.into_inner();
        let opened = Arc::new(Stream { requests, waiting: Mutex::default() });
        tokio::spawn(Arc::clone(&opened).read(answers));
        Ok(Arc::clone(stream.insert(opened)))
    }
}

impl Stream {
    fn is_open(&self) -> bool {
        self.waiting.lock().unwrap().ended.is_none()
    }

    fn send(&self, command: Asked) -> oneshot::Receiver<Result<Answered, Status>> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap();
        if let Some(status) = &waiting.ended {
            sender.send(Err(status.clone())).unwrap();
            return answer;
        }
        waiting.last_id += 1;
        let request_id = waiting.last_id;
        waiting.answers.insert(request_id, sender);
        // A stream that has ended says so to everybody who waits.
        drop(self.requests.send(SessionRequest { request_id, command: Some(command) }));
        answer
    }

    /// Hands out the answers until the stream ends.
    async fn read(self: Arc<Self>, mut answers: Streaming<SessionResponse>) {
        let status = loop {
            match answers.message().await {
                Ok(Some(SessionResponse { request_id, outcome })) => {
                    let waiting = self.waiting.lock().unwrap().answers.remove(&request_id);
                    let waiting = waiting.expect("an answer to what was asked, once");
                    // A contender may have given up.
                    drop(waiting.send(told(outcome.expect("an outcome"))));
                }
                Ok(None) => break Status::unavailable("the stream has ended"),
                Err(status) => break status,
            }
        };
        let mut waiting = self.waiting.lock().unwrap();
        for (_, sender) in waiting.answers.drain() {
            drop(sender.send(Err(status.clone())));
        }
        waiting.ended = Some(status);
    }
}

/// An error in an answer as the call would have failed with it.
fn told(outcome: Answered) -> Result<Answered, Status> {
    match outcome {
        Answered::Error(error) => {
            let details = prost::Message::encode_to_vec(&error).into();
            Err(Status::with_details(error.code.into(), error.message, details))
        }
        answered => Ok(answered),
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(DEADLINE, answer)
        .await
        .unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("hung")))
}
