//! The `Watch` stream: what happens to locks, as messages.
//!
//! The transport pulls: nothing is taken from the watch before the last event has
//! been taken by it.

use std::pin::Pin;

use futures::{Stream, stream};
use proto::lock::v1::{self as wire, LockEventKind as Kind};
use tonic::Status;

use super::{check::Check, convert, observe::note_watch, status};
use crate::{
    domain::{Lock, LockEventKind, WatchFilter},
    engine::{LockEngine, Watched},
    error::LockError,
};

pub(super) type Events = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

/// The events that a request asks for.
///
/// # Errors
/// When the request is wrong, or the server is stopping or overloaded.
pub(super) fn events(
    engine: &LockEngine,
    request: &wire::WatchRequest,
) -> Result<Events, LockError> {
    let watch = engine.watch(filter(request)?, request.include_renewals)?;
    Ok(Box::pin(stream::unfold(watch, |mut watch| async {
        let told = watch.next().await?.map(response);
        let told = told.map_err(|error| {
            note_watch(&error);
            status::status(&error)
        });
        Some((told, watch))
    })))
}

/// What is watched.
///
/// # Errors
/// When the request is wrong.
fn filter(request: &wire::WatchRequest) -> Result<WatchFilter, LockError> {
    let mut check = Check::default();
    let wire::WatchRequest { resource, resource_type, id_prefix, .. } = request;
    let kind = check.kind(resource_type.as_deref());
    let prefix = check.id_prefix(id_prefix.as_deref());
    // An empty prefix means all, and says no more than none.
    let has_prefix = id_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty());
    let Some(resource) = resource else {
        if has_prefix && resource_type.is_none() {
            check.wrong("resource_type", "is missing; an id_prefix is one of a type's ids");
        }
        check.finish()?;
        return Ok(WatchFilter::Many { kind, id_prefix: prefix });
    };
    let checked = check.resource("resource", Some(resource));
    for (field, is_given) in [("resource_type", resource_type.is_some()), ("id_prefix", has_prefix)]
    {
        if is_given {
            check.wrong(field, "stands beside resource; a watch is of one resource or of many");
        }
    }
    check.finish_with(checked).map(WatchFilter::One)
}

fn response(told: Watched) -> wire::WatchResponse {
    let (kind, lock) = match told {
        Watched::Snapshot(lock) => (Kind::Snapshot, Some(lock)),
        Watched::SnapshotComplete => (Kind::SnapshotComplete, None),
        Watched::Event(what, lock) => (kind(what), Some(lock)),
        Watched::Progress => (Kind::Progress, None),
    };
    wire::WatchResponse { kind: kind.into(), lock: lock.map(|lock: Lock| convert::lock(lock)) }
}

fn kind(kind: LockEventKind) -> Kind {
    match kind {
        LockEventKind::Acquired => Kind::Acquired,
        LockEventKind::Renewed => Kind::Renewed,
        LockEventKind::Released => Kind::Released,
        LockEventKind::Expired => Kind::Expired,
        LockEventKind::TakenOver => Kind::TakenOver,
        LockEventKind::ForceReleased => Kind::ForceReleased,
        LockEventKind::Purged => Kind::Purged,
    }
}
