//! Those who wait at this process or did at an earlier one, beside the commands
//! that are about them: that it is there, what is to be done, who waits for whom.

use std::sync::LazyLock;

use rusqlite::{Connection, Row};

use super::{SqliteStore, StoreError, rows::NOW, turn::Turn};
use crate::{
    domain::{Command, FencingToken, Leave, OwnerId, Resource, Span, There, WaitsFor},
    store::{LOOK_AHEAD, Look},
};

/// The most resources that one look tells as due.
const MOST_DUE: u32 = 1_000;

/// Longer than anything is known for.
const FOR_EVER: Span = Span::from_micros(i64::MAX);

const SETTLED: &str = "
    SELECT resource_type, resource_id, owner_id FROM lock_waiters
    WHERE server = ?1 AND (granted_token IS NOT NULL OR cancelled)";

/// And in how long.
static DUE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT resource_type, resource_id, max(coalesce(expires_at, 0) - {NOW}, 0)
         FROM locks INDEXED BY locks_waited_for
         WHERE waiters > 0 AND (expires_at IS NULL OR expires_at <= {NOW} + ?1)
         LIMIT ?2"
    )
});

const HAS_PLACE: &str = "
    SELECT EXISTS (
        SELECT 1 FROM lock_waiters
        WHERE resource_type = ?1 AND resource_id = ?2 AND owner_id = ?3 AND server = ?4)";

/// From those who hold what is waited for, which are few, to what they wait for:
/// SQLite goes through a CROSS JOIN from left to right.
static WAITS_FOR: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT q.resource_type, q.resource_id, q.owner_id, l.owner_id, q.place
         FROM (SELECT DISTINCT owner_id FROM locks INDEXED BY locks_waited_for
               WHERE waiters > 0 AND expires_at > {NOW}) h
         CROSS JOIN lock_waiters q
             ON q.owner_id = h.owner_id AND q.granted_token IS NULL AND NOT q.cancelled
         CROSS JOIN locks l
             ON l.resource_type = q.resource_type AND l.resource_id = q.resource_id
             AND l.expires_at > {NOW}"
    )
});

const GONE: &str = "SELECT server FROM lock_servers WHERE alive_until <= ?1 AND server <> ?2";

const LEFT_BEHIND: &str = "
    SELECT DISTINCT resource_type, resource_id FROM lock_waiters
    WHERE server = ?1
    ORDER BY resource_type, resource_id
    LIMIT ?2";

const PLACES: &str = "
    SELECT place, owner_id, granted_token, cancelled FROM lock_waiters
    WHERE resource_type = ?1 AND resource_id = ?2 AND server = ?3";

const FORGET: &str = "
    DELETE FROM lock_servers
    WHERE server = ?1 AND NOT EXISTS (SELECT 1 FROM lock_waiters q WHERE q.server = ?1)";

impl SqliteStore {
    pub(super) async fn keep_places(&self) -> Result<(), StoreError> {
        self.writer.write(&self.here, |turn| turn.say_alive(FOR_EVER)).await
    }

    pub(super) async fn read_look(&self) -> Result<Look, StoreError> {
        let here = self.here.server.clone();
        let read = move |db: &mut Connection| {
            let settled = db
                .prepare_cached(SETTLED)?
                .query_map([here], |row| Ok((resource(row)?, OwnerId::stored(row.get(2)?))))?
                .collect::<Result<_, _>>()?;
            let due = db
                .prepare_cached(&DUE)?
                .query_map((LOOK_AHEAD.micros(), MOST_DUE), |row| {
                    Ok((resource(row)?, Span::from_micros(row.get(2)?)))
                })?
                .collect::<Result<_, _>>()?;
            Ok(Look { settled, due })
        };
        self.readers().run(read).await
    }

    pub(super) async fn read_without_place(
        &self,
        waiters: &[(Resource, OwnerId)],
    ) -> Result<Vec<usize>, StoreError> {
        let (here, waiters) = (self.here.server.clone(), waiters.to_vec());
        let read = move |db: &mut Connection| {
            let mut has_place = db.prepare_cached(HAS_PLACE)?;
            let mut without = Vec::new();
            for (position, (resource, owner)) in waiters.iter().enumerate() {
                let key = (resource.kind().as_str(), resource.id(), owner.as_str(), &here);
                if !has_place.query_one(key, |row| row.get::<_, bool>(0))? {
                    without.push(position);
                }
            }
            Ok(without)
        };
        self.readers().run(read).await
    }

    pub(super) async fn read_waits_for(&self) -> Result<Vec<WaitsFor>, StoreError> {
        let wait = |row: &Row<'_>| {
            Ok(WaitsFor {
                resource: resource(row)?,
                owner: OwnerId::stored(row.get(2)?),
                holder: OwnerId::stored(row.get(3)?),
                place: row.get(4)?,
            })
        };
        let read = move |db: &mut Connection| {
            db.prepare_cached(&WAITS_FOR)?.query_map((), wait)?.collect::<Result<_, _>>()
        };
        self.readers().run(read).await
    }

    /// Those of earlier processes: this one is here.
    pub(super) async fn drop_gone(&self, most: u32) -> Result<u64, StoreError> {
        self.writer.write(&self.here, move |turn| turn.drop_gone(most)).await
    }
}

impl Turn<'_> {
    fn drop_gone(&mut self, most: u32) -> rusqlite::Result<u64> {
        let transaction = self.transaction;
        let gone: Vec<String> = transaction
            .prepare_cached(GONE)?
            .query_map((self.now.micros(), &self.here.server), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut done = 0;
        for server in gone {
            let left: Vec<Resource> = transaction
                .prepare_cached(LEFT_BEHIND)?
                .query_map((&server, most - done), resource)?
                .collect::<Result<_, _>>()?;
            for resource in &left {
                self.drop_places(resource, &server)?;
            }
            done += left.len() as u32;
            if done == most {
                break;
            }
            transaction.prepare_cached(FORGET)?.execute([server])?;
        }
        Ok(done.into())
    }

    /// Drops the places of a server that is gone, and hands on what was granted
    /// to one of them and not taken, unless its owner has been heard of since.
    fn drop_places(&mut self, resource: &Resource, server: &str) -> rusqlite::Result<()> {
        let key = (resource.kind().as_str(), resource.id(), server);
        let place = |row: &Row<'_>| {
            let owner = OwnerId::stored(row.get(1)?);
            let token = row.get::<_, Option<i64>>(2)?.map(FencingToken::stored);
            Ok((row.get::<_, i64>(0)?, owner, token, row.get::<_, bool>(3)?))
        };
        let places = self
            .transaction
            .prepare_cached(PLACES)?
            .query_map(key, place)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let (mut dropped, mut untaken) = (0, Vec::new());
        for (place, owner, token, cancelled) in places {
            if let Some(token) = token {
                let there = There::NobodyFor(token);
                untaken.push(Leave { resource: resource.clone(), owner, there });
                continue;
            }
            self.go(place)?;
            dropped += u64::from(!cancelled);
        }
        if let Some(found) = self.table.read(resource)? {
            self.table.set_waiters(found.at, found.row.waiters.saturating_sub(dropped))?;
        }
        for leave in untaken {
            self.carry_out(&Command::Leave(leave))?;
        }
        Ok(())
    }
}

/// The resource in the first two columns.
fn resource(row: &Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource::stored(row.get(0)?, row.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        migrations,
        sqlite::line::{FIRST, HOLDS_WHAT_IS_WAITED_FOR, PLACE, PLACES_OF},
    };

    /// Each statement is run again and again while many wait, or for each of
    /// them.
    #[test]
    fn those_who_wait_are_found_by_indexes() {
        let db = Connection::open_in_memory().unwrap();
        for migration in migrations::sqlite().iter() {
            db.execute_batch(migration.sql.as_str()).unwrap();
        }
        let plan = |sql: &str| {
            let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = explain.raw_query();
            let lines = lines.mapped(|row| row.get::<_, String>(3));
            lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        for (sql, indexes) in [
            (PLACE, &["SEARCH lock_waiters USING INDEX sqlite_autoindex_lock_waiters_1"][..]),
            (FIRST, &["SEARCH q USING INDEX lock_waiters_in_line (resource_type=? AND"]),
            (HOLDS_WHAT_IS_WAITED_FOR, &["SEARCH l USING INDEX locks_waited_for (owner_id=?)"]),
            (PLACES_OF, &["SEARCH lock_waiters USING INDEX lock_waiters_by_owner"]),
            (SETTLED, &["SEARCH lock_waiters USING INDEX lock_waiters_settled (server=?)"]),
            (&DUE, &["SCAN locks USING INDEX locks_waited_for"]),
            (HAS_PLACE, &["SEARCH lock_waiters USING INDEX sqlite_autoindex_lock_waiters_1"]),
            (
                &WAITS_FOR,
                &[
                    "SCAN locks USING INDEX locks_waited_for",
                    "SEARCH q USING INDEX lock_waiters_by_owner (owner_id=?)",
                    "SEARCH l USING INDEX sqlite_autoindex_locks_1 (resource_type=?",
                ],
            ),
        ] {
            let plan = plan(sql);
            for index in indexes {
                assert!(plan.contains(index), "{index}: {plan}");
            }
            assert!(!plan.contains("ORDER BY"), "{plan}");
        }
    }
}
