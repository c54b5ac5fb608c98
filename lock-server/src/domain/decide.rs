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
//! SQLite runs exactly this code between reading the row and writing it, in
//! one write transaction. Postgres says the same in SQL, to do it in one round
//! trip; the conformance suite and a random walk against this model
//! (`tests/store`) hold the two together.

use super::{
    Acquire, Command, FencingToken, Lock, Metadata, Outcome, OwnerId, Release, Renew, Resource,
    Span, Timestamp,
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
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// The row as it is from now on.
    Put(Row),
    /// The resource is free from now on.
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
            let last = row.map_or(floor, |row| row.token.for_table());
            let row = Row {
                owner: acquire.owner.clone(),
                token: FencingToken::stored((last + 1).max(now.micros())),
                acquired_at: now,
                renewed_at: now,
                expires_at: Some(now.plus(acquire.ttl)),
                ttl: acquire.ttl,
                reentries: 0,
                metadata: acquire.metadata.clone(),
            };
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

// === impl Decision ===

impl Decision {
    fn keep(outcome: Outcome) -> Self {
        Self { outcome, change: Change::Keep }
    }
}

// === impl Row ===

impl Row {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > now)
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

    fn lock(&self, resource: &Resource, now: Timestamp) -> Lock {
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
        }
    }
}
