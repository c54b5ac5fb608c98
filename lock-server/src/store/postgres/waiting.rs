//! Those who wait at this server, beside the commands that are about them: that
//! it is there, what has become of them, and who waits for whom.

use std::sync::atomic::Ordering;

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{PostgresStore, StoreError, limits, rows};
use crate::{
    domain::{OwnerId, Resource, Span, WaitsFor},
    store::{LOOK_AHEAD, Look},
};

/// The most resources that one look tells as due.
const MOST_DUE: i64 = 10_000;

const SAY_ALIVE: &str = "
    INSERT INTO lock_servers (server, alive_until)
    VALUES ($1, clock_timestamp() + $2 * interval '1 microsecond')
    ON CONFLICT (server) DO UPDATE SET alive_until = excluded.alive_until";

/// Its places are kept from now on, for the grace.
const SAY_STOPPING: &str = "
    UPDATE lock_servers
    SET stopping = true, alive_until = clock_timestamp() + $2 * interval '1 microsecond'
    WHERE server = $1";

/// What was settled here, with its owner, and what is or will soon be due
/// anywhere, without. Both by indexes that have nothing else.
const LOOK: &str = "
    SELECT q.resource_type, q.resource_id, q.owner_id, 0::bigint
    FROM lock_waiters q
    WHERE (q.granted_token IS NOT NULL OR q.cancelled) AND $1 = ANY (q.servers)
    UNION ALL
    (SELECT l.resource_type, l.resource_id, NULL,
            coalesce(ceil(date_part('epoch', l.expires_at - c.now) * 1000000), 0)::bigint
     FROM locks l, (SELECT clock_timestamp() AS now OFFSET 0) c
     WHERE l.waiters > 0
       AND (l.expires_at IS NULL OR l.expires_at <= c.now + $3 * interval '1 microsecond')
     ORDER BY l.resource_type, l.resource_id
     LIMIT $2)";

const WITHOUT_PLACE: &str = "
    SELECT i.place
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[])
        AS i (place, resource_type, resource_id, owner_id)
    WHERE NOT EXISTS (
        SELECT FROM lock_waiters q
        WHERE q.resource_type = i.resource_type AND q.resource_id = i.resource_id
          AND q.owner_id = i.owner_id AND $5 = ANY (q.servers))";

/// From those who hold what is waited for, which are few, to what they wait for.
const WAITS_FOR: &str = "
    SELECT q.resource_type, q.resource_id, q.owner_id, l.owner_id AS holder, q.place
    FROM (
        SELECT DISTINCT h.owner_id FROM locks h
        WHERE h.waiters > 0 AND h.expires_at > (SELECT clock_timestamp())
    ) h
    JOIN lock_waiters q
        ON q.owner_id = h.owner_id AND q.granted_token IS NULL AND NOT q.cancelled
        AND q.waits_until > (SELECT clock_timestamp())
    JOIN locks l ON l.resource_type = q.resource_type AND l.resource_id = q.resource_id
        AND l.expires_at > (SELECT clock_timestamp())";

impl PostgresStore {
    pub(super) async fn keep_places(&self) -> Result<(), StoreError> {
        self.listen();
        self.run(sqlx::query(SAY_ALIVE).bind(self.id).bind(self.grace_micros())).await?;
        Ok(())
    }

    /// Tells the others that this server takes nothing for callers any more.
    pub(super) async fn say_stopping(&self) -> Result<(), StoreError> {
        self.run(sqlx::query(SAY_STOPPING).bind(self.id).bind(self.grace_micros())).await?;
        Ok(())
    }

    /// This server, as one that has the calls of its places; none once it has sent
    /// them away.
    pub(super) fn here(&self) -> Option<Uuid> {
        (!self.sent_away.load(Ordering::Relaxed)).then_some(self.id)
    }

    /// For how long this server's places are kept when it says nothing more: a
    /// little shorter than promised, so that with the time that it takes to
    /// notice, the promise holds.
    pub(super) fn grace_micros(&self) -> i64 {
        let grace = self.waiting.grace;
        let said = grace - (grace / 10).min(limits::MOMENT);
        i64::try_from(said.as_micros()).unwrap_or(i64::MAX)
    }

    pub(super) async fn read_look(&self) -> Result<Look, StoreError> {
        let mut look = Look::default();
        let query = sqlx::query(LOOK).bind(self.id).bind(MOST_DUE).bind(LOOK_AHEAD.micros());
        for row in self.run(query).await? {
            let resource = resource(&row)?;
            match row.try_get::<Option<String>, _>(2)? {
                Some(owner) => look.settled.push((resource, OwnerId::stored(owner))),
                None => look.due.push((resource, Span::from_micros(row.try_get(3)?))),
            }
        }
        Ok(look)
    }

    pub(super) async fn read_without_place(
        &self,
        waiters: &[(Resource, OwnerId)],
    ) -> Result<Vec<usize>, StoreError> {
        let column = |of: fn(&(Resource, OwnerId)) -> &str| waiters.iter().map(of).collect();
        let (kinds, ids, owners): (Vec<_>, Vec<_>, Vec<_>) = (
            column(|(resource, _)| resource.kind().as_str()),
            column(|(resource, _)| resource.id()),
            column(|(_, owner)| owner.as_str()),
        );
        let query = sqlx::query(WITHOUT_PLACE)
            .bind((0..waiters.len()).map(rows::for_place).collect::<Vec<_>>())
            .bind(kinds)
            .bind(ids)
            .bind(owners)
            .bind(self.id);
        self.run(query).await?.iter().map(|row| Ok(rows::place(row, 0)?)).collect()
    }

    pub(super) async fn read_waits_for(&self) -> Result<Vec<WaitsFor>, StoreError> {
        let wait = |row: &PgRow| {
            Ok(WaitsFor {
                resource: resource(row)?,
                owner: OwnerId::stored(row.try_get(2)?),
                holder: OwnerId::stored(row.try_get(3)?),
                place: row.try_get(4)?,
            })
        };
        self.run(sqlx::query(WAITS_FOR)).await?.iter().map(wait).collect()
    }

    pub(super) async fn drop_gone(&self, most: u32) -> Result<u64, StoreError> {
        let sql = format!("SELECT lock_drop_gone($1, $2, {})", self.timeline.is_known());
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let query = || sqlx::query(AssertSqlSafe(sql.as_str())).bind(most).bind(self.id);
        let rows = match self.run(query()).await {
            Err(error) if error.is_of_another_epoch() => {
                self.check_epoch().await?;
                self.run(query()).await?
            }
            rows => rows?,
        };
        let dropped: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(dropped.unsigned_abs())
    }
}

fn resource(row: &PgRow) -> Result<Resource, sqlx::Error> {
    Ok(Resource::stored(row.try_get(0)?, row.try_get(1)?))
}
