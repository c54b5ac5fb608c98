//! ZooKeeper: an ephemeral node is a lock, and deleting it the release.

use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use super::Grant;
use crate::{
    part::Part,
    trouble::{During, Result},
};

const NODE: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

/// One caller in a session that others may share.
pub(crate) struct Zookeeper {
    client: Client,
    pub(super) part: Part,
}

impl Zookeeper {
    pub(crate) fn new(client: Client, mut part: Part) -> Self {
        for resource in &mut part.resources {
            resource.insert(0, '/');
        }
        Self { client, part }
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        let owner = self.part.owner.as_bytes();
        match self.client.create(&self.part.resources[lock], owner, &NODE).await {
            Ok(_) => Ok(Grant::Granted),
            Err(Error::NodeExists) => Ok(Grant::Conflict),
            other => other.map(|_| Grant::Granted).during("create a node"),
        }
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        self.client.delete(&self.part.resources[lock], None).await.during("delete a node")
    }
}
