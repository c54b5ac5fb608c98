//! Work under a lock, stopped when the lock is lost.

use std::future::Future;

use super::LockClient;
use crate::{AcquireOptions, ClientError, IntoResource, LockGuard};

impl LockClient {
    /// Takes a lock, does the work, and gives the lock back: when the work is
    /// done, when it panics, and when this future is dropped.
    ///
    /// When the lease is lost, the work's future is dropped where it stands and
    /// the loss is the result; so it is when the lease was lost as the work
    /// finished. The work gets a guard of its own for the fencing token and for
    /// [`check`](LockGuard::check) before each side effect; a clone of it that
    /// outlives the work keeps the lock.
    ///
    /// Code that does not reach an `await` is not stopped: that, and whatever
    /// it has sent on its way, is what the token is for (see
    /// [`fenced`](crate::fenced)).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`ClientError::Lost`]. A release that
    /// fails is logged and does not undo the work: the lease runs out.
    pub async fn with_lock<T, W, F>(
        &self,
        resource: impl IntoResource,
        options: AcquireOptions,
        work: W,
    ) -> Result<T, ClientError>
    where
        W: FnOnce(LockGuard) -> F,
        F: Future<Output = T>,
    {
        let guard = self.acquire(resource, options).await?;
        let value = tokio::select! {
            // A loss that came together with the end of the work counts; and the
            // clock is looked at before the work goes on, which the process may
            // have slept through.
            biased;
            lost = guard.lost() => return Err(lost.into()),
            value = work(guard.clone()) => value,
        };
        guard.check()?;
        let resource = guard.resource().clone();
        if let Err(error) = guard.release().await {
            tracing::warn!(lock.resource = %resource, %error, "the work is done, its lock not released");
        }
        Ok(value)
    }
}
