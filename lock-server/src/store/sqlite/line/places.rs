//! The rows of those who wait.

use rusqlite::{OptionalExtension as _, Row as Columns, params};

use crate::{
    domain::{Acquire, FencingToken, Metadata, OwnerId, Resource, Row, Span, Timestamp, Wait},
    store::sqlite::{rows, turn::Turn},
};

pub(in crate::store::sqlite) const PLACE: &str = "
    SELECT place, server, granted_token, cancelled FROM lock_waiters
    WHERE resource_type = ?1 AND resource_id = ?2 AND owner_id = ?3";

const SAY_ALIVE: &str = "
    INSERT INTO lock_servers (server, alive_until) VALUES (?1, ?2)
    ON CONFLICT (server) DO UPDATE SET alive_until = excluded.alive_until
        WHERE alive_until < ?3";

const COME: &str = "
    INSERT INTO lock_waiters (resource_type, resource_id, owner_id, arrived_at, waits_until, ttl,
                              metadata, server)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const STAY: &str = "
    UPDATE lock_waiters SET waits_until = max(waits_until, ?2), ttl = ?3, metadata = ?4, server = ?5
    WHERE place = ?1";

const GO: &str = "DELETE FROM lock_waiters WHERE place = ?1";

/// The first in line, and whether they are still there.
pub(in crate::store::sqlite) const FIRST: &str = "
    SELECT q.place, q.owner_id, q.ttl, q.metadata, q.server,
           q.waits_until > ?3 AND (q.server = ?4 OR EXISTS (
               SELECT 1 FROM lock_servers s WHERE s.server = q.server AND s.alive_until > ?3))
    FROM lock_waiters q
    WHERE q.resource_type = ?1 AND q.resource_id = ?2
      AND q.granted_token IS NULL AND NOT q.cancelled
    ORDER BY q.place
    LIMIT 1";

const NOT_TAKEN_YET: &str = "UPDATE lock_waiters SET granted_token = ?2 WHERE place = ?1";

pub(in crate::store::sqlite) const PLACES_OF: &str = "
    SELECT place, resource_type, resource_id, server, granted_token IS NULL FROM lock_waiters
    WHERE owner_id = ?1 AND NOT cancelled";

const CANCEL: &str = "
    UPDATE lock_waiters SET cancelled = 1, granted_token = NULL WHERE place = ?1";

pub(in crate::store::sqlite) const HOLDS_WHAT_IS_WAITED_FOR: &str = "
    SELECT EXISTS (
        SELECT 1 FROM locks l WHERE l.owner_id = ?1 AND l.waiters > 0 AND l.expires_at > ?2)";

const ONE_LESS: &str = "
    UPDATE locks SET waiters = max(waiters - 1, 0)
    WHERE resource_type = ?1 AND resource_id = ?2";

/// An owner's place in line.
pub(super) struct Place {
    pub(super) id: i64,
    pub(super) is_here: bool,
    pub(super) granted: Option<FencingToken>,
    pub(super) cancelled: bool,
}

/// The first in line.
pub(super) struct First {
    pub(super) place: i64,
    pub(super) owner: OwnerId,
    pub(super) ttl: Span,
    pub(super) metadata: Metadata,
    pub(super) server: String,
    pub(super) is_there: bool,
}

impl Turn<'_> {
    /// An owner's place in the line for a resource.
    pub(super) fn place(
        &self,
        resource: &Resource,
        owner: &OwnerId,
    ) -> rusqlite::Result<Option<Place>> {
        let key = (resource.kind().as_str(), resource.id(), owner.as_str());
        let place = |row: &Columns<'_>| {
            Ok(Place {
                id: row.get(0)?,
                is_here: row.get_ref(1)?.as_str()? == self.here.server,
                granted: row.get::<_, Option<_>>(2)?.map(FencingToken::stored),
                cancelled: row.get(3)?,
            })
        };
        self.transaction.prepare_cached(PLACE)?.query_row(key, place).optional()
    }

    /// Says that this process is there, unless that is known for so long.
    pub(in crate::store::sqlite) fn say_alive(&self, unless_for: Span) -> rusqlite::Result<()> {
        let until = self.now.plus(Span::from(self.here.alive_for())).micros();
        let known = self.now.plus(unless_for).micros();
        self.transaction.prepare_cached(SAY_ALIVE)?.execute((&self.here.server, until, known))?;
        Ok(())
    }

    /// A new place, at the end: which.
    pub(super) fn come(&self, acquire: &Acquire, wait: Wait) -> rusqlite::Result<i64> {
        self.transaction.prepare_cached(COME)?.execute(params![
            acquire.resource.kind().as_str(),
            acquire.resource.id(),
            acquire.owner.as_str(),
            self.now.micros(),
            self.now.plus(wait.time).micros(),
            acquire.ttl.micros(),
            rows::metadata_text(&acquire.metadata)?,
            self.here.server,
        ])?;
        Ok(self.transaction.last_insert_rowid())
    }

    /// An owner's place, with what it asks for by now, and here.
    pub(super) fn stay(&self, place: i64, acquire: &Acquire, wait: Wait) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(STAY)?.execute(params![
            place,
            self.now.plus(wait.time).micros(),
            acquire.ttl.micros(),
            rows::metadata_text(&acquire.metadata)?,
            self.here.server,
        ])?;
        Ok(())
    }

    /// A place is no more.
    pub(in crate::store::sqlite) fn go(&self, place: i64) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(GO)?.execute([place])?;
        Ok(())
    }

    /// The first in line, there or not.
    pub(super) fn first(&self, resource: &Resource) -> rusqlite::Result<Option<First>> {
        let first = |row: &Columns<'_>| {
            Ok(First {
                place: row.get(0)?,
                owner: OwnerId::stored(row.get(1)?),
                ttl: Span::from_micros(row.get(2)?),
                metadata: rows::metadata(row, 3)?,
                server: row.get(4)?,
                is_there: row.get(5)?,
            })
        };
        let (now, here) = (self.now.micros(), &self.here.server);
        self.transaction
            .prepare_cached(FIRST)?
            .query_row((resource.kind().as_str(), resource.id(), now, here), first)
            .optional()
    }

    /// Whether an owner holds what others wait for.
    pub(super) fn holds_what_is_waited_for(&self, owner: &OwnerId) -> rusqlite::Result<bool> {
        self.transaction
            .prepare_cached(HOLDS_WHAT_IS_WAITED_FOR)?
            .query_one((owner.as_str(), self.now.micros()), |row| row.get(0))
    }

    /// A place was granted, and its server has not taken it for the call yet.
    pub(super) fn leave_granted(&self, place: i64, token: FencingToken) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(NOT_TAKEN_YET)?.execute((place, token.for_table()))?;
        Ok(())
    }

    /// Takes an owner out of every line. The calls that wait here find out when
    /// they ask again.
    pub(in crate::store::sqlite) fn cancel(&mut self, owner: &OwnerId) -> rusqlite::Result<()> {
        let place = |row: &Columns<'_>| {
            let resource = Resource::stored(row.get(1)?, row.get(2)?);
            let is_here = row.get_ref(3)?.as_str()? == self.here.server;
            Ok((row.get::<_, i64>(0)?, resource, is_here, row.get::<_, bool>(4)?))
        };
        let places = self
            .transaction
            .prepare_cached(PLACES_OF)?
            .query_map([owner.as_str()], place)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (place, resource, is_here, waits) in places {
            if waits {
                let key = (resource.kind().as_str(), resource.id());
                self.transaction.prepare_cached(ONE_LESS)?.execute(key)?;
            }
            if is_here {
                self.transaction.prepare_cached(CANCEL)?.execute([place])?;
                self.tell_settled(resource, owner.clone());
            } else {
                self.go(place)?;
            }
        }
        Ok(())
    }
}

// === impl Place ===

impl Place {
    /// Whether its owner does not wait there any more.
    pub(super) fn is_settled(&self) -> bool {
        self.granted.is_some() || self.cancelled
    }

    /// Whether the row's live hold is that of the place's grant.
    pub(super) fn is_for(&self, row: &Row, owner: &OwnerId, now: Timestamp) -> bool {
        row.is_live(now) && row.owner == *owner && self.granted == Some(row.token)
    }
}
