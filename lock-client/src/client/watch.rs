//! The way to a watch.

use super::LockClient;
use crate::{Watch, WatchFilter};

impl LockClient {
    /// Watches locks: first a snapshot of those that match and are live, then
    /// what happens to them and to others that match, whoever does it and
    /// whichever server is asked, in order for each resource.
    ///
    /// The watch survives the loss of servers and connections: it goes on at
    /// another one, or at the same when it is back, and says so by
    /// [`WatchEvent::Interrupted`](crate::WatchEvent::Interrupted) and a new
    /// snapshot, because what happened meanwhile is not told. So it does when the
    /// server cuts it off for reading too slowly.
    ///
    /// It tells what was so, and decides nothing: whoever sees that a lock is
    /// free may find it taken. To wait for a lock, acquire it with a
    /// [`wait`](crate::AcquireOptions::wait).
    ///
    /// Begins at once, and is read at leisure: see [`Watch`].
    ///
    /// ```no_run
    /// # use lock_client::{LockClient, WatchEvent, WatchFilter};
    /// # async fn example(client: LockClient) -> Result<(), lock_client::ClientError> {
    /// let mut watch = client.watch(WatchFilter::resource_type("plan"));
    /// while let Some(event) = watch.next_event().await {
    ///     if let WatchEvent::Changed { change, lock } = event? {
    ///         println!("{} {change} by {}", lock.resource, lock.owner_id);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, filter: WatchFilter) -> Watch {
        Watch::start(self.shared.clone(), filter)
    }
}
