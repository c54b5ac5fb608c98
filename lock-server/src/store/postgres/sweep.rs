//! Freeing many locks at once, in bounded steps. Several servers may do it at
//! the same time: rows that another one works on are left out.

use sqlx::{AssertSqlSafe, Row as _};

use super::{
    PostgresStore, StoreError,
    changes::{all, had_run_out, noted},
    epoch::Timeline,
    rows::{self, LOCK_COLUMNS},
};
use crate::{
    domain::{OwnerId, Purge, ResourceType, Span},
    store::Freed,
};

// The clock stands in a subquery so that an index can be used with it. The
// index is that on sweep_at, which is never later than a row's expiry; what it
// finds is then judged by what it is about.

/// Frees stale locks. A lock that was stale by the clock from before its row
/// was locked is stale still: nobody else can have changed it since. The first
/// step of a run writes its event, the others add to it.
fn purge_sql(event: Option<i64>) -> String {
    format!(
        "
    WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() - $2 * interval '1 microsecond' AS before
    ), stale AS MATERIALIZED (
        SELECT {LOCK_COLUMNS}, l.expiry_told, false AS ended
        FROM locks l
        WHERE l.sweep_at <= (SELECT before FROM clock)
          AND l.expires_at <= (SELECT before FROM clock)
          AND l.waiters = 0
          AND ($1::text IS NULL OR l.resource_type = $1)
        ORDER BY l.sweep_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ), freed AS (
        UPDATE locks l
        SET expires_at = NULL, freed_at = clock_timestamp(), metadata = '{{}}'
        FROM stale s
        WHERE l.resource_type = s.resource_type AND l.resource_id = s.resource_id
        RETURNING 1
    ), {noted}, total AS MATERIALIZED (
        SELECT count(*) AS purged FROM freed
    ), {event}",
        noted = noted([had_run_out("stale l"), ("'PURGED'", "stale l", all())]),
        event = if event.is_some() { ADD } else { NOTE },
    )
}

/// How the first step of a purge writes its event, and the others add to it. Not
/// both in one statement: not every database changes a table twice in one.
const NOTE: &str = "noted AS (
        INSERT INTO lock_events (kind, actor, reason, count)
        SELECT 'PURGED', $4, $5, purged FROM total WHERE purged > 0
        RETURNING event_id
    )
    SELECT purged, (SELECT event_id FROM noted) AS event FROM total";
const ADD: &str = "noted AS (
        UPDATE lock_events SET count = count + purged
        FROM total
        WHERE event_id = $4
    )
    SELECT purged, $4 AS event FROM total";

/// Frees what an owner holds.
fn release_owner_sql() -> String {
    format!(
        "
    WITH owned AS MATERIALIZED (
        SELECT {LOCK_COLUMNS}, l.expiry_told
        FROM locks l
        WHERE l.owner_id = $1 AND l.expires_at IS NOT NULL AND l.waiters = 0
        ORDER BY l.resource_type, l.resource_id
        LIMIT $2
        FOR UPDATE
    ), clocked AS MATERIALIZED (
        SELECT owned.*, clock_timestamp() AS now FROM owned
    ), judged AS MATERIALIZED (
        SELECT c.*, c.expires_at > c.now AS ended FROM clocked c
    ), freed AS (
        UPDATE locks l
        SET expires_at = NULL, freed_at = j.now, metadata = '{{}}'
        FROM judged j
        WHERE l.resource_type = j.resource_type AND l.resource_id = j.resource_id
          AND l.owner_id = $1
        RETURNING j.ended AS was_live
    ), {noted}
    SELECT count(*) AS freed_rows, count(*) FILTER (WHERE was_live) AS live_rows FROM freed",
        noted = noted([had_run_out("judged l"), ("'RELEASED'", "judged l", all())]),
    )
}

/// Frees what an owner holds still, mostly because others wait for it: each is
/// handed on.
fn release_waited_sql(timeline: Timeline) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE r.ended IS NOT NULL) AS freed_rows,
                count(*) FILTER (WHERE r.ended) AS live_rows
         FROM (
             SELECT l.resource_type, l.resource_id
             FROM locks l
             WHERE l.owner_id = $1 AND l.expires_at IS NOT NULL
             ORDER BY l.resource_type, l.resource_id
             LIMIT $2
         ) o
         CROSS JOIN LATERAL lock_release(o.resource_type, o.resource_id, $1, NULL, NULL,
             {timeline}) AS r",
        timeline = timeline.is_known(),
    )
}

/// Takes an owner out of every queue.
const CANCEL: &str = "SELECT lock_cancel($1)";

/// Moves `sweep_at` of rows that it has come for, and that are neither stale
/// nor free for long, to when they may be; and takes the last owner's name out
/// of free ones, so that they are not found as the owner's.
const PUT_OFF: &str = "
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    due AS MATERIALIZED (
        SELECT l.resource_type, l.resource_id
        FROM locks l
        WHERE l.sweep_at <= (SELECT now FROM clock)
          AND (l.expires_at > (SELECT now FROM clock)
               OR l.freed_at > (SELECT now FROM clock) - $1 * interval '1 microsecond')
        ORDER BY l.sweep_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), put_off AS (
        UPDATE locks l
        SET sweep_at = coalesce(l.expires_at, l.freed_at + $1 * interval '1 microsecond'),
            owner_id = CASE WHEN l.expires_at IS NULL THEN '' ELSE l.owner_id END
        FROM due d
        WHERE l.resource_type = d.resource_type AND l.resource_id = d.resource_id
        RETURNING 1
    )
    SELECT count(*) AS put_off FROM put_off";

/// Deletes rows that have been free for long, and notes the greatest token
/// among them, above which a resource without a row starts.
const PRUNE: &str = "
    WITH forgotten AS MATERIALIZED (
        SELECT l.resource_type, l.resource_id
        FROM locks l
        WHERE l.sweep_at <= (SELECT clock_timestamp())
          AND l.freed_at < (SELECT clock_timestamp()) - $1 * interval '1 microsecond'
          AND l.waiters = 0
        ORDER BY l.sweep_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM locks l
        USING forgotten f
        WHERE l.resource_type = f.resource_type AND l.resource_id = f.resource_id
        RETURNING l.fencing_token
    ), raised AS (
        UPDATE fencing_epoch
        SET token_floor = (SELECT max(fencing_token) FROM deleted)
        WHERE token_floor < (SELECT max(fencing_token) FROM deleted)
        RETURNING 1
    )
    SELECT count(*) AS pruned FROM deleted";

impl PostgresStore {
    pub(super) async fn free_stale(&self, purge: &mut Purge, most: u32) -> Result<u64, StoreError> {
        let sql = purge_sql(purge.event);
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(purge.filter.kind.as_ref().map(ResourceType::as_str))
            .bind(rows::ago(purge.filter.older_than))
            .bind(i64::from(most));
        let query = match purge.event {
            Some(event) => query.bind(event),
            None => query.bind(purge.actor.as_str()).bind(purge.reason()),
        };
        let found = self.run(query).await?;
        if let Some(row) = found.first() {
            purge.event = row.try_get("event")?;
        }
        count(found.first(), "purged")
    }

    pub(super) async fn free_locks_of(
        &self,
        owner: &OwnerId,
        most: u32,
    ) -> Result<Freed, StoreError> {
        // Out of line first, so that nothing is granted to it after.
        self.run(sqlx::query(CANCEL).bind(owner.as_str())).await?;
        let waited_for = release_waited_sql(self.timeline);
        let mut freed = Freed { rows: 0, live: 0 };
        for sql in [&release_owner_sql(), &waited_for] {
            let left = i64::from(most) - i64::try_from(freed.rows).unwrap_or(i64::MAX);
            let query = || sqlx::query(AssertSqlSafe(sql.as_str())).bind(owner.as_str()).bind(left);
            let found = match self.run(query()).await {
                Err(error) if error.is_of_another_epoch() => {
                    self.check_epoch().await?;
                    self.run(query()).await?
                }
                found => found?,
            };
            freed.rows += count(found.first(), "freed_rows")?;
            freed.live += count(found.first(), "live_rows")?;
        }
        Ok(freed)
    }

    pub(super) async fn forget_free(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        // What is not to be swept yet is put off first, so that it is not
        // looked at each time.
        loop {
            let query = sqlx::query(PUT_OFF).bind(rows::ago(free_for)).bind(i64::from(most));
            let put_off = self.run(query).await?;
            if count(put_off.first(), "put_off")? < u64::from(most) {
                break;
            }
        }
        let query = sqlx::query(PRUNE).bind(rows::ago(free_for)).bind(i64::from(most));
        let found = self.run(query).await?;
        count(found.first(), "pruned")
    }
}

fn count(row: Option<&sqlx::postgres::PgRow>, column: &str) -> Result<u64, StoreError> {
    let count: i64 = match row {
        Some(row) => row.try_get(column)?,
        None => 0,
    };
    Ok(count.unsigned_abs())
}
