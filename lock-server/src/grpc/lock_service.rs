//! `lock.v1.LockService`: checks each request, has the engine carry it out,
//! and makes a message of what came of it.

use std::sync::Arc;

use proto::lock::v1::{self as wire, lock_service_server::LockService};
use tonic::{Request, Response, Status, Streaming};

use super::{
    check::{Check, TOKENS},
    commands, convert,
    keep_alive::{self, Responses},
    observe::{Subject, observe},
    session::Session,
    watch::{self, Events},
};
use crate::{
    domain::{
        Actor, EventFilter, ForceRelease, ListFilter, OwnerId, Resource, ResourceType, StaleFilter,
        Timestamp,
    },
    engine::LockEngine,
    error::LockError,
};

/// Serves the lock API.
#[derive(Debug)]
pub struct LockApi {
    engine: Arc<LockEngine>,
}

impl LockApi {
    /// An API on an engine.
    pub fn new(engine: Arc<LockEngine>) -> Self {
        Self { engine }
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LockService for LockApi {
    async fn acquire(
        &self,
        request: Request<wire::AcquireRequest>,
    ) -> Reply<wire::AcquireResponse> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), &request.owner_id);
        let mut receipt = None;
        let mut response = observe("Acquire", subject, async {
            let (policy, max_wait) = (self.engine.ttl(), self.engine.max_wait());
            let acquire = commands::acquire(policy, max_wait, request)?;
            let (lock, reentrant, of) = self.engine.acquire(acquire).await?;
            receipt = of;
            Ok(wire::AcquireResponse { lock: Some(convert::lock(lock)), reentrant })
        })
        .await?;
        if let Some(receipt) = receipt {
            response.extensions_mut().insert(receipt);
        }
        Ok(response)
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Reply<wire::RenewResponse> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), &request.owner_id);
        observe("Renew", subject, async {
            let lock = self.engine.renew(commands::renew(self.engine.ttl(), &request)?).await?;
            Ok(wire::RenewResponse { lock: Some(convert::lock(lock)) })
        })
        .await
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Reply<wire::ReleaseResponse> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), &request.owner_id);
        observe("Release", subject, async {
            let released = self.engine.release(commands::release(&request)?).await?;
            Ok(wire::ReleaseResponse { released })
        })
        .await
    }

    async fn release_all(
        &self,
        request: Request<wire::ReleaseAllRequest>,
    ) -> Reply<wire::ReleaseAllResponse> {
        let request = request.into_inner();
        observe("ReleaseAll", Subject::of(None, &request.owner_id), async {
            let mut check = Check::default();
            let owner = check.owner("owner_id", &request.owner_id);
            let owner = check.finish_with(owner)?;
            let released_count = self.engine.release_all(&owner).await?;
            Ok(wire::ReleaseAllResponse { released_count })
        })
        .await
    }

    async fn get_lock(
        &self,
        request: Request<wire::GetLockRequest>,
    ) -> Reply<wire::GetLockResponse> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), "");
        observe("GetLock", subject, async {
            let mut check = Check::default();
            let resource = check.resource("resource", request.resource.as_ref());
            let lock = self.engine.get(check.finish_with(resource)?).await?;
            Ok(wire::GetLockResponse { lock: Some(convert::lock(lock)) })
        })
        .await
    }

    async fn list_locks(
        &self,
        request: Request<wire::ListLocksRequest>,
    ) -> Reply<wire::ListLocksResponse> {
        let request = request.into_inner();
        observe("ListLocks", Subject::default(), self.list(request)).await
    }

    async fn list_stale(
        &self,
        request: Request<wire::ListStaleRequest>,
    ) -> Reply<wire::ListStaleResponse> {
        let request = request.into_inner();
        observe("ListStale", Subject::default(), self.stale(request)).await
    }

    async fn purge_stale(
        &self,
        request: Request<wire::PurgeStaleRequest>,
    ) -> Reply<wire::PurgeStaleResponse> {
        let actor = actor(&request);
        let request = request.into_inner();
        observe("PurgeStale", Subject::default(), async {
            let mut check = Check::default();
            let kind = check.kind(request.resource_type.as_deref());
            let older_than = check.span("older_than", request.older_than.as_ref());
            check.finish()?;
            let filter = StaleFilter { kind, older_than };
            let purged_count = self.engine.purge_stale(filter, actor).await?;
            Ok(wire::PurgeStaleResponse { purged_count })
        })
        .await
    }

    async fn force_release(
        &self,
        request: Request<wire::ForceReleaseRequest>,
    ) -> Reply<wire::ForceReleaseResponse> {
        let actor = actor(&request);
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), "");
        observe("ForceRelease", subject, async {
            let mut check = Check::default();
            let resource = check.resource("resource", request.resource.as_ref());
            let token = check.token("fencing_token", request.fencing_token);
            let reason = check.reason("reason", &request.reason);
            let asked = resource.zip(token).zip(reason);
            let ((resource, token), reason) = check.finish_with(asked)?;
            let asked = ForceRelease { resource, token, actor, reason };
            let lock = self.engine.force_release(asked).await?;
            Ok(wire::ForceReleaseResponse { lock: Some(convert::lock(lock)) })
        })
        .await
    }

    async fn list_events(
        &self,
        request: Request<wire::ListEventsRequest>,
    ) -> Reply<wire::ListEventsResponse> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), "");
        observe("ListEvents", subject, self.events(request)).await
    }

    type KeepAliveStream = Responses;

    async fn keep_alive(
        &self,
        request: Request<Streaming<wire::KeepAliveRequest>>,
    ) -> Reply<Self::KeepAliveStream> {
        let responses = keep_alive::responses(Arc::clone(&self.engine), request.into_inner());
        Ok(Response::new(responses))
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Reply<Self::WatchStream> {
        let request = request.into_inner();
        let subject = Subject::of(request.resource.as_ref(), "");
        observe("Watch", subject, async { watch::events(&self.engine, &request) }).await
    }

    type SessionStream = Session;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Reply<Self::SessionStream> {
        Ok(Response::new(Session::new(Arc::clone(&self.engine), request.into_inner())))
    }
}

impl LockApi {
    async fn list(
        &self,
        request: wire::ListLocksRequest,
    ) -> Result<wire::ListLocksResponse, LockError> {
        let mut check = Check::default();
        let filter = ListFilter {
            kind: check.kind(request.resource_type.as_deref()),
            id_prefix: check.id_prefix(request.id_prefix.as_deref()),
            owner: request.owner_id.as_deref().and_then(|owner| check.owner("owner_id", owner)),
        };
        let size = check.page_size(request.page_size);
        let filters = [
            "ListLocks",
            filter.kind.as_ref().map_or("", ResourceType::as_str),
            filter.id_prefix.as_str(),
            filter.owner.as_ref().map_or("", OwnerId::as_str),
        ];
        let after =
            check.page_token(&filters, &request.page_token, |[kind, id]| resource(&kind, &id));
        check.finish()?;
        let page = self.engine.list(&filter, after.as_ref(), size).await?;
        let next = page.next.as_ref();
        Ok(wire::ListLocksResponse {
            next_page_token: next.map_or_else(String::new, |resource| {
                TOKENS.encode(&filters, &[resource.kind().as_str(), resource.id()])
            }),
            locks: page.locks.into_iter().map(convert::lock).collect(),
        })
    }

    async fn events(
        &self,
        request: wire::ListEventsRequest,
    ) -> Result<wire::ListEventsResponse, LockError> {
        let mut check = Check::default();
        let asked = request.resource.as_ref();
        let filter = EventFilter {
            resource: asked.and_then(|asked| check.resource("resource", Some(asked))),
            start: check.moment("start_time", request.start_time.as_ref()),
            end: check.moment("end_time", request.end_time.as_ref()),
        };
        if let (Some(start), Some(end)) = (filter.start, filter.end)
            && end <= start
        {
            check.wrong("end_time", "is not after start_time: no event can be between them");
        }
        let size = check.page_size(request.page_size);
        let micros = |moment: Option<Timestamp>| {
            moment.map_or_else(String::new, |moment| moment.micros().to_string())
        };
        let (start, end) = (micros(filter.start), micros(filter.end));
        let resource = filter.resource.as_ref();
        let filters = [
            "ListEvents",
            resource.map_or("", |resource| resource.kind().as_str()),
            resource.map_or("", Resource::id),
            &start,
            &end,
        ];
        let cursor = |[moment, id]: [String; 2]| {
            Some((moment.parse().map(Timestamp::from_micros).ok()?, id.parse().ok()?))
        };
        let before = check.page_token(&filters, &request.page_token, cursor);
        check.finish()?;
        let page = self.engine.events(&filter, before, size).await?;
        Ok(wire::ListEventsResponse {
            next_page_token: page.next.map_or_else(String::new, |(moment, id)| {
                TOKENS.encode(&filters, &[&moment.micros().to_string(), &id.to_string()])
            }),
            events: page.events.into_iter().map(convert::event).collect(),
        })
    }

    async fn stale(
        &self,
        request: wire::ListStaleRequest,
    ) -> Result<wire::ListStaleResponse, LockError> {
        let mut check = Check::default();
        let filter = StaleFilter {
            kind: check.kind(request.resource_type.as_deref()),
            older_than: check.span("older_than", request.older_than.as_ref()),
        };
        let size = check.page_size(request.page_size);
        let older_than = filter.older_than.micros().to_string();
        let filters =
            ["ListStale", filter.kind.as_ref().map_or("", ResourceType::as_str), &older_than];
        let cursor = |[expiry, kind, id]: [String; 3]| {
            let expiry = expiry.parse().map(Timestamp::from_micros).ok()?;
            Some((expiry, resource(&kind, &id)?))
        };
        let after = check.page_token(&filters, &request.page_token, cursor);
        check.finish()?;
        let page = self.engine.list_stale(&filter, after.as_ref(), size).await?;
        let next = page.next.as_ref();
        Ok(wire::ListStaleResponse {
            next_page_token: next.map_or_else(String::new, |(expiry, resource)| {
                let expiry = expiry.micros().to_string();
                TOKENS.encode(&filters, &[&expiry, resource.kind().as_str(), resource.id()])
            }),
            total_count: page.total,
            locks: page.locks.into_iter().map(convert::lock).collect(),
        })
    }
}

/// What is known of who calls.
fn actor<T>(request: &Request<T>) -> Actor {
    Actor::at(request.remote_addr().map(|address| address.ip().to_canonical()))
}

/// The resource in a cursor.
fn resource(kind: &str, id: &str) -> Option<Resource> {
    Resource::parse_id(ResourceType::parse(kind).ok()?, id).ok()
}
