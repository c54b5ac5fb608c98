//! `lock.v1.LockService`: checks each request, has the engine carry it out,
//! and makes a message of what came of it.

use std::sync::Arc;

use proto::lock::v1::{self as wire, lock_service_server::LockService};
use tonic::{Request, Response, Status, Streaming};

use super::{
    check::Check,
    commands, convert,
    keep_alive::{self, Responses},
    observe::{Subject, observe},
    page_token,
    session::Session,
};
use crate::{
    domain::{ListFilter, OwnerId, Resource, ResourceType, StaleFilter, Timestamp},
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
        observe("Acquire", subject, async {
            let (lock, reentrant) =
                self.engine.acquire(commands::acquire(self.engine.ttl(), request)?).await?;
            Ok(wire::AcquireResponse { lock: Some(convert::lock(lock)), reentrant })
        })
        .await
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
        let request = request.into_inner();
        observe("PurgeStale", Subject::default(), async {
            let mut check = Check::default();
            let kind = check.kind(request.resource_type.as_deref());
            let older_than = check.span("older_than", request.older_than.as_ref());
            check.finish()?;
            let purged_count = self.engine.purge_stale(&StaleFilter { kind, older_than }).await?;
            Ok(wire::PurgeStaleResponse { purged_count })
        })
        .await
    }

    type KeepAliveStream = Responses;

    async fn keep_alive(
        &self,
        request: Request<Streaming<wire::KeepAliveRequest>>,
    ) -> Reply<Self::KeepAliveStream> {
        let responses = keep_alive::responses(Arc::clone(&self.engine), request.into_inner());
        Ok(Response::new(responses))
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
        let after = page_token::decode(&mut check, &filters, &request.page_token, |[kind, id]| {
            resource(&kind, &id)
        });
        check.finish()?;
        let page = self.engine.list(&filter, after.as_ref(), size).await?;
        let next = page.next.as_ref();
        Ok(wire::ListLocksResponse {
            next_page_token: next.map_or_else(String::new, |resource| {
                page_token::encode(&filters, &[resource.kind().as_str(), resource.id()])
            }),
            locks: page.locks.into_iter().map(convert::lock).collect(),
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
        let after = page_token::decode(&mut check, &filters, &request.page_token, cursor);
        check.finish()?;
        let page = self.engine.list_stale(&filter, after.as_ref(), size).await?;
        let next = page.next.as_ref();
        Ok(wire::ListStaleResponse {
            next_page_token: next.map_or_else(String::new, |(expiry, resource)| {
                let expiry = expiry.micros().to_string();
                page_token::encode(&filters, &[&expiry, resource.kind().as_str(), resource.id()])
            }),
            total_count: page.total,
            locks: page.locks.into_iter().map(convert::lock).collect(),
        })
    }
}

/// The resource in a cursor.
fn resource(kind: &str, id: &str) -> Option<Resource> {
    Resource::parse_id(ResourceType::parse(kind).ok()?, id).ok()
}
