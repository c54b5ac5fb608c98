//! The fake's `Session`: commands as messages, carried out like calls, each as
//! soon as it is there and answered as soon as it is done.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use prost::Message as _;
use proto::lock::v1::{
    KeepAliveResponse, SessionRequest, SessionResponse, lock_service_server::LockService as _,
    session_request::Command, session_response::Outcome,
};
use service_kit::testing::eventually;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Fake, PATIENCE, Service};

/// How the server treats the command stream. What is said of a command is said
/// of one: after that it is willing again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum SessionMood {
    /// As asked.
    #[default]
    Willing,
    /// As a server that is older than the method.
    Unknown,
    /// No stream is opened.
    Refusing(fn() -> Status),
    /// The next command is carried out, and then the stream ends with this and
    /// without its answer.
    EndingAfter(fn() -> Status),
    /// The next command is answered under an id that nobody sent.
    WrongId,
    /// The next command is answered with something else's response.
    WrongKind,
    /// The next command is answered with nothing.
    Hollow,
}

pub(super) struct Sessions {
    mood: Mutex<SessionMood>,
    opened: AtomicUsize,
    open: AtomicUsize,
    commands: AtomicUsize,
    unanswered: AtomicUsize,
    most_unanswered: AtomicUsize,
    end: broadcast::Sender<fn() -> Status>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            mood: Mutex::default(),
            opened: AtomicUsize::default(),
            open: AtomicUsize::default(),
            commands: AtomicUsize::default(),
            unanswered: AtomicUsize::default(),
            most_unanswered: AtomicUsize::default(),
            end: broadcast::channel(1).0,
        }
    }
}

impl Fake {
    pub(crate) fn on_session(&self, mood: SessionMood) {
        *self.state.sessions.mood.lock().unwrap() = mood;
    }

    /// Ends all streams with this, whatever is under way on them.
    pub(crate) fn end_sessions(&self, status: fn() -> Status) {
        // There may be none.
        let _ = self.state.sessions.end.send(status);
    }

    /// How often a stream was asked for.
    pub(crate) fn sessions(&self) -> usize {
        self.state.sessions.opened.load(Ordering::SeqCst)
    }

    /// How many commands came as messages.
    pub(crate) fn messages(&self) -> usize {
        self.state.sessions.commands.load(Ordering::SeqCst)
    }

    /// How many messages waited for their answer at the worst moment.
    pub(crate) fn most_unanswered(&self) -> usize {
        self.state.sessions.most_unanswered.load(Ordering::SeqCst)
    }

    /// Waits until no stream is open any more.
    pub(crate) async fn no_session_is_open(&self) {
        let none = async || (self.state.sessions.open.load(Ordering::SeqCst) == 0).then_some(());
        eventually("no open session", PATIENCE, none).await;
    }
}

impl Service {
    fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(super) fn open_session(
        &self,
        requests: Streaming<SessionRequest>,
    ) -> Result<Response<ReceiverStream<Result<SessionResponse, Status>>>, Status> {
        self.sessions().opened.fetch_add(1, Ordering::SeqCst);
        match *self.sessions().mood.lock().unwrap() {
            SessionMood::Unknown => return Err(Status::unimplemented("no such method")),
            SessionMood::Refusing(status) => return Err(status()),
            _ => {}
        }
        let (answers, stream) = mpsc::channel(1);
        let (service, end) = (self.clone(), self.sessions().end.subscribe());
        tokio::spawn(async move {
            service.sessions().open.fetch_add(1, Ordering::SeqCst);
            service.read(requests, answers, end).await;
            service.sessions().open.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn read(
        &self,
        mut requests: Streaming<SessionRequest>,
        answers: mpsc::Sender<Result<SessionResponse, Status>>,
        mut end: broadcast::Receiver<fn() -> Status>,
    ) {
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                status = end.recv() => {
                    let _ = answers.send(Err(status.unwrap()())).await;
                    return;
                }
                () = answers.closed() => return,
            };
            let Ok(Some(request)) = request else { return };
            let (service, answers) = (self.clone(), answers.clone());
            tokio::spawn(async move {
                let answer = service.answered(request).await;
                let _ = answers.send(answer).await;
            });
        }
    }

    async fn answered(&self, request: SessionRequest) -> Result<SessionResponse, Status> {
        let sessions = self.sessions();
        sessions.commands.fetch_add(1, Ordering::SeqCst);
        let unanswered = sessions.unanswered.fetch_add(1, Ordering::SeqCst) + 1;
        sessions.most_unanswered.fetch_max(unanswered, Ordering::SeqCst);
        let outcome = self.carry_out(request.command.unwrap()).await;
        sessions.unanswered.fetch_sub(1, Ordering::SeqCst);
        let answer = SessionResponse { request_id: request.request_id, outcome: Some(outcome) };
        let mood = std::mem::take(&mut *sessions.mood.lock().unwrap());
        match mood {
            SessionMood::EndingAfter(status) => Err(status()),
            SessionMood::WrongId => Ok(SessionResponse { request_id: 1 << 60, ..answer }),
            SessionMood::WrongKind => {
                let outcome = Some(Outcome::KeepAlive(KeepAliveResponse::default()));
                Ok(SessionResponse { outcome, ..answer })
            }
            SessionMood::Hollow => Ok(SessionResponse { outcome: None, ..answer }),
            SessionMood::Willing => Ok(answer),
            // These are about streams, not about commands.
            SessionMood::Unknown | SessionMood::Refusing(_) => {
                *sessions.mood.lock().unwrap() = mood;
                Ok(answer)
            }
        }
    }

    async fn carry_out(&self, command: Command) -> Outcome {
        let outcome = match command {
            Command::Acquire(request) => self
                .acquire(Request::new(request))
                .await
                .map(|one| Outcome::Acquire(one.into_inner())),
            Command::Renew(request) => {
                self.renew(Request::new(request)).await.map(|one| Outcome::Renew(one.into_inner()))
            }
            Command::Release(request) => self
                .release(Request::new(request))
                .await
                .map(|one| Outcome::Release(one.into_inner())),
            Command::KeepAlive(_) => Err(Status::unimplemented("this client has a stream for it")),
        };
        outcome.unwrap_or_else(|status| Outcome::Error(in_band(&status)))
    }
}

/// A status as a message: where it has details, they are that message.
fn in_band(status: &Status) -> tonic_types::Status {
    match tonic_types::Status::decode(status.details()) {
        Ok(message) if !message.details.is_empty() => message,
        _ => tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}
