//! Callers ask the server that they talk to, by calls or on a command stream.

use proto::lock::v1::{
    self as wire, lock_service_client::LockServiceClient, session_request::Command as Asked,
};
use service_kit::testing::eventually;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tonic::{Response, Status, transport::Channel};

use super::{KeepAlive, LockWorld, PATIENCE, SOON};
use crate::answer::{Reply, shown};

impl LockWorld {
    /// Asks the server, and notes how long it took.
    pub(crate) async fn ask<T>(
        &mut self,
        call: impl AsyncFnOnce(LockServiceClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let client = LockServiceClient::new(self.channel());
        let started = Instant::now();
        let answer = timeout(PATIENCE, call(client)).await.expect("the server answers");
        self.took = started.elapsed();
        answer.map(Response::into_inner)
    }

    /// Asks for a lock.
    pub(crate) async fn acquire(&mut self, request: wire::AcquireRequest) {
        if self.session.is_some() {
            let answer = self.exchange(Asked::Acquire(request)).await;
            return self.note(answer);
        }
        let answer = self.ask(async |mut client| client.acquire(request).await).await;
        self.note(answer.map(|reply| Reply::Acquired {
            lock: reply.lock.expect("a lock"),
            reentrant: reply.reentrant,
        }));
    }

    /// Asks to renew.
    pub(crate) async fn renew(&mut self, request: wire::RenewRequest) {
        if self.session.is_some() {
            let answer = self.exchange(Asked::Renew(request)).await;
            return self.note(answer);
        }
        let answer = self.ask(async |mut client| client.renew(request).await).await;
        self.note(answer.map(|reply| Reply::Renewed(reply.lock.expect("a lock"))));
    }

    /// Asks to release.
    pub(crate) async fn release(&mut self, request: wire::ReleaseRequest) {
        if self.session.is_some() {
            let answer = self.exchange(Asked::Release(request)).await;
            return self.note(answer);
        }
        let answer = self.ask(async |mut client| client.release(request).await).await;
        self.note(answer.map(|reply| Reply::Released(reply.released)));
    }

    /// Asks to break a hold.
    pub(crate) async fn force_release(&mut self, request: wire::ForceReleaseRequest) {
        let answer = self.ask(async |mut client| client.force_release(request).await).await;
        self.note(answer.map(|reply| Reply::Broken(reply.lock.expect("a lock"))));
    }

    /// The lock of a resource, live or stale.
    pub(crate) async fn get(&mut self, resource: &wire::Resource) -> Result<wire::Lock, Status> {
        let request = wire::GetLockRequest { resource: Some(resource.clone()) };
        let answer = self.ask(async |mut client| client.get_lock(request).await).await;
        answer.map(|reply| reply.lock.expect("a lock"))
    }

    /// Waits until a lock is stale.
    pub(crate) async fn wait_until_stale(&mut self, resource: &wire::Resource) {
        let what = format!("{resource} is stale");
        eventually(&what, SOON, async || {
            let lock =
                self.get(resource).await.unwrap_or_else(|status| panic!("{}", shown(&status)));
            (lock.state() == wire::LockState::Stale).then_some(())
        })
        .await;
    }

    /// Opens a stream of keep-alives.
    pub(crate) async fn open_keep_alive(&mut self) -> &mut KeepAlive {
        let (requests, stream) = mpsc::channel(16);
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        let responses = self.ask(async |mut client| client.keep_alive(stream).await).await;
        let responses = responses.expect("the stream opens");
        self.keep_alive.insert(KeepAlive { requests, responses })
    }
}

impl KeepAlive {
    /// The next response, or the status with which the stream ended; none
    /// when it ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<wire::KeepAliveResponse>, Status> {
        timeout(PATIENCE, self.responses.message()).await.expect("the stream goes on or ends")
    }

    /// Sends a request and waits for its response.
    pub(crate) async fn exchange(
        &mut self,
        request: wire::KeepAliveRequest,
    ) -> Result<wire::KeepAliveResponse, Status> {
        // A stream that has ended says why when it is read.
        let _ = self.requests.send(request).await;
        Ok(self.next().await?.expect("a response to the request"))
    }
}
