//! A request that is described field by field, right or wrong.

use std::collections::HashMap;

use prost_types::{Duration, Timestamp};
use proto::lock::v1::{self as wire, session_request::Command as Asked};

use crate::{
    answer::{Answer, Reply},
    vocabulary::{moment, span, text},
    world::LockWorld,
};

/// The fields of all requests. What is not set is right.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    resource: Option<wire::Resource>,
    owner_id: Option<String>,
    fencing_token: u64,
    ttl: Option<Duration>,
    wait: Option<Duration>,
    metadata: HashMap<String, String>,
    resource_type: Option<String>,
    id_prefix: Option<String>,
    older_than: Option<Duration>,
    reason: String,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
    page_size: i32,
    page_token: String,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            resource: Some(wire::Resource::new("plan", "42")),
            owner_id: None,
            fencing_token: 1,
            ttl: None,
            wait: None,
            metadata: HashMap::new(),
            resource_type: None,
            id_prefix: None,
            older_than: None,
            reason: "stuck".to_owned(),
            start_time: None,
            end_time: None,
            page_size: 0,
            page_token: String::new(),
        }
    }
}

impl Draft {
    /// Sets a field by its path to what a table's cell says.
    pub(crate) fn set(&mut self, field: &str, cell: &str) -> &mut Self {
        let field = field.strip_prefix("leases[3].").unwrap_or(field);
        match field {
            "resource" if cell == "(missing)" => self.resource = None,
            "resource" => self.resource = Some(cell.parse().expect("a resource")),
            "resource.type" => self.resource_mut().r#type = text(cell),
            "resource.id" => self.resource_mut().id = text(cell),
            "owner_id" => self.owner_id = Some(text(cell)),
            "fencing_token" => self.fencing_token = cell.parse().expect("a token"),
            "ttl" => self.ttl = Some(span(cell)),
            "wait" => self.wait = Some(span(cell)),
            "resource_type" => self.resource_type = Some(text(cell)),
            "id_prefix" => self.id_prefix = Some(text(cell)),
            "older_than" => self.older_than = Some(span(cell)),
            "reason" => self.reason = text(cell),
            "start_time" => self.start_time = Some(moment(cell)),
            "end_time" => self.end_time = Some(moment(cell)),
            "page_size" => self.page_size = cell.parse().expect("a page size"),
            "page_token" => self.page_token = text(cell),
            other => match other.strip_prefix("metadata.") {
                Some(key) => return self.metadata(&text(key), &text(cell)),
                None => panic!("no field {other}"),
            },
        }
        self
    }

    /// Adds metadata.
    pub(crate) fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    fn resource_mut(&mut self) -> &mut wire::Resource {
        self.resource.get_or_insert_default()
    }

    fn owner(&self) -> String {
        self.owner_id.clone().unwrap_or_else(|| "Ann".to_owned())
    }

    /// Sends it as a request of this method, and notes the answer.
    pub(crate) async fn send(self, rpc: &str, world: &mut LockWorld) {
        match rpc {
            "Acquire" => world.acquire(self.acquire()).await,
            "Renew" => world.renew(self.renew()).await,
            "Release" => world.release(self.release()).await,
            "ForceRelease" => world.force_release(self.force_release()).await,
            _ => {
                let answer = self.ask(rpc, world).await;
                world.note(answer);
            }
        }
    }

    async fn ask(self, rpc: &str, world: &mut LockWorld) -> Answer {
        match rpc {
            "ReleaseAll" => {
                let request = wire::ReleaseAllRequest { owner_id: self.owner() };
                let reply = world.ask(async |mut client| client.release_all(request).await).await?;
                Ok(Reply::ReleasedAll(reply.released_count))
            }
            "GetLock" => {
                let request = wire::GetLockRequest { resource: self.resource };
                let reply = world.ask(async |mut client| client.get_lock(request).await).await?;
                Ok(Reply::Found(reply.lock.expect("a lock")))
            }
            "ListLocks" => {
                let request = self.list_locks();
                let reply = world.ask(async |mut client| client.list_locks(request).await).await?;
                Ok(Reply::Listed(reply))
            }
            "ListStale" => {
                let request = self.list_stale();
                let reply = world.ask(async |mut client| client.list_stale(request).await).await?;
                Ok(Reply::Stale(reply))
            }
            "PurgeStale" => {
                let request = self.purge_stale();
                let reply = world.ask(async |mut client| client.purge_stale(request).await).await?;
                Ok(Reply::Purged(reply.purged_count))
            }
            "ListEvents" => {
                let request = self.list_events();
                let reply = world.ask(async |mut client| client.list_events(request).await).await?;
                Ok(Reply::Events(reply))
            }
            "KeepAlive" if world.session.is_some() => {
                world.exchange(Asked::KeepAlive(self.keep_alive())).await
            }
            "KeepAlive" => {
                let reply = world.open_keep_alive().await.exchange(self.keep_alive()).await?;
                Ok(Reply::KeptAlive(reply))
            }
            other => panic!("no method {other}"),
        }
    }
}

// === requests ===

impl Draft {
    fn acquire(self) -> wire::AcquireRequest {
        let owner_id = self.owner();
        let Self { resource, ttl, wait, metadata, .. } = self;
        wire::AcquireRequest { resource, owner_id, ttl, wait, metadata }
    }

    fn renew(self) -> wire::RenewRequest {
        let owner_id = self.owner();
        let Self { resource, fencing_token, ttl, .. } = self;
        wire::RenewRequest { resource, owner_id, fencing_token, ttl }
    }

    fn release(self) -> wire::ReleaseRequest {
        let owner_id = self.owner();
        let fencing_token = Some(self.fencing_token);
        wire::ReleaseRequest { resource: self.resource, owner_id, fencing_token }
    }

    fn list_locks(self) -> wire::ListLocksRequest {
        let Self { resource_type, id_prefix, owner_id, page_size, page_token, .. } = self;
        wire::ListLocksRequest { resource_type, id_prefix, owner_id, page_size, page_token }
    }

    fn list_stale(self) -> wire::ListStaleRequest {
        let Self { resource_type, older_than, page_size, page_token, .. } = self;
        wire::ListStaleRequest { resource_type, older_than, page_size, page_token }
    }

    fn purge_stale(self) -> wire::PurgeStaleRequest {
        let Self { resource_type, older_than, .. } = self;
        wire::PurgeStaleRequest { resource_type, older_than }
    }

    fn force_release(self) -> wire::ForceReleaseRequest {
        let Self { resource, fencing_token, reason, .. } = self;
        wire::ForceReleaseRequest { resource, fencing_token, reason }
    }

    fn list_events(self) -> wire::ListEventsRequest {
        let Self { resource, start_time, end_time, page_size, page_token, .. } = self;
        wire::ListEventsRequest { resource, start_time, end_time, page_size, page_token }
    }

    /// A watch of what is set.
    pub(crate) fn watch(self) -> wire::WatchRequest {
        let Self { resource, resource_type, id_prefix, .. } = self;
        wire::WatchRequest { resource, resource_type, id_prefix, include_renewals: false }
    }

    /// Three leases that are right, and the described one.
    fn keep_alive(self) -> wire::KeepAliveRequest {
        let right = |n: u32| wire::KeepAliveLease {
            resource: Some(wire::Resource::new("plan", n.to_string())),
            owner_id: "Ann".to_owned(),
            fencing_token: 1,
        };
        let owner_id = self.owner();
        let Self { resource, fencing_token, ttl, .. } = self;
        let described = wire::KeepAliveLease { resource, owner_id, fencing_token };
        let leases = (0..3).map(right).chain([described]).collect();
        wire::KeepAliveRequest { leases, ttl }
    }
}
