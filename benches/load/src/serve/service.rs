//! The gRPC service over a backend: the calls that are measured, and no others.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use proto::lock::v1::{
    AcquireRequest, AcquireResponse, ForceReleaseRequest, ForceReleaseResponse, GetLockRequest,
    GetLockResponse, KeepAliveRequest, KeepAliveResponse, ListEventsRequest, ListEventsResponse,
    ListLocksRequest, ListLocksResponse, ListStaleRequest, ListStaleResponse, PurgeStaleRequest,
    PurgeStaleResponse, ReleaseAllRequest, ReleaseAllResponse, ReleaseRequest, ReleaseResponse,
    RenewRequest, RenewResponse, SessionRequest, SessionResponse, WatchRequest, WatchResponse,
    lock_service_server::LockService,
};
use tonic::{Request, Response, Status, Streaming};

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What answers.
#[tonic::async_trait]
pub(super) trait Backend: Send + Sync + 'static {
    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireResponse, Status>;
    async fn release(&self, request: ReleaseRequest) -> Result<ReleaseResponse, Status>;
    async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Status>;

    fn keep_alive(
        self: Arc<Self>,
        _: Streaming<KeepAliveRequest>,
    ) -> Result<Answers<KeepAliveResponse>, Status> {
        Err(not_measured())
    }

    fn session(
        self: Arc<Self>,
        _: Streaming<SessionRequest>,
    ) -> Result<Answers<SessionResponse>, Status> {
        Err(not_measured())
    }
}

/// The service.
pub(super) struct Service<B> {
    backend: Arc<B>,
}

impl<B> Service<B> {
    pub(super) fn new(backend: B) -> Self {
        Self { backend: Arc::new(backend) }
    }
}

#[tonic::async_trait]
impl<B: Backend> LockService for Service<B> {
    type KeepAliveStream = Answers<KeepAliveResponse>;
    type SessionStream = Answers<SessionResponse>;

    async fn acquire(
        &self,
        request: Request<AcquireRequest>,
    ) -> Result<Response<AcquireResponse>, Status> {
        self.backend.acquire(request.into_inner()).await.map(Response::new)
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        self.backend.renew(request.into_inner()).await.map(Response::new)
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        self.backend.release(request.into_inner()).await.map(Response::new)
    }

    async fn keep_alive(
        &self,
        request: Request<Streaming<KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        Arc::clone(&self.backend).keep_alive(request.into_inner()).map(Response::new)
    }

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Arc::clone(&self.backend).session(request.into_inner()).map(Response::new)
    }

    async fn release_all(
        &self,
        _: Request<ReleaseAllRequest>,
    ) -> Result<Response<ReleaseAllResponse>, Status> {
        Err(not_measured())
    }

    async fn get_lock(
        &self,
        _: Request<GetLockRequest>,
    ) -> Result<Response<GetLockResponse>, Status> {
        Err(not_measured())
    }

    async fn list_locks(
        &self,
        _: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        Err(not_measured())
    }

    async fn list_stale(
        &self,
        _: Request<ListStaleRequest>,
    ) -> Result<Response<ListStaleResponse>, Status> {
        Err(not_measured())
    }

    async fn purge_stale(
        &self,
        _: Request<PurgeStaleRequest>,
    ) -> Result<Response<PurgeStaleResponse>, Status> {
        Err(not_measured())
    }

    async fn force_release(
        &self,
        _: Request<ForceReleaseRequest>,
    ) -> Result<Response<ForceReleaseResponse>, Status> {
        Err(not_measured())
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(not_measured())
    }

    type WatchStream = Answers<WatchResponse>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(not_measured())
    }
}

/// One answer for each message, in the order of the messages and with no task between.
pub(super) fn answer_each<Q, A>(
    incoming: Streaming<Q>,
    mut answer: impl FnMut(Q) -> A + Send + 'static,
) -> Answers<A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    Box::pin(incoming.map(move |message| message.map(&mut answer)))
}

fn not_measured() -> Status {
    Status::unimplemented("this server is for measuring, and this is not measured")
}
