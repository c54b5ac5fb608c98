//! The audit trail: what happened to locks beside the ordinary, and what an
//! operator asks for when a lock is to be broken.

use super::{FencingToken, OwnerId, Resource, StaleFilter, Timestamp, name::check_text};

/// The most bytes in a reason.
const MAX_REASON_BYTES: usize = 512;

/// Who did something that is written down: what is known of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

/// Why an operator does something: for the audit trail and for who is hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

/// Breaks exactly the hold that an operator saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForceRelease {
    /// What is held.
    pub resource: Resource,
    /// Under which token.
    pub token: FencingToken,
    /// Who breaks it.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
}

/// What came of a [`ForceRelease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forced {
    /// The hold is broken: the lock as it was.
    Released(super::Lock),
    /// The token has moved on: the lock as it is.
    MovedOn(super::Lock),
    /// Nobody holds it.
    Free,
}

/// By whom and why a hold was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedBy {
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A run that frees stale locks, step by step, and is one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Which ones.
    pub filter: StaleFilter,
    /// Who runs it.
    pub actor: Actor,
    /// The event, once a step has freed something.
    pub event: Option<i64>,
}

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A stale lock was granted.
    TakenOver,
    /// A hold was broken by an operator.
    ForceReleased,
    /// An operator wanted to break a hold that was not there any more.
    ForceReleaseRefused,
    /// Stale locks were freed.
    Purged,
}

/// One event of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Grows with every event.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened; none for what only a newer version knows.
    pub kind: Option<EventKind>,
    /// To what; none for a purge.
    pub resource: Option<Resource>,
    /// Whose lock it was; none for a purge and where nobody held it.
    pub owner: Option<OwnerId>,
    /// The token of that hold, or the one that was asked for; none for a purge.
    pub token: Option<FencingToken>,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// How many locks it was about.
    pub count: u64,
}

/// Which events to list. What is set must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only of this resource.
    pub resource: Option<Resource>,
    /// Only from this moment on.
    pub start: Option<Timestamp>,
    /// Only before this moment.
    pub end: Option<Timestamp>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The newest first.
    pub events: Vec<Event>,
    /// Before which moment and event to go on; none on the last page.
    pub next: Option<(Timestamp, i64)>,
}

// === impl Actor ===

impl Actor {
    /// A server's own sweeper.
    pub fn sweeper() -> Self {
        Self("sweeper".to_owned())
    }

    /// Whoever called from this network address; none where it is not known.
    pub fn at(address: Option<std::net::IpAddr>) -> Self {
        Self(address.map_or_else(|| "unknown".to_owned(), |address| address.to_string()))
    }

    /// What the trail calls it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Reason ===

impl Reason {
    /// Checks the text.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_text(text, 1, MAX_REASON_BYTES)?;
        Ok(Self(text.to_owned()))
    }

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Purge ===

impl Purge {
    /// A run that has not begun.
    pub fn new(filter: StaleFilter, actor: Actor) -> Self {
        Self { filter, actor, event: None }
    }

    /// What the trail gives as its reason: which locks were meant.
    pub fn reason(&self) -> String {
        let StaleFilter { kind, older_than } = &self.filter;
        let kind = kind.as_ref().map_or("any type", |kind| kind.as_str());
        format!("stale for {} ms or longer, of {kind}", older_than.millis_up())
    }
}

// === impl EventKind ===

impl EventKind {
    const ALL: [Self; 4] =
        [Self::TakenOver, Self::ForceReleased, Self::ForceReleaseRefused, Self::Purged];

    /// What the table calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TakenOver => "TAKEN_OVER",
            Self::ForceReleased => "FORCE_RELEASED",
            Self::ForceReleaseRefused => "FORCE_RELEASE_REFUSED",
            Self::Purged => "PURGED",
        }
    }

    /// What the table calls so; none for what a newer version wrote.
    pub(crate) fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

// === impl EventPage ===

impl EventPage {
    /// A page of at most `size` out of what was read with one more than that.
    pub fn cut(mut events: Vec<Event>, size: usize) -> Self {
        let more = events.len() > size;
        events.truncate(size);
        let next = events.last().filter(|_| more).map(|event| (event.at, event.id));
        Self { events, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ResourceType, Span};

    #[test]
    fn a_purge_says_which_locks_it_meant() {
        let reason = |kind: Option<&str>, older_than| {
            let kind = kind.map(|kind| ResourceType::parse(kind).unwrap());
            let older_than = Span::from_micros(older_than);
            Purge::new(StaleFilter { kind, older_than }, Actor::sweeper()).reason()
        };
        assert_eq!(reason(None, 600_000_000), "stale for 600000 ms or longer, of any type");
        assert_eq!(reason(Some("plan"), 0), "stale for 0 ms or longer, of plan");
    }

    #[test]
    fn a_reason_has_words() {
        assert!(Reason::parse("").unwrap_err().contains("is empty"));
        assert!(Reason::parse("a\nb").unwrap_err().contains("U+000A"));
        assert!(Reason::parse(&"x".repeat(513)).unwrap_err().contains("513 bytes"));
        assert_eq!(Reason::parse("stuck, see #7").unwrap().as_str(), "stuck, see #7");
    }

    #[test]
    fn each_kind_is_read_as_it_was_written() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::stored(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::stored("LATER"), None);
    }
}
