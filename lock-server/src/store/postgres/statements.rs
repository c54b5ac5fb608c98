//! The statements that carry out commands, over arrays: one row of the input
//! for each command, with its place in the batch.

use super::{epoch, rows::LOCK_COLUMNS};

/// Takes resources.
///
/// `conflicting` finds what another owner holds, without a write. The rest is
/// inserted, or updated where the row is there: the update sees the row as it
/// is once its lock is granted, and reads the clock then. A row that another
/// owner took meanwhile is neither updated nor conflicting; the command is
/// tried again. So is one whose epoch is not the database's.
///
/// A new row's clock is read before the row is there to be locked. What could
/// happen in between (the statement stalls, somebody else is granted, releases
/// and is pruned) takes longer than `$7`; a grant that took as long refuses
/// itself, by the division.
pub(super) fn acquire_sql(timeline: epoch::Timeline) -> String {
    format!(
        r"
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::jsonb[])
        AS i (place, resource_type, resource_id, owner_id, ttl_micros, metadata)
), conflicting AS MATERIALIZED (
    SELECT i.place, {LOCK_COLUMNS}, c.now
    FROM input i
    JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) c
    WHERE l.owner_id <> i.owner_id AND l.expires_at > c.now
), granted AS (
    INSERT INTO locks AS l (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                            renewed_at, expires_at, freed_at, ttl, reentries, metadata)
    SELECT g.resource_type, g.resource_id, g.owner_id,
           greatest(g.token_floor + 1,
                    (extract(epoch FROM g.now) * 1000000)::bigint + g.epoch * {epoch_micros}),
           g.now, g.now, g.now + g.ttl, NULL, g.ttl, 0, g.metadata
    FROM (
        SELECT sorted.*, clock_timestamp() AS now
        FROM (
            SELECT i.resource_type, i.resource_id, i.owner_id, i.metadata,
                   i.ttl_micros * interval '1 microsecond' AS ttl, e.epoch, e.token_floor
            FROM input i
            CROSS JOIN fencing_epoch e
            WHERE {is_that_of_epoch}
              AND NOT EXISTS (SELECT FROM conflicting c WHERE c.place = i.place)
            ORDER BY i.resource_type COLLATE {C}, i.resource_id COLLATE {C}
            OFFSET 0
        ) sorted
        OFFSET 0
    ) g
    ON CONFLICT (resource_type, resource_id) DO UPDATE SET
        (owner_id, fencing_token, acquired_at, renewed_at, expires_at, freed_at, ttl, reentries,
         metadata) = (
            SELECT excluded.owner_id,
                   CASE WHEN own THEN l.fencing_token
                        ELSE greatest(l.fencing_token + 1, excluded.fencing_token) END,
                   CASE WHEN own THEN l.acquired_at ELSE now END,
                   CASE WHEN own AND l.expires_at >= until THEN l.renewed_at ELSE now END,
                   CASE WHEN own AND l.expires_at >= until THEN l.expires_at ELSE until END,
                   NULL::timestamptz,
                   CASE WHEN own AND l.expires_at >= until THEN l.ttl ELSE excluded.ttl END,
                   CASE WHEN own THEN l.reentries + 1 ELSE 0 END,
                   CASE WHEN own AND excluded.metadata = '{{}}' THEN l.metadata
                        ELSE excluded.metadata END
            FROM (
                SELECT c.now, c.now + excluded.ttl AS until,
                       coalesce(l.owner_id = excluded.owner_id AND l.expires_at > c.now, false)
                           AS own
                FROM (SELECT clock_timestamp() AS now OFFSET 0) c
                OFFSET 0
            ) judged
        )
        WHERE l.owner_id = excluded.owner_id
           OR l.expires_at IS NULL
           OR l.expires_at <= clock_timestamp()
    RETURNING {LOCK_COLUMNS}, l.reentries, clock_timestamp() AS now,
        1 / (CASE WHEN l.reentries = 0
                   AND clock_timestamp() - l.acquired_at > $7 * interval '1 microsecond'
                  THEN 0 ELSE 1 END) AS in_time
)
SELECT i.place, 'granted' AS what, l.reentries > 0 AS reentrant, {LOCK_COLUMNS}, l.now
FROM granted l
JOIN input i ON i.resource_type = l.resource_type AND i.resource_id = l.resource_id
UNION ALL
SELECT l.place, 'conflict', false, {LOCK_COLUMNS}, l.now FROM conflicting l
",
        epoch_micros = epoch::EPOCH_MICROS,
        is_that_of_epoch = timeline.is_that_of_epoch(),
        C = "\"C\"",
    )
}

/// Renews leases. The row is locked first and the clock read then: an update
/// alone would judge by the clock from before it waited for the row.
///
/// The sort in `judged` is there to have all rows locked before the first is
/// updated: a resource may stand there several times, under different tokens,
/// and Postgres skips a row that the same statement has already updated.
pub(super) fn renew_sql(or_skip: &str) -> String {
    format!(
        r"
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[])
        AS i (place, resource_type, resource_id, owner_id, fencing_token, ttl_micros)
), locked AS MATERIALIZED (
    SELECT i.place, i.owner_id AS asking_owner, i.fencing_token AS asking_token,
           i.ttl_micros * interval '1 microsecond' AS asking_ttl,
           l.resource_type, l.resource_id, l.owner_id, l.fencing_token, l.acquired_at,
           l.expires_at, l.ttl, l.metadata
    FROM input i
    JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
    ORDER BY l.resource_type, l.resource_id
    FOR UPDATE OF l {or_skip}
), judged AS MATERIALIZED (
    SELECT locked.*, clock_timestamp() AS now FROM locked ORDER BY place
), renewed AS (
    UPDATE locks l
    SET renewed_at = j.now,
        expires_at = j.now + coalesce(j.asking_ttl, j.ttl),
        ttl = coalesce(j.asking_ttl, j.ttl)
    FROM judged j
    WHERE l.resource_type = j.resource_type AND l.resource_id = j.resource_id
      AND j.owner_id = j.asking_owner AND j.fencing_token = j.asking_token
      AND j.expires_at > j.now
    RETURNING j.place, l.renewed_at, l.expires_at, l.ttl
)
SELECT j.place, j.resource_type, j.resource_id, j.owner_id, j.fencing_token, j.acquired_at,
       r.renewed_at, coalesce(r.expires_at, j.expires_at) AS expires_at,
       coalesce(r.ttl, j.ttl) AS ttl, j.metadata, j.now,
       r.place IS NOT NULL AS done
FROM judged j
LEFT JOIN renewed r ON r.place = j.place
"
    )
}

/// Ends leases. The row stays, so that the resource keeps its token.
pub(super) const RELEASE: &str = r#"
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[])
        AS i (place, resource_type, resource_id, owner_id, fencing_token)
), locked AS MATERIALIZED (
    SELECT i.place, i.owner_id AS asking_owner, i.fencing_token AS asking_token,
           l.resource_type, l.resource_id, l.owner_id, l.fencing_token, l.expires_at
    FROM input i
    JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
    ORDER BY l.resource_type, l.resource_id
    FOR UPDATE OF l
), judged AS MATERIALIZED (
    SELECT locked.*, clock_timestamp() AS now FROM locked
), freed AS (
    UPDATE locks l
    SET expires_at = NULL, freed_at = j.now, metadata = '{}'
    FROM judged j
    WHERE l.resource_type = j.resource_type AND l.resource_id = j.resource_id
      AND j.expires_at IS NOT NULL
      AND j.owner_id = j.asking_owner
      AND (j.asking_token IS NULL OR j.fencing_token = j.asking_token)
    RETURNING j.place
)
SELECT j.place, j.owner_id, j.fencing_token, j.expires_at, j.now, f.place IS NOT NULL AS done
FROM judged j
LEFT JOIN freed f ON f.place = j.place
"#;
