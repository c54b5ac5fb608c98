//! A lock server that a test tells how to behave. It writes down what it is
//! asked, grants whatever it is asked for unless the test has occupied it
//! (`fake/line.rs`), and never expires anything. A command
//! is the same to it as a message on a `Session` stream and as a call.
//!
//! It runs on a thread of its own, so that a test may block its runtime.

mod line;
mod refusal;
mod session;
mod watching;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use lock_client::{LockClient, LockClientBuilder, Resource};
use proto::lock::v1::{
    AcquireRequest, AcquireResponse, ForceReleaseRequest, ForceReleaseResponse, GetLockRequest,
    GetLockResponse, KeepAliveLease, KeepAliveRequest, KeepAliveResponse, KeepAliveResult,
    ListEventsRequest, ListEventsResponse, ListLocksRequest, ListLocksResponse, ListStaleRequest,
    ListStaleResponse, Lock, LockState, LostLease, PurgeStaleRequest, PurgeStaleResponse,
    ReleaseAllRequest, ReleaseAllResponse, ReleaseRequest, ReleaseResponse, RenewRequest,
    RenewResponse, SessionRequest, SessionResponse, WatchRequest, WatchResponse,
    keep_alive_result::Outcome,
    lock_service_server::{LockService, LockServiceServer},
};
use service_kit::testing::eventually;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait, transport::server::TcpIncoming};

pub(crate) use refusal::{
    broken, conflict, deadlock, invalid, not_held, overloaded, shutting_down, wait_cancelled,
};
pub(crate) use session::SessionMood;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How many calls the server takes at a time on one connection.
pub(crate) const MOST_CALLS: u32 = 200;

/// How the server answers.
#[derive(Clone, Default)]
pub(crate) enum Mood {
    /// As asked.
    #[default]
    Willing,
    /// Not at all, until its mood changes.
    Silent,
    /// With an answer that has nothing in it.
    Hollow,
    /// It does what it is asked, and the answer is lost: once if there is
    /// another mood to follow, always if there is none.
    Mute(Option<Box<Mood>>),
    /// The request is stuck on its way, until [`Fake::deliver_late`]. Only for
    /// releases.
    Late,
    /// With this error.
    Refusing(fn() -> Status),
}

/// How it answers renewals.
#[derive(Clone, Default)]
pub(crate) enum StreamMood {
    /// Each lease is renewed.
    #[default]
    Willing,
    /// Not at all, until its mood changes.
    Silent,
    /// These ids are lost, for this reason and to this holder.
    Losing { ids: &'static [&'static str], reason: &'static str, holder: &'static str },
    /// Each lease is lost, because somebody broke it.
    Broken,
    /// The stream ends with this error.
    Refusing(fn() -> Status),
    /// With an answer that has no results.
    Garbled,
}

/// What it was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Acquire(String),
    Release(String),
    ReleaseAll(String),
    Renew(String),
    /// The ids of one request.
    KeepAlive(Vec<String>),
    Other,
}

#[derive(Default)]
struct State {
    acquire: watch::Sender<Mood>,
    release: watch::Sender<Mood>,
    renew: watch::Sender<Mood>,
    force_release: watch::Sender<Mood>,
    late: Mutex<Vec<ReleaseRequest>>,
    keep_alive: watch::Sender<StreamMood>,
    sessions: session::Sessions,
    line: line::Line,
    watches: watching::Watches,
    asked: Mutex<Vec<Asked>>,
    held: Mutex<HashMap<Resource, Lock>>,
    token: Mutex<u64>,
}

pub(crate) struct Fake {
    state: Arc<State>,
    address: std::net::SocketAddr,
    _alive: oneshot::Sender<()>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (alive, end) = oneshot::channel();
        let service = Service(state.clone());
        thread::spawn(move || serve(listener, service, end));
        Self { state, address, _alive: alive }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// A client of this server alone, with attempts as short as tests like.
    pub(crate) fn client(&self) -> LockClient {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> LockClientBuilder {
        LockClient::builder().endpoint(self.url()).timeout(Duration::from_secs(5))
    }

    pub(crate) fn on_acquire(&self, mood: Mood) {
        self.state.acquire.send_replace(mood);
    }

    pub(crate) fn on_release(&self, mood: Mood) {
        self.state.release.send_replace(mood);
    }

    pub(crate) fn on_renew(&self, mood: Mood) {
        self.state.renew.send_replace(mood);
    }

    pub(crate) fn on_force_release(&self, mood: Mood) {
        self.state.force_release.send_replace(mood);
    }

    /// The requests that were stuck arrive.
    pub(crate) fn deliver_late(&self) {
        for request in self.state.late.lock().unwrap().drain(..) {
            self.state.release(&request);
        }
    }

    pub(crate) fn on_keep_alive(&self, mood: StreamMood) {
        self.state.keep_alive.send_replace(mood);
    }

    /// Forgets that this is held, so that the next grant has a new token.
    pub(crate) fn forget(&self, resource: &Resource) {
        self.state.held.lock().unwrap().remove(resource);
    }

    /// Whether anybody holds this.
    pub(crate) fn holds(&self, resource: &Resource) -> bool {
        self.state.held.lock().unwrap().contains_key(resource)
    }

    /// Everything it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// How often it was asked such a thing.
    pub(crate) fn count(&self, which: impl Fn(&Asked) -> bool) -> usize {
        self.asked().iter().filter(|asked| which(asked)).count()
    }

    /// How often it was asked to renew this id.
    pub(crate) fn renewals(&self, id: &str) -> usize {
        self.count(
            |asked| matches!(asked, Asked::KeepAlive(ids) if ids.iter().any(|one| one == id)),
        )
    }

    /// Waits until it was asked this.
    pub(crate) async fn was_asked(&self, what: Asked) {
        let probe = async || self.asked().contains(&what).then_some(());
        eventually(&format!("{what:?}"), PATIENCE, probe).await;
    }

    /// Waits until it was asked to renew this id so many times more.
    pub(crate) async fn renewed(&self, id: &str, times: usize) {
        let before = self.renewals(id);
        let probe = async || (self.renewals(id) >= before + times).then_some(());
        eventually(&format!("{times} renewals of {id}"), PATIENCE, probe).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener, service: Service, end: oneshot::Receiver<()>) {
    // As the server does it: an answer must not wait for a delayed acknowledgement.
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    // Ready for nothing, and says so.
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_not_serving::<LockServiceServer<Service>>().await;
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(MOST_CALLS)
        .add_service(health)
        .add_service(LockServiceServer::new(service))
        .serve_with_incoming(incoming);
    tokio::select! {
        result = server => result.unwrap(),
        _ = end => {}
    }
}

impl State {
    /// Ends the lease, if it is this owner's under this token. Whether it did.
    fn release(&self, request: &ReleaseRequest) -> bool {
        let mut held = self.held.lock().unwrap();
        let resource = request.resource.as_ref().unwrap();
        let ends = held.get(resource).is_some_and(|lock| {
            lock.owner_id == request.owner_id
                && request.fencing_token.is_none_or(|token| token == lock.fencing_token)
        });
        ends && held.remove(resource).is_some()
    }
}

#[derive(Clone)]
struct Service(Arc<State>);

impl Service {
    fn write_down(&self, asked: Asked) {
        self.0.asked.lock().unwrap().push(asked);
    }

    async fn in_mood(&self, mood: &watch::Sender<Mood>) -> Result<(), Status> {
        let mut mood = mood.subscribe();
        let mood = mood.wait_for(|mood| !matches!(mood, Mood::Silent)).await;
        match &*mood.unwrap() {
            Mood::Refusing(error) => Err(error()),
            _ => Ok(()),
        }
    }

    /// What becomes of an answer.
    fn in_voice<T>(mood: &watch::Sender<Mood>, answer: T) -> Result<Response<T>, Status> {
        let Mood::Mute(next) = mood.borrow().clone() else { return Ok(Response::new(answer)) };
        if let Some(next) = next {
            mood.send_replace(*next);
        }
        Err(Status::unavailable("the answer was lost"))
    }

    /// The lock as granted, or as it was granted before.
    fn grant(&self, request: AcquireRequest) -> (Lock, bool) {
        let resource = request.resource.unwrap();
        let mut held = self.0.held.lock().unwrap();
        if let Some(lock) = held.get(&resource) {
            return (lock.clone(), true);
        }
        let mut token = self.0.token.lock().unwrap();
        *token += 1;
        let ttl = request.ttl.or(Some(prost_types::Duration { seconds: 300, nanos: 0 }));
        let lock = Lock {
            resource: Some(resource.clone()),
            owner_id: request.owner_id,
            fencing_token: *token,
            remaining: ttl,
            ttl,
            state: LockState::Held.into(),
            ..Lock::default()
        };
        held.insert(resource, lock.clone());
        (lock, false)
    }

    fn renew_one(&self, lease: KeepAliveLease, mood: &StreamMood) -> KeepAliveResult {
        let resource = lease.resource.unwrap();
        let outcome = match mood {
            StreamMood::Losing { ids, reason, holder } if ids.contains(&resource.id.as_str()) => {
                Outcome::Lost(LostLease {
                    reason: (*reason).to_owned(),
                    message: format!("{resource} is lost"),
                    holder: (*holder).to_owned(),
                    ..LostLease::default()
                })
            }
            StreamMood::Broken => Outcome::Lost(LostLease {
                reason: "LOCK_NOT_HELD".to_owned(),
                message: format!("{resource} was broken"),
                released_by: "10.0.0.7".to_owned(),
                release_reason: "stuck since noon".to_owned(),
                ..LostLease::default()
            }),
            // Where another server granted it, its ttl is not known here.
            _ => Outcome::Lock(self.0.held.lock().unwrap().get(&resource).cloned().unwrap_or_else(
                || {
                    let second = Some(prost_types::Duration { seconds: 1, nanos: 0 });
                    Lock {
                        fencing_token: lease.fencing_token,
                        remaining: second,
                        ttl: second,
                        ..Lock::default()
                    }
                },
            )),
        };
        let outcome = Some(outcome);
        KeepAliveResult { resource: Some(resource), fencing_token: lease.fencing_token, outcome }
    }

    async fn answer(&self, request: KeepAliveRequest) -> Result<KeepAliveResponse, Status> {
        let ids = request.leases.iter().map(|lease| lease.resource.clone().unwrap().id).collect();
        self.write_down(Asked::KeepAlive(ids));
        let mut mood = self.0.keep_alive.subscribe();
        let mood = mood.wait_for(|mood| !matches!(mood, StreamMood::Silent)).await;
        let mood = mood.unwrap().clone();
        match mood {
            StreamMood::Refusing(error) => Err(error()),
            StreamMood::Garbled => Ok(KeepAliveResponse::default()),
            _ => {
                let results = request.leases.into_iter().map(|lease| self.renew_one(lease, &mood));
                Ok(KeepAliveResponse { results: results.collect() })
            }
        }
    }
}

#[async_trait]
impl LockService for Service {
    async fn acquire(
        &self,
        request: Request<AcquireRequest>,
    ) -> Result<Response<AcquireResponse>, Status> {
        let request = request.into_inner();
        self.write_down(Asked::Acquire(request.resource.clone().unwrap().id));
        self.in_line(&request).await?;
        self.in_mood(&self.0.acquire).await?;
        if matches!(&*self.0.acquire.borrow(), Mood::Hollow) {
            return Ok(Response::new(AcquireResponse::default()));
        }
        let (lock, reentrant) = self.grant(request);
        Self::in_voice(&self.0.acquire, AcquireResponse { lock: Some(lock), reentrant })
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let request = request.into_inner();
        self.write_down(Asked::Release(request.resource.clone().unwrap().id));
        self.in_mood(&self.0.release).await?;
        if matches!(&*self.0.release.borrow(), Mood::Late) {
            self.0.late.lock().unwrap().push(request);
            return Err(Status::unavailable("the connection broke"));
        }
        let released = self.0.release(&request);
        Self::in_voice(&self.0.release, ReleaseResponse { released })
    }

    async fn release_all(
        &self,
        request: Request<ReleaseAllRequest>,
    ) -> Result<Response<ReleaseAllResponse>, Status> {
        let owner_id = request.into_inner().owner_id;
        self.write_down(Asked::ReleaseAll(owner_id.clone()));
        self.in_mood(&self.0.release).await?;
        let mut held = self.0.held.lock().unwrap();
        let before = held.len();
        held.retain(|_, lock| lock.owner_id != owner_id);
        let released_count = (before - held.len()) as u64;
        drop(held);
        Self::in_voice(&self.0.release, ReleaseAllResponse { released_count })
    }

    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.open_session(request.into_inner())
    }

    type KeepAliveStream = ReceiverStream<Result<KeepAliveResponse, Status>>;

    async fn keep_alive(
        &self,
        request: Request<Streaming<KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        let (answers, stream) = mpsc::channel(1);
        let (service, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let answer = service.answer(request).await;
                let over = answer.is_err();
                if answers.send(answer).await.is_err() || over {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        let resource = request.resource.unwrap();
        self.write_down(Asked::Renew(resource.id.clone()));
        self.in_mood(&self.0.renew).await?;
        let mut held = self.0.held.lock().unwrap();
        let lock = held.get_mut(&resource).unwrap();
        lock.ttl = request.ttl.or(lock.ttl);
        lock.remaining = lock.ttl;
        Ok(Response::new(RenewResponse { lock: Some(lock.clone()) }))
    }

    async fn get_lock(
        &self,
        request: Request<GetLockRequest>,
    ) -> Result<Response<GetLockResponse>, Status> {
        self.write_down(Asked::Other);
        self.in_mood(&self.0.acquire).await?;
        let resource = request.into_inner().resource.unwrap();
        let lock = self.0.held.lock().unwrap().get(&resource).cloned().unwrap_or_default();
        Ok(Response::new(GetLockResponse { lock: Some(lock) }))
    }

    async fn list_locks(
        &self,
        _: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_stale(
        &self,
        _: Request<ListStaleRequest>,
    ) -> Result<Response<ListStaleResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn purge_stale(
        &self,
        _: Request<PurgeStaleRequest>,
    ) -> Result<Response<PurgeStaleResponse>, Status> {
        // There is nothing stale here.
        Self::in_voice(&self.0.release, PurgeStaleResponse::default())
    }

    async fn force_release(
        &self,
        request: Request<ForceReleaseRequest>,
    ) -> Result<Response<ForceReleaseResponse>, Status> {
        self.write_down(Asked::Other);
        self.in_mood(&self.0.force_release).await?;
        let request = request.into_inner();
        let resource = request.resource.unwrap();
        let mut held = self.0.held.lock().unwrap();
        let lock = held.remove(&resource).ok_or_else(refusal::not_found)?;
        drop(held);
        assert_eq!(lock.fencing_token, request.fencing_token, "what a test knows to be held");
        Self::in_voice(&self.0.force_release, ForceReleaseResponse { lock: Some(lock) })
    }

    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.open_watch(request.into_inner()).await
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
