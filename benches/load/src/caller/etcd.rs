//! etcd's lock API. Each caller has a lease, made beforehand; a pair is a lock and an unlock.

use etcd_client::{Client, LockOptions};

use super::Grant;
use crate::{
    part::Part,
    trouble::{During, Result},
};

/// Longer than any run.
const LEASE_SECONDS: i64 = 3600;

/// One caller on a connection that others may share. Its futures are large, and boxed so that those
/// of all callers are not.
pub(crate) struct Etcd {
    client: Client,
    lease: i64,
    keys: Vec<Vec<u8>>,
    pub(super) part: Part,
}

/// Whether this program has the client.
pub(crate) fn built() -> Result<()> {
    Ok(())
}

/// Whether a server can be used.
pub(crate) async fn ready(url: &str) -> bool {
    match Client::connect([url], None).await {
        Ok(mut client) => client.status().await.is_ok_and(|status| status.leader() != 0),
        Err(_) => false,
    }
}

impl Etcd {
    /// Callers that share so many connections.
    pub(crate) async fn connect(
        url: &str,
        parts: Vec<Part>,
        connections: usize,
    ) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections.min(parts.len()) {
            clients.push(Box::pin(Client::connect([url], None)).await.during("connect to etcd")?);
        }
        let mut callers = Vec::with_capacity(parts.len());
        for (client, part) in clients.iter().cycle().zip(parts) {
            callers.push(Self::new(client.clone(), part).await?);
        }
        Ok(callers)
    }

    async fn new(mut client: Client, part: Part) -> Result<Self> {
        let lease = Box::pin(client.lease_grant(LEASE_SECONDS, None)).await;
        let lease = lease.during("be granted a lease")?;
        let keys = vec![Vec::new(); part.resources.len()];
        Ok(Self { client, lease: lease.id(), keys, part })
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        let options = LockOptions::new().with_lease(self.lease);
        let name = self.part.resources[lock].as_str();
        let answer = Box::pin(self.client.lock(name, Some(options))).await.during("lock")?;
        self.keys[lock] = answer.key().to_vec();
        Ok(Grant::Granted)
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        let key = std::mem::take(&mut self.keys[lock]);
        Box::pin(self.client.unlock(key)).await.map(drop).during("unlock")
    }
}
