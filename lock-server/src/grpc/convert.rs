//! Values as messages.

use std::time::Duration;

use proto::lock::v1 as wire;

use crate::domain::{Event, EventKind, FencingToken, Lock, Resource, Span, Timestamp};

/// A lock.
pub(super) fn lock(lock: Lock) -> wire::Lock {
    let state = if lock.is_live() { wire::LockState::Held } else { wire::LockState::Stale };
    wire::Lock {
        resource: Some(resource(&lock.resource)),
        fencing_token: lock.token.get(),
        acquire_time: Some(timestamp(lock.acquired_at)),
        renew_time: Some(timestamp(lock.renewed_at)),
        expire_time: Some(timestamp(lock.expires_at)),
        remaining: Some(span(lock.remaining())),
        ttl: Some(span(lock.ttl)),
        metadata: lock.metadata.entries().clone().into_iter().collect(),
        state: state.into(),
        queue_length: lock.waiters,
        owner_id: lock.owner.as_str().to_owned(),
    }
}

/// A resource.
pub(super) fn resource(resource: &Resource) -> wire::Resource {
    wire::Resource::new(resource.kind().as_str(), resource.id())
}

/// An event of the audit trail.
pub(super) fn event(event: Event) -> wire::AuditEvent {
    use wire::AuditEventKind as Kind;
    let kind = match event.kind {
        None => Kind::Unspecified,
        Some(EventKind::TakenOver) => Kind::TakenOver,
        Some(EventKind::ForceReleased) => Kind::ForceReleased,
        Some(EventKind::ForceReleaseRefused) => Kind::ForceReleaseRefused,
        Some(EventKind::Purged) => Kind::Purged,
    };
    wire::AuditEvent {
        event_id: event.id.unsigned_abs(),
        event_time: Some(timestamp(event.at)),
        kind: kind.into(),
        resource: event.resource.as_ref().map(resource),
        owner_id: event.owner.map_or_else(String::new, |owner| owner.as_str().to_owned()),
        fencing_token: event.token.map_or(0, FencingToken::get),
        actor: event.actor,
        reason: event.reason,
        count: event.count,
    }
}

/// A moment.
pub(super) fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let micros = moment.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        // Below a thousand million, whatever the moment.
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
    }
}

fn span(span: Span) -> prost_types::Duration {
    // A span is shorter than what the message can hold.
    prost_types::Duration::try_from(Duration::from(span)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_rfc_3339() {
        let shown = |micros| timestamp(Timestamp::from_micros(micros)).to_string();
        assert_eq!(shown(1_795_226_400_000_001), "2026-11-21T02:00:00.000001Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
    }
}
