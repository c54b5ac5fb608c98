//! The audit trail, and breaking a hold, which is never done without it.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use super::{
    For, PostgresStore, StoreError,
    epoch::Timeline,
    rows::{self, LOCK_COLUMNS},
};
use crate::domain::{
    Command, Event, EventFilter, EventKind, EventPage, FencingToken, ForceRelease, Forced,
    ForcedBy, Outcome, OwnerId, Resource, Span, Timestamp,
};

/// Breaks a hold, if it is still that of the token, and writes down what became
/// of it.
fn force_release_sql(timeline: Timeline) -> String {
    format!(
        "SELECT {LOCK_COLUMNS}, f.moment, f.broken
         FROM lock_force_release($1, $2, $3, $4, $5, $6, {timeline}) AS f
         CROSS JOIN LATERAL (SELECT (f.l).*) AS l
         WHERE f.broken IS NOT NULL",
        timeline = timeline.is_known(),
    )
}

/// A page of events.
const EVENTS: &str = "
    SELECT e.event_id, e.event_time, e.kind, e.resource_type, e.resource_id, e.owner_id,
           e.fencing_token, e.actor, e.reason, e.count
    FROM lock_events e
    WHERE ($1::text IS NULL OR (e.resource_type = $1 AND e.resource_id = $2))
      AND ($3::timestamptz IS NULL OR e.event_time >= $3)
      AND ($4::timestamptz IS NULL OR e.event_time < $4)
      AND ($5::timestamptz IS NULL OR (e.event_time, e.event_id) < ($5, $6))
    ORDER BY e.event_time DESC, e.event_id DESC
    LIMIT $7";

const FORGET: &str = "
    WITH forgotten AS (
        DELETE FROM lock_events
        WHERE event_id IN (
            SELECT event_id FROM lock_events
            WHERE event_time < (SELECT clock_timestamp()) - $1 * interval '1 microsecond'
            ORDER BY event_time
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        )
        RETURNING 1
    )
    SELECT count(*) AS forgotten FROM forgotten";

/// By whom and why these very holds were broken, where they were. One look-up
/// for each in an index that has nothing else, however long the trail is.
const FORCED: &str = "
    SELECT i.place, e.actor, e.reason
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[])
        AS i (place, resource_type, resource_id, owner_id, fencing_token)
    CROSS JOIN LATERAL (
        SELECT e.actor, e.reason
        FROM lock_events e
        WHERE e.kind = 'FORCE_RELEASED' AND e.resource_type = i.resource_type
          AND e.resource_id = i.resource_id AND e.fencing_token = i.fencing_token
          AND e.owner_id = i.owner_id
        LIMIT 1
    ) e";

impl PostgresStore {
    pub(super) async fn break_hold(&self, asked: &ForceRelease) -> Result<Forced, StoreError> {
        let sql = force_release_sql(self.timeline);
        let query = || {
            sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(asked.resource.kind().as_str())
                .bind(asked.resource.id())
                .bind(asked.token.for_table())
                .bind(asked.token.for_trail())
                .bind(asked.actor.as_str())
                .bind(asked.reason.as_str())
        };
        let rows = match self.run(query()).await {
            // It hands on, and does so only in an epoch that is the database's.
            Err(error) if error.is_of_another_epoch() => {
                self.check_epoch().await?;
                self.run(query()).await?
            }
            rows => rows?,
        };
        let Some(row) = rows.first() else { return Ok(Forced::Free) };
        let lock = rows::lock(row)?;
        let broken = row.try_get(rows::BEYOND)?;
        Ok(if broken { Forced::Released(lock) } else { Forced::MovedOn(lock) })
    }

    pub(super) async fn read_events(
        &self,
        filter: &EventFilter,
        before: Option<(Timestamp, i64)>,
        size: u32,
    ) -> Result<EventPage, StoreError> {
        let resource = filter.resource.as_ref();
        let query = sqlx::query(EVENTS)
            .bind(resource.map(|resource| resource.kind().as_str()))
            .bind(resource.map(Resource::id))
            .bind(filter.start.map(rows::to_database))
            .bind(filter.end.map(rows::to_database))
            .bind(before.map(|(moment, _)| rows::to_database(moment)))
            .bind(before.map(|(_, id)| id))
            .bind(i64::from(size) + 1);
        let rows = self.run(query).await?;
        let events = rows.iter().map(event).collect::<Result<_, _>>()?;
        Ok(EventPage::cut(events, size as usize))
    }

    pub(super) async fn delete_events(
        &self,
        older_than: Span,
        most: u32,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query(FORGET).bind(rows::ago(older_than)).bind(i64::from(most));
        let found = self.run(query).await?;
        let forgotten: i64 = match found.first() {
            Some(row) => row.try_get("forgotten")?,
            None => 0,
        };
        Ok(forgotten.unsigned_abs())
    }

    /// Adds by whom and why a hold was broken, where that is why it is not held.
    pub(super) async fn tell_forced(
        &self,
        what: For,
        commands: &[Command],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), StoreError> {
        let lost = |(at, outcome): (usize, &Option<Outcome>)| match outcome {
            Some(Outcome::NotHeld { .. }) => {
                let (owner, token) = commands[at].hold()?;
                Some((at, commands[at].resource(), owner, token))
            }
            _ => None,
        };
        let lost: Vec<_> = outcomes.iter().enumerate().filter_map(lost).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(FORCED)
            .bind(lost.iter().map(|(at, ..)| rows::for_place(*at)).collect::<Vec<_>>())
            .bind(lost.iter().map(|(_, resource, ..)| resource.kind().as_str()).collect::<Vec<_>>())
            .bind(lost.iter().map(|(_, resource, ..)| resource.id()).collect::<Vec<_>>())
            .bind(lost.iter().map(|(.., owner, _)| owner.as_str()).collect::<Vec<_>>())
            .bind(lost.iter().map(|(.., token)| token.for_table()).collect::<Vec<_>>());
        let found = match self.run_for(what, query).await {
            Ok(found) => found,
            // What was decided stands, and only why is not told.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look up who broke a hold"
                );
                return Ok(());
            }
        };
        let told = found.iter().map(|row| {
            let by = ForcedBy { actor: row.try_get("actor")?, reason: row.try_get("reason")? };
            Ok((rows::place(row, 0)?, by))
        });
        for (place, by) in told.collect::<Result<HashMap<_, _>, sqlx::Error>>()? {
            if let Some(Outcome::NotHeld { forced, .. }) = &mut outcomes[place] {
                *forced = Some(Box::new(by));
            }
        }
        Ok(())
    }
}

fn event(row: &PgRow) -> Result<Event, sqlx::Error> {
    let kind: Option<String> = row.try_get("resource_type")?;
    let id: Option<String> = row.try_get("resource_id")?;
    let count: i64 = row.try_get("count")?;
    Ok(Event {
        id: row.try_get("event_id")?,
        at: rows::timestamp(row, "event_time")?,
        kind: EventKind::stored(row.try_get("kind")?),
        resource: kind.zip(id).map(|(kind, id)| Resource::stored(kind, id)),
        owner: row.try_get::<Option<_>, _>("owner_id")?.map(OwnerId::stored),
        token: row.try_get::<Option<_>, _>("fencing_token")?.and_then(FencingToken::from_trail),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        count: count.unsigned_abs(),
    })
}
