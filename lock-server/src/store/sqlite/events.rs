//! The audit trail, and breaking a hold, which is never done without it.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params, types::Value};

use super::{
    SqliteStore, StoreError,
    rows::NOW,
    turn::{Turn, begin, clock},
};
use crate::domain::{
    Command, Event, EventFilter, EventKind, EventPage, FencingToken, ForceRelease, Forced,
    ForcedBy, Lock, LockEventKind, OwnerId, Purge, Resource, Span, Timestamp,
};

const NOTE: &str = "
    INSERT INTO lock_events (event_time, kind, resource_type, resource_id, owner_id,
                             fencing_token, actor, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const ADD: &str = "UPDATE lock_events SET count = count + ?2 WHERE event_id = ?1";

const FORCED: &str = "
    SELECT actor, reason FROM lock_events
    WHERE kind = 'FORCE_RELEASED' AND resource_type = ?1 AND resource_id = ?2
      AND fencing_token = ?3 AND owner_id = ?4";

const FORGET: &str = "
    DELETE FROM lock_events
    WHERE event_id IN (
        SELECT event_id FROM lock_events WHERE event_time < ?1 ORDER BY event_time LIMIT ?2)";

/// Whose a stale lock was.
pub(super) struct Stale {
    owner: OwnerId,
    token: FencingToken,
}

impl Stale {
    pub(super) fn of(row: &crate::domain::Row) -> Self {
        Self { owner: row.owner.clone(), token: row.token }
    }
}

/// Writes down that a stale lock was granted to somebody.
pub(super) fn note_taken_over(
    transaction: &Transaction<'_>,
    now: Timestamp,
    granted: &Lock,
    stale: &Stale,
) -> rusqlite::Result<()> {
    transaction.prepare_cached(NOTE)?.execute(params![
        now.micros(),
        EventKind::TakenOver.as_str(),
        granted.resource.kind().as_str(),
        granted.resource.id(),
        stale.owner.as_str(),
        stale.token.for_table(),
        granted.owner.as_str(),
        "",
    ])?;
    Ok(())
}

/// Writes down what a step of a purge has freed: the event of the run.
pub(super) fn note_purge(
    transaction: &Transaction<'_>,
    purge: &Purge,
    purged: u64,
) -> rusqlite::Result<Option<i64>> {
    let count = i64::try_from(purged).unwrap_or(i64::MAX);
    match purge.event {
        _ if purged == 0 => Ok(purge.event),
        Some(event) => {
            transaction.prepare_cached(ADD)?.execute((event, count))?;
            Ok(Some(event))
        }
        None => {
            let insert = format!(
                "INSERT INTO lock_events (event_time, kind, actor, reason, count)
                 VALUES ({NOW}, ?1, ?2, ?3, ?4)"
            );
            transaction.prepare_cached(&insert)?.execute(params![
                EventKind::Purged.as_str(),
                purge.actor.as_str(),
                purge.reason(),
                count,
            ])?;
            Ok(Some(transaction.last_insert_rowid()))
        }
    }
}

/// By whom and why the hold that a command needs was broken, if it was.
pub(super) fn forced(
    transaction: &Transaction<'_>,
    command: &Command,
) -> rusqlite::Result<Option<ForcedBy>> {
    let Some((owner, token)) = command.hold() else { return Ok(None) };
    let resource = command.resource();
    transaction
        .prepare_cached(FORCED)?
        .query_row(
            (resource.kind().as_str(), resource.id(), token.for_table(), owner.as_str()),
            |row| Ok(ForcedBy { actor: row.get(0)?, reason: row.get(1)? }),
        )
        .optional()
}

impl SqliteStore {
    pub(super) async fn break_hold(&self, asked: &ForceRelease) -> Result<Forced, StoreError> {
        let asked = asked.clone();
        self.writer.write(&self.here, move |turn| break_hold(turn, &asked)).await
    }

    pub(super) async fn read_events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, StoreError> {
        let (sql, values) = events(filter, before, size + 1);
        let read = move |db: &mut Connection| {
            db.prepare_cached(&sql)?
                .query_map(rusqlite::params_from_iter(values), event)?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(EventPage::cut(self.readers().run(read).await?, size as usize))
    }

    pub(super) async fn delete_events(
        &self,
        older_than: Span,
        most: u32,
    ) -> Result<u64, StoreError> {
        let forget = move |writer: &mut Connection| {
            let transaction = begin(writer)?;
            let (now, _) = clock(&transaction)?;
            let before = now.micros().saturating_sub(older_than.micros());
            let forgotten = transaction.prepare_cached(FORGET)?.execute((before, most))?;
            transaction.commit()?;
            Ok(forgotten as u64)
        };
        self.writer.run(forget).await
    }
}

/// Breaks a hold, if it is still that of the token, hands the resource on, and
/// writes down what became of it.
fn break_hold(turn: &mut Turn<'_>, asked: &ForceRelease) -> rusqlite::Result<Forced> {
    let resource = &asked.resource;
    let held = turn.table.read(resource)?.filter(|found| found.row.expires_at.is_some());
    let (forced, what) = match &held {
        Some(found) => {
            let lock = found.row.lock(resource, turn.now);
            if lock.token == asked.token {
                (Forced::Released(lock), EventKind::ForceReleased)
            } else {
                (Forced::MovedOn(lock), EventKind::ForceReleaseRefused)
            }
        }
        None => (Forced::Free, EventKind::ForceReleaseRefused),
    };
    turn.transaction.prepare_cached(NOTE)?.execute(params![
        turn.now.micros(),
        what.as_str(),
        resource.kind().as_str(),
        resource.id(),
        held.as_ref().map(|found| found.row.owner.as_str()),
        asked.token.for_trail(),
        asked.actor.as_str(),
        asked.reason.as_str(),
    ])?;
    if let (Forced::Released(_), Some(found)) = (&forced, &held) {
        turn.note_end(LockEventKind::ForceReleased, resource, &found.row)?;
        turn.end_hold(resource, found)?;
    }
    Ok(forced)
}

/// A page of events as a query that says only what is asked for, so that an
/// index can be used.
fn events(
    filter: &EventFilter,
    before: Option<(Timestamp, i64)>,
    size: u32,
) -> (String, Vec<Value>) {
    let mut sql = "SELECT event_id, event_time, kind, resource_type, resource_id, owner_id,
                          fencing_token, actor, reason, count
                   FROM lock_events WHERE true"
        .to_owned();
    let mut values = Vec::new();
    let mut and = |condition: &str, value: Vec<Value>| {
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND {condition}");
        values.extend(value);
    };
    if let Some(resource) = &filter.resource {
        let key = [resource.kind().as_str(), resource.id()];
        and("resource_type = ? AND resource_id = ?", key.map(|part| part.to_owned().into()).into());
    }
    if let Some(start) = filter.start {
        and("event_time >= ?", vec![start.micros().into()]);
    }
    if let Some(end) = filter.end {
        and("event_time < ?", vec![end.micros().into()]);
    }
    if let Some((moment, id)) = before {
        and("(event_time, event_id) < (?, ?)", vec![moment.micros().into(), id.into()]);
    }
    sql.push_str(" ORDER BY event_time DESC, event_id DESC LIMIT ?");
    values.push(i64::from(size).into());
    (sql, values)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let resource: (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    let count: i64 = row.get(9)?;
    Ok(Event {
        id: row.get(0)?,
        at: Timestamp::from_micros(row.get(1)?),
        kind: EventKind::stored(row.get_ref(2)?.as_str()?),
        resource: resource.0.zip(resource.1).map(|(kind, id)| Resource::stored(kind, id)),
        owner: row.get::<_, Option<_>>(5)?.map(OwnerId::stored),
        token: row.get::<_, Option<_>>(6)?.and_then(FencingToken::from_trail),
        actor: row.get(7)?,
        reason: row.get(8)?,
        count: count.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ResourceType, store::migrations};

    #[test]
    fn pages_use_the_indexes() {
        let db = Connection::open_in_memory().unwrap();
        for migration in migrations::sqlite().iter() {
            db.execute_batch(migration.sql.as_str()).unwrap();
        }
        let plan = |filter: EventFilter| {
            let (sql, values) = events(&filter, Some((Timestamp::from_micros(9), 9)), 100);
            let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = explain
                .query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3))
                .unwrap();
            lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        let all = plan(EventFilter::default());
        assert!(all.contains("USING INDEX lock_events_by_time"), "{all}");
        let resource = Resource::parse_id(ResourceType::parse("plan").unwrap(), "42").unwrap();
        let one = plan(EventFilter { resource: Some(resource), ..EventFilter::default() });
        assert!(one.contains("USING INDEX lock_events_by_resource"), "{one}");
        assert!(!one.contains("TEMP B-TREE") && !all.contains("TEMP B-TREE"), "{one}; {all}");
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {FORCED}")).unwrap();
        let forced: String = explain.query_one(("plan", "42", 1, "me"), |row| row.get(3)).unwrap();
        assert!(forced.contains("USING INDEX lock_events_forced"), "{forced}");
    }
}
