//! The rules: what a command does to a resource's row, at one reading of the
//! clock, while nobody else can touch the row.
//!
//! ```text
//!            acquire                     time passes
//!   free ───────────────▶ held (live) ──────────────▶ stale
//!    ▲                     │  ▲   ▲                    │ │
//!    │ release, purge      │  └───┘ renew, re-entry    │ │ acquire: by anyone,
//!    ├─────────────────────┘                           │ │ with a new token
//!    └─────────────────────────────────────────────────┘ └──▶ held (live)
//! ```
//!
//! Who waits in line for the resource is not known here. Before the rules are
//! asked about an acquire or a hand-on, what has run out or is free is handed to
//! the first in line ([`Row::handed_to`]); and where they say that a resource is
//! free from now on, it is handed on instead.
//!
//! SQLite runs exactly this code between reading the row and writing it, in
//! one write transaction. Postgres says the same in SQL, to do it in one round
//! trip; the conformance suite and a random walk against this model
//! (`tests/store`) hold the two together.

use super::{
    Acquire, Command, FencingToken, HandOn, Leave, Lock, Metadata, Outcome, OwnerId, Release,
    Renew, Resource, Span, There, Timestamp,
};

/// A resource's row. It may be held, stale or free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who holds it, or held it last.
    pub owner: OwnerId,
    /// The token of the last grant.
    pub token: FencingToken,
    /// When the last grant was made.
    pub acquired_at: Timestamp,
    /// When it was last extended.
    pub renewed_at: Timestamp,
    /// When the lease runs out; none when the resource is free.
    pub expires_at: Option<Timestamp>,
    /// The time to live as last granted.
    pub ttl: Span,
    /// How often the owner asked again while it held the lock.
    pub reentries: i64,
    /// What the owner says about its hold.
    pub metadata: Metadata,
    /// How many wait for the resource.
    pub waiters: u64,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// The row as it is from now on.
    Put(Row),
    /// The resource is free from now on, or goes to who waits for it.
    Free,
}

/// What comes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the caller is told.
    pub outcome: Outcome,
    /// What is written first.
    pub change: Change,
}

/// Decides on a command.
///
/// `row` is the resource's row, if there is one; `now` the clock as read while
/// the row is locked; `floor` the greatest token of any row that was ever
/// pruned, above which a new row starts.
pub fn decide(command: &Command, row: Option<Row>, now: Timestamp, floor: i64) -> Decision {
    match command {
        Command::Acquire(acquire) => decide_acquire(acquire, row, now, floor),
        Command::Renew(renew) => decide_renew(renew, row, now),
        Command::Release(release) => decide_release(release, row, now),
        Command::Leave(leave) => decide_leave(leave, row),
        Command::HandOn(hand_on) => decide_hand_on(hand_on, row, now),
    }
}

fn decide_acquire(acquire: &Acquire, row: Option<Row>, now: Timestamp, floor: i64) -> Decision {
    let resource = &acquire.resource;
    match row {
        Some(row) if row.is_live(now) && row.owner == acquire.owner => {
            let row = row.reentered(acquire, now);
            let outcome = Outcome::Granted { lock: row.lock(resource, now), reentrant: true };
            Decision { outcome, change: Change::Put(row) }
        }
        Some(row) if row.is_live(now) => {
            Decision::keep(Outcome::Conflict { holder: row.lock(resource, now) })
        }
        row => {
            let (last, waiters) =
                row.map_or((floor, 0), |row| (row.token.for_table(), row.waiters));
            let (owner, metadata) = (acquire.owner.clone(), acquire.metadata.clone());
            let row = Row::granted(last, owner, acquire.ttl, metadata, waiters, now);
            let outcome = Outcome::Granted { lock: row.lock(resource, now), reentrant: false };
            Decision { outcome, change: Change::Put(row) }
        }
    }
}

fn decide_renew(renew: &Renew, row: Option<Row>, now: Timestamp) -> Decision {
    let Some(row) = row else { return Decision::keep(Outcome::not_held(None)) };
    match row.expires_at {
        Some(expires_at) if row.owner == renew.owner && row.token == renew.token => {
            if expires_at <= now {
                return Decision::keep(Outcome::Expired { expired_at: expires_at });
            }
            let ttl = renew.ttl.unwrap_or(row.ttl);
            let row = Row { renewed_at: now, expires_at: Some(now.plus(ttl)), ttl, ..row };
            let outcome = Outcome::Renewed(row.lock(&renew.resource, now));
            Decision { outcome, change: Change::Put(row) }
        }
        _ => Decision::keep(Outcome::not_held(row.other_holder(&renew.owner, now))),
    }
}

fn decide_release(release: &Release, row: Option<Row>, now: Timestamp) -> Decision {
    let free = Decision::keep(Outcome::Released { ended: false });
    let Some(row) = row else { return free };
    if row.expires_at.is_none() {
        return free;
    }
    let is_own = row.owner == release.owner && release.token.is_none_or(|token| row.token == token);
    match (is_own, row.is_live(now)) {
        (true, ended) => Decision { outcome: Outcome::Released { ended }, change: Change::Free },
        (false, false) => free,
        (false, true) => Decision::keep(Outcome::not_held(row.other_holder(&release.owner, now))),
    }
}

/// What was granted and nobody was there to take ends, unless its owner has been
/// heard of since. The place in line is the store's.
fn decide_leave(leave: &Leave, row: Option<Row>) -> Decision {
    let is_untaken = row.is_some_and(|row| match leave.there {
        There::NobodyFor(token) => row.is_untaken(&leave.owner, token),
        There::Caller | There::Nobody => false,
    });
    let change = if is_untaken { Change::Free } else { Change::Keep };
    Decision { outcome: Outcome::Left { granted: None }, change }
}

fn decide_hand_on(hand_on: &HandOn, row: Option<Row>, now: Timestamp) -> Decision {
    let held = row.filter(|row| row.expires_at.is_some());
    let lock = held.map(|row| row.lock(&hand_on.resource, now));
    Decision::keep(Outcome::HandedOn { lock })
}

// === impl Decision ===

impl Decision {
    fn keep(outcome: Outcome) -> Self {
        Self { outcome, change: Change::Keep }
    }
}

// === impl Row ===

impl Row {
    /// The row once it is granted, after the last token that it may have had.
    fn granted(
        last: i64,
        owner: OwnerId,
        ttl: Span,
        metadata: Metadata,
        waiters: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            owner,
            token: FencingToken::stored((last + 1).max(now.micros())),
            acquired_at: now,
            renewed_at: now,
            expires_at: Some(now.plus(ttl)),
            ttl,
            reentries: 0,
            metadata,
            waiters,
        }
    }

    /// Whether its lease has not run out.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > now)
    }

    /// Whether it is held by this grant, and its owner has not been heard of since.
    pub fn is_untaken(&self, owner: &OwnerId, token: FencingToken) -> bool {
        self.expires_at.is_some()
            && self.owner == *owner
            && self.token == token
            && self.reentries == 0
            && self.renewed_at == self.acquired_at
    }

    /// Whether its lease has run out and nobody has freed it.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Who holds it, if that is somebody else.
    fn other_holder(&self, owner: &OwnerId, now: Timestamp) -> Option<OwnerId> {
        (self.is_live(now) && self.owner != *owner).then(|| self.owner.clone())
    }

    /// The row after its owner asked for it again.
    fn reentered(self, acquire: &Acquire, now: Timestamp) -> Self {
        let asked = Some(now.plus(acquire.ttl));
        let extended = asked > self.expires_at;
        Self {
            expires_at: if extended { asked } else { self.expires_at },
            renewed_at: if extended { now } else { self.renewed_at },
            ttl: if extended { acquire.ttl } else { self.ttl },
            reentries: self.reentries + 1,
            metadata: if acquire.metadata.is_empty() {
                self.metadata
            } else {
                acquire.metadata.clone()
            },
            ..self
        }
    }

    /// The row once it is granted to somebody who waited for it, and so many wait
    /// still. The lease counts from now.
    pub fn handed_to(
        &self,
        owner: OwnerId,
        ttl: Span,
        metadata: Metadata,
        waiters: u64,
        now: Timestamp,
    ) -> Self {
        Self::granted(self.token.for_table(), owner, ttl, metadata, waiters, now)
    }

    /// The lock that it is, where it is held or stale.
    pub fn lock(&self, resource: &Resource, now: Timestamp) -> Lock {
        Lock {
            resource: resource.clone(),
            owner: self.owner.clone(),
            token: self.token,
            acquired_at: self.acquired_at,
            renewed_at: self.renewed_at,
            expires_at: self.expires_at.unwrap_or_default(),
            ttl: self.ttl,
            metadata: self.metadata.clone(),
            now,
            waiters: self.waiters,
        }
    }
}
