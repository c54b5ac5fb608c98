//! ZooKeeper: an ephemeral node is a lock, and deleting it the release. Who waits has an ephemeral
//! node with a number, and watches the one before it: the recipe of ZooKeeper's documentation.

use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use super::Grant;
use crate::{
    part::Part,
    trouble::{During, Result},
};

const NODE: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const PLACE: CreateOptions<'static> = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
const LINE: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

/// One caller in a session that others may share.
pub(crate) struct Zookeeper {
    client: Client,
    /// The nodes of this caller in lines, while it waits or holds.
    places: Vec<Option<String>>,
    pub(super) part: Part,
}

impl Zookeeper {
    pub(crate) fn new(client: Client, mut part: Part) -> Self {
        for resource in &mut part.resources {
            resource.insert(0, '/');
        }
        let places = vec![None; part.resources.len()];
        Self { client, places, part }
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        let owner = self.part.owner.as_bytes();
        match self.client.create(&self.part.resources[lock], owner, &NODE).await {
            Ok(_) => Ok(Grant::Granted),
            Err(Error::NodeExists) => Ok(Grant::Conflict),
            other => other.map(|_| Grant::Granted).during("create a node"),
        }
    }

    /// Has its turn when no smaller number is left.
    pub(super) async fn wait_for(&mut self, lock: usize) -> Result<Grant> {
        let line = format!("{}-line", self.part.resources[lock]);
        let number = self.go_in_line(lock, &line).await?;
        loop {
            let places = self.client.list_children(&line).await.during("list a line")?;
            let before = places.iter().filter_map(|place| Some((number_of(place)?, place)));
            let before = before.filter(|(other, _)| *other < number).max();
            let Some((_, before)) = before else { return Ok(Grant::Granted) };
            // Data and not the mere existence: where there is no node, no watch stays behind.
            match self.client.get_and_watch_data(&format!("{line}/{before}")).await {
                Ok((_, _, watcher)) => drop(watcher.changed().await),
                Err(Error::NoNode) => {}
                Err(error) => return Err(error).during("watch a node"),
            }
        }
    }

    /// Makes a node at the end of the line.
    async fn go_in_line(&mut self, lock: usize, line: &str) -> Result<i64> {
        let place = format!("{line}/{}-", self.part.owner);
        let owner = self.part.owner.as_bytes();
        let mut made = self.client.create(&place, owner, &PLACE).await;
        if matches!(made, Err(Error::NoNode)) {
            match self.client.create(line, &[], &LINE).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => return Err(error).during("make a line"),
            }
            made = self.client.create(&place, owner, &PLACE).await;
        }
        let (_, number) = made.during("go in line")?;
        self.places[lock] = Some(format!("{place}{number}"));
        Ok(number.into_i64())
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        let place = self.places[lock].take();
        let node = place.as_ref().unwrap_or(&self.part.resources[lock]);
        self.client.delete(node, None).await.during("delete a node")
    }
}

/// ZooKeeper's number at the end of a node's name.
fn number_of(place: &str) -> Option<i64> {
    place.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_its_number_at_the_end() {
        assert_eq!(number_of("bench-caller-0000001-0000000042"), Some(42));
        assert_eq!(number_of("something else"), None);
    }
}
