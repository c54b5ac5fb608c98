//! What the audit trail tells, in Rust's own types.

use std::fmt;

use prost_types::Timestamp;
use proto::lock::v1 as wire;

use crate::Resource;

/// One event of the audit trail: a stale lock that was taken over, a hold that
/// was broken or was not, or stale locks that were purged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Grows with every event of one database, but for gaps.
    pub event_id: u64,
    /// When it happened, by the database's clock. Shows as RFC 3339.
    pub event_time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// What it happened to; none for a purge.
    pub resource: Option<Resource>,
    /// Whose lock it was: of a takeover, the last owner's; of a refusal, the
    /// holder's then. None for a purge, and where the resource was free.
    pub owner_id: Option<String>,
    /// The token of that hold; of a refusal, the one that was asked for. None
    /// for a purge.
    pub fencing_token: Option<u64>,
    /// Who did it: of a takeover, the new owner; of a release by force and of a
    /// purge that was asked for, the network address that the call came from;
    /// `sweeper` for a server's own purges.
    pub actor: String,
    /// Why, where anything was said: by who released it by force; of a purge,
    /// which stale locks were meant.
    pub reason: Option<String>,
    /// How many locks it was about: 1 but for a purge.
    pub count: u64,
}

/// What an event of the audit trail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A stale lock was granted to somebody, its last owner included.
    TakenOver,
    /// A hold was broken by
    /// [`force_release`](crate::LockClient::force_release).
    ForceReleased,
    /// A release by force was refused: the token had moved on, or the resource
    /// was free.
    ForceReleaseRefused,
    /// Stale locks were freed: one event for each run that freed any.
    Purged,
    /// One that this client, or the server, is too old to know.
    Unknown,
}

/// Which events to list; what is set must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events of this resource.
    pub resource: Option<Resource>,
    /// Only events from this moment on, by the database's clock.
    pub start_time: Option<Timestamp>,
    /// Only events before this moment, by the database's clock.
    pub end_time: Option<Timestamp>,
}

/// A page of the audit trail, the newest event first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Asks for the next page; empty on the last one.
    pub next_page_token: String,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TakenOver => "taken over",
            Self::ForceReleased => "force-released",
            Self::ForceReleaseRefused => "force-release refused",
            Self::Purged => "purged",
            Self::Unknown => "unknown",
        })
    }
}

impl From<wire::AuditEventKind> for EventKind {
    fn from(kind: wire::AuditEventKind) -> Self {
        match kind {
            wire::AuditEventKind::TakenOver => Self::TakenOver,
            wire::AuditEventKind::ForceReleased => Self::ForceReleased,
            wire::AuditEventKind::ForceReleaseRefused => Self::ForceReleaseRefused,
            wire::AuditEventKind::Purged => Self::Purged,
            wire::AuditEventKind::Unspecified => Self::Unknown,
        }
    }
}

impl From<wire::AuditEvent> for Event {
    fn from(event: wire::AuditEvent) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            event_id: event.event_id,
            event_time: event.event_time.unwrap_or_default(),
            // A number that has no name here reads as unspecified.
            kind: event.kind().into(),
            resource: event.resource,
            owner_id: said(event.owner_id),
            fencing_token: Some(event.fencing_token).filter(|&token| token > 0),
            actor: event.actor,
            reason: said(event.reason),
            count: event.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_does_not_speak_of_is_none() {
        let purge = Event::from(wire::AuditEvent {
            kind: wire::AuditEventKind::Purged.into(),
            actor: "sweeper".to_owned(),
            count: 3,
            ..wire::AuditEvent::default()
        });
        assert_eq!((purge.kind, purge.count), (EventKind::Purged, 3));
        assert_eq!((purge.resource, purge.owner_id, purge.fencing_token), (None, None, None));
        assert_eq!(purge.reason, None);
    }

    #[test]
    fn what_an_event_speaks_of_is_there() {
        let event = Event::from(wire::AuditEvent {
            event_id: 5,
            event_time: Some(Timestamp { seconds: 1, nanos: 2 }),
            kind: wire::AuditEventKind::ForceReleased.into(),
            resource: Some(Resource::new("plan", "42")),
            owner_id: "me".to_owned(),
            fencing_token: 7,
            actor: "10.0.0.7".to_owned(),
            reason: "stuck".to_owned(),
            count: 1,
        });
        assert_eq!(event.event_id, 5);
        assert_eq!(event.event_time, Timestamp { seconds: 1, nanos: 2 });
        assert_eq!(
            (event.kind, event.resource),
            (EventKind::ForceReleased, Some(Resource::new("plan", "42")))
        );
        assert_eq!((event.owner_id.as_deref(), event.fencing_token), (Some("me"), Some(7)));
        assert_eq!((&*event.actor, event.reason.as_deref()), ("10.0.0.7", Some("stuck")));
    }

    #[test]
    fn each_kind_has_a_word_and_a_newer_one_is_unknown() {
        let words = [1, 2, 3, 4, 5, 0, -1].map(|kind| {
            let event = wire::AuditEvent { kind, ..wire::AuditEvent::default() };
            Event::from(event).kind.to_string()
        });
        let known = ["taken over", "force-released", "force-release refused", "purged"];
        assert_eq!(words[..4], known);
        assert_eq!(words[4..], ["unknown"; 3]);
    }
}
