//! What a watch that has just begun has been told by its snapshot.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::domain::{FencingToken, LockEvent, LockEventKind, Resource, Seen, Timestamp};

/// For how long it is remembered which page has read what. That a lease has run out
/// may be told later than anything else.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Tells apart what has happened before the snapshot, or is part of it.
#[derive(Debug)]
pub(super) struct Young {
    renewals: bool,
    /// Ordered by resource, without gaps.
    pages: Vec<Page>,
    /// What a look up to this one finds may have been seen by a page.
    last_look: u64,
    complete_at: Option<Instant>,
    /// What ran out before was told before.
    expired_before: Timestamp,
    /// The first page's reading of the clock.
    began: Timestamp,
    /// Holds that were told after the snapshot and had run out before: it had not
    /// seen them.
    late: HashSet<(Resource, FencingToken)>,
}

/// What is known of one page.
#[derive(Debug)]
struct Page {
    /// Its last resource; none on the last page.
    last: Option<Resource>,
    seen: Seen,
    now: Timestamp,
}

impl Young {
    pub(super) fn new(renewals: bool) -> Self {
        Self {
            renewals,
            pages: Vec::new(),
            last_look: 0,
            complete_at: None,
            expired_before: Timestamp::default(),
            began: Timestamp::default(),
            late: HashSet::new(),
        }
    }

    /// It begins: leases that ran out before this were told before.
    pub(super) fn begin(&mut self, expired_before: Timestamp) {
        self.expired_before = expired_before;
    }

    /// A page has been read, up to its last resource; none on the last page.
    pub(super) fn has_read(&mut self, last: Option<Resource>, seen: Seen, now: Timestamp) {
        if self.pages.is_empty() {
            self.began = now;
        }
        self.pages.push(Page { last, seen, now });
    }

    /// All pages have been read; by now there have been so many looks for what
    /// happened. What the next one does not see, no page has seen either.
    pub(super) fn is_complete(&mut self, looks: u64) {
        self.last_look = looks + 1;
        self.complete_at = Some(Instant::now());
    }

    /// Whether nothing needs to be told apart any more.
    pub(super) fn is_over(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether an event is told that this look has found.
    pub(super) fn is_told(&mut self, look: u64, event: &LockEvent) -> bool {
        let LockEvent { kind, lock, transaction } = event;
        let is_old = |at: Instant| at.elapsed() > REMEMBERED;
        if look > self.last_look && self.complete_at.is_some_and(is_old) {
            self.pages = Vec::new();
        }
        let page = self.page(&lock.resource);
        if look <= self.last_look && page.is_some_and(|page| page.seen.has_seen(*transaction)) {
            return false;
        }
        let now = page.map_or(self.began, |page| page.now);
        let had_run_out = lock.expires_at <= now && lock.expires_at > self.expired_before;
        match kind {
            LockEventKind::Expired if had_run_out => {
                self.late.remove(&(lock.resource.clone(), lock.token))
            }
            kind => {
                if had_run_out && kind.is_lease() {
                    self.late.insert((lock.resource.clone(), lock.token));
                }
                self.renewals || !event.is_renewal()
            }
        }
    }

    fn page(&self, resource: &Resource) -> Option<&Page> {
        let is_before = |page: &Page| page.last.as_ref().is_some_and(|last| last < resource);
        self.pages.get(self.pages.partition_point(is_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Lock, Metadata, OwnerId, ResourceType, Span};

    fn resource(id: &str) -> Resource {
        Resource::parse_id(ResourceType::parse("plan").unwrap(), id).unwrap()
    }

    fn event(kind: LockEventKind, id: &str, expires_at: i64, transaction: u64) -> LockEvent {
        let moment = Timestamp::from_micros;
        let lock = Lock {
            resource: resource(id),
            owner: OwnerId::parse("me").unwrap(),
            token: FencingToken::new(7).unwrap(),
            acquired_at: moment(0),
            renewed_at: moment(0),
            expires_at: moment(expires_at),
            ttl: Span::from_micros(1),
            metadata: Metadata::default(),
            now: moment(0),
            waiters: 0,
        };
        LockEvent { kind, lock, transaction }
    }

    /// Two pages: up to `m` as of 100, where 10 was under way, and the rest as of
    /// 200. Looks up to the 6th may find what they have seen.
    fn young(renewals: bool) -> Young {
        let mut young = Young::new(renewals);
        young.begin(Timestamp::from_micros(80));
        let seen = |text| Seen::parse(text).unwrap();
        young.has_read(Some(resource("m")), seen("10:15:10"), Timestamp::from_micros(100));
        young.has_read(None, seen("20:20:"), Timestamp::from_micros(200));
        young.is_complete(5);
        young
    }

    #[test]
    fn what_the_page_of_the_resource_has_seen_is_not_told() {
        let mut young = young(false);
        for (id, transaction, told) in
            [("a", 14, false), ("a", 10, true), ("m", 15, true), ("n", 19, false), ("n", 20, true)]
        {
            let event = event(LockEventKind::Acquired, id, 1_000, transaction);
            assert_eq!(young.is_told(6, &event), told, "{id}, {transaction}");
            assert!(young.is_told(7, &event), "what was found later no page has seen");
        }
    }

    #[test]
    fn what_had_run_out_as_a_page_was_read_is_not_told() {
        let mut young = young(false);
        // At 80, somebody has made it look like that by hand.
        for (id, expires_at, told) in [
            ("a", 80, true),
            ("a", 81, false),
            ("a", 100, false),
            ("a", 101, true),
            ("n", 150, false),
        ] {
            let event = event(LockEventKind::Expired, id, expires_at, 30);
            assert_eq!(young.is_told(9, &event), told, "{id}, {expires_at}");
        }
    }

    #[test]
    fn a_hold_that_no_page_has_seen_is_told_to_its_end() {
        let mut young = young(false);
        assert!(young.is_told(6, &event(LockEventKind::Acquired, "a", 90, 15)));
        assert!(young.is_told(6, &event(LockEventKind::Expired, "a", 90, 16)));
        assert!(!young.is_told(6, &event(LockEventKind::Renewed, "b", 90, 15)));
        assert!(young.is_told(6, &event(LockEventKind::Expired, "b", 90, 16)));
        assert!(!young.is_told(6, &event(LockEventKind::Expired, "b", 90, 17)), "once");
    }

    #[test]
    fn renewals_are_told_to_who_wants_them() {
        let renewal = event(LockEventKind::Renewed, "a", 1_000, 30);
        assert!(young(true).is_told(9, &renewal));
        assert!(!young(false).is_told(9, &renewal));
    }

    #[test]
    fn pages_are_not_remembered_for_ever() {
        let mut young = young(false);
        young.complete_at = Instant::now().checked_sub(REMEMBERED * 2);
        assert!(young.complete_at.is_some(), "the machine has just started");
        assert!(
            !young.is_told(6, &event(LockEventKind::Acquired, "a", 1_000, 14)),
            "it looks late"
        );
        assert!(!young.is_over());
        assert!(young.is_told(7, &event(LockEventKind::Acquired, "a", 1_000, 14)));
        assert!(young.is_over());
        assert!(!young.is_told(8, &event(LockEventKind::Expired, "n", 100, 14)));
        assert!(young.is_told(8, &event(LockEventKind::Expired, "n", 101, 14)));
    }
}
