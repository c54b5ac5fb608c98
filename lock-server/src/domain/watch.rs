//! What happens to locks, for those who watch: events, which locks are watched,
//! and what a snapshot has seen.

use super::{IdPrefix, Lock, Resource, ResourceType, Timestamp};

/// What happened to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockEventKind {
    /// A free resource was granted.
    Acquired,
    /// The lease was made longer or shorter.
    Renewed,
    /// Its owner gave it back.
    Released,
    /// Its lease ran out.
    Expired,
    /// A stale lock was granted.
    TakenOver,
    /// The hold was broken by an operator.
    ForceReleased,
    /// It was stale and has been freed.
    Purged,
}

/// One thing that happened to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEvent {
    /// What happened.
    pub kind: LockEventKind,
    /// The lock as it is after a grant or a renewal, as it was before anything
    /// that ended it.
    pub lock: Lock,
    /// The transaction in which it happened, by which a [`Seen`] tells whether
    /// it has seen it.
    pub transaction: u64,
}

/// Which transactions a look at the database has seen: those that had ended
/// before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// It has seen none from this one on.
    pub end: u64,
    /// Of those before, it has not seen these: they were under way.
    pub under_way: Vec<u64>,
}

/// Which locks are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchFilter {
    /// This resource.
    One(Resource),
    /// All of this type, or of every type, whose ids begin like this.
    Many {
        /// Only of this type.
        kind: Option<ResourceType>,
        /// Only ids that begin like this.
        id_prefix: IdPrefix,
    },
}

/// Live locks that are watched, as one look at the database found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchPage {
    /// Ordered by resource.
    pub locks: Vec<Lock>,
    /// After which resource to go on; none on the last page.
    pub next: Option<Resource>,
    /// What the look has seen.
    pub seen: Seen,
    /// The database's clock: what had run out by then is not among them.
    pub now: Timestamp,
}

// === impl LockEventKind ===

impl LockEventKind {
    const ALL: [Self; 7] = [
        Self::Acquired,
        Self::Renewed,
        Self::Released,
        Self::Expired,
        Self::TakenOver,
        Self::ForceReleased,
        Self::Purged,
    ];

    /// What the table calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "ACQUIRED",
            Self::Renewed => "RENEWED",
            Self::Released => "RELEASED",
            Self::Expired => "EXPIRED",
            Self::TakenOver => "TAKEN_OVER",
            Self::ForceReleased => "FORCE_RELEASED",
            Self::Purged => "PURGED",
        }
    }

    /// What the table calls so; none for what a newer version wrote.
    pub(crate) fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether there is a lease after it.
    pub fn is_lease(self) -> bool {
        matches!(self, Self::Acquired | Self::Renewed | Self::TakenOver)
    }
}

// === impl LockEvent ===

impl LockEvent {
    /// Whether it is told only to those who want to be told of renewals.
    pub fn is_renewal(&self) -> bool {
        self.kind == LockEventKind::Renewed
    }

    /// How much memory it takes, about.
    pub fn weight(&self) -> usize {
        let Lock { resource, owner, metadata, .. } = &self.lock;
        let entry = |(key, value): (&String, &String)| 64 + key.len() + value.len();
        let metadata: usize = metadata.entries().iter().map(entry).sum();
        let names = resource.kind().as_str().len() + resource.id().len() + owner.as_str().len();
        size_of::<Self>() + names + metadata
    }
}

// === impl Seen ===

impl Seen {
    /// Reads what Postgres writes: `xmin:xmax:xip,…`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a snapshot: {text}");
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let mut parts = text.split(':');
        let (Some(start), Some(end), Some(under_way), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        number(start)?;
        let under_way = under_way.split(',').filter(|text| !text.is_empty()).map(number);
        Ok(Self { end: number(end)?, under_way: under_way.collect::<Result<_, _>>()? })
    }

    /// Whether it has seen what this transaction did.
    pub fn has_seen(&self, transaction: u64) -> bool {
        transaction < self.end && !self.under_way.contains(&transaction)
    }
}

// === impl WatchFilter ===

impl WatchFilter {
    /// Whether a resource is watched.
    pub fn matches(&self, resource: &Resource) -> bool {
        match self {
            Self::One(one) => one == resource,
            Self::Many { kind, id_prefix } => {
                kind.as_ref().is_none_or(|kind| kind == resource.kind())
                    && resource.id().starts_with(id_prefix.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_seen_what_had_ended() {
        let seen = Seen::parse("10:20:10,14,15").unwrap();
        let unseen: Vec<u64> = (1..25).filter(|number| !seen.has_seen(*number)).collect();
        assert_eq!(unseen, [10, 14, 15, 20, 21, 22, 23, 24]);
        let seen = Seen::parse("20:20:").unwrap();
        assert!(seen.has_seen(19) && !seen.has_seen(20) && seen.under_way.is_empty());
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for text in ["", "1", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:c", "-1:2:", "1:2:3,x"] {
            assert!(Seen::parse(text).unwrap_err().contains("not a snapshot"), "{text}");
        }
    }

    #[test]
    fn filters_match_literally() {
        let resource = |kind: &str, id: &str| Resource::stored(kind.into(), id.into());
        let many = |kind: Option<&str>, prefix: &str| WatchFilter::Many {
            kind: kind.map(|kind| ResourceType::parse(kind).unwrap()),
            id_prefix: IdPrefix::parse(prefix).unwrap(),
        };
        assert!(WatchFilter::One(resource("plan", "4")).matches(&resource("plan", "4")));
        assert!(!WatchFilter::One(resource("plan", "4")).matches(&resource("plan", "42")));
        assert!(many(None, "").matches(&resource("plan", "4")));
        assert!(many(Some("plan"), "a%").matches(&resource("plan", "a%b")));
        assert!(!many(Some("plan"), "a%").matches(&resource("plan", "ab")));
        assert!(!many(Some("plan"), "").matches(&resource("project", "4")));
    }

    #[test]
    fn each_kind_is_read_as_it_was_written() {
        for kind in LockEventKind::ALL {
            assert_eq!(LockEventKind::stored(kind.as_str()), Some(kind));
        }
        assert_eq!(LockEventKind::stored("LATER"), None);
    }
}
