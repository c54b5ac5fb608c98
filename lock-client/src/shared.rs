//! What all clients of one connection share: the thread, the servers, the
//! keep-alive, and the holds.
//!
//! Clients, guards and the tasks that finish their business keep it alive; the
//! keep-alive does not, so the thread ends with the last of them.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;
use tonic::{Response, Status, transport::Channel};

use crate::{
    ClientError,
    call::{self, Answer, CallLimits},
    endpoints::Endpoints,
    holds::Holds,
    io_thread::IoThread,
    keep_alive::KeepAlive,
};

pub(crate) struct Shared {
    pub(crate) io: IoThread,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) limits: CallLimits,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) holds: Arc<Holds>,
    pub(crate) background: Background,
}

impl Shared {
    pub(crate) fn new(
        io: IoThread,
        endpoints: Arc<Endpoints>,
        limits: CallLimits,
        keep_alive: KeepAlive,
    ) -> Self {
        let (holds, background) = (Arc::default(), Background::default());
        Self { io, endpoints, limits, keep_alive, holds, background }
    }

    /// Makes a call on the thread, given up when this future is dropped.
    pub(crate) async fn call<R, T, S, F>(
        &self,
        request: R,
        send: S,
    ) -> Result<Answer<T>, ClientError>
    where
        R: Clone + Send + 'static,
        T: Send + 'static,
        S: Fn(Channel, R) -> F + Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let (endpoints, limits) = (self.endpoints.clone(), self.limits);
        let call = async move { call::call(&endpoints, limits, request, send).await };
        Ok(self.io.run(call).await??)
    }
}

/// Counts what goes on after those who began it have gone.
#[derive(Debug, Default)]
pub(crate) struct Background {
    pending: watch::Sender<usize>,
}

/// One of them; over when dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    pending: watch::Sender<usize>,
}

impl Background {
    pub(crate) fn begin(&self) -> Pending {
        self.pending.send_modify(|pending| *pending += 1);
        Pending { pending: self.pending.clone() }
    }

    pub(crate) async fn settled(&self) {
        // The sender is this object's own, so the wait cannot fail.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.pending.send_modify(|pending| *pending -= 1);
    }
}
