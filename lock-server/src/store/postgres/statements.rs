//! The statements that carry out commands, over arrays: one element for each
//! command, ordered by resource.
//!
//! What decides is in the statement that writes, and is read once the row is
//! locked. Commands that it did not carry out are looked at afterwards by
//! [`standing_sql`], which writes nothing: a conflict costs no commit.
//!
//! They pass by what somebody waits for (`waiters` is above zero), but for a
//! renewal and a re-entry. That is for the functions of migration 0004, one
//! call for each command.
//!
//! What makes these fast, as measured by `lock-bench` and written down in
//! docs/decisions/0009-group-commit.md: no join of two sets that both grow with
//! the batch, no row that is looked up more often than it must be, no sort. Where
//! a plan could begin with the table instead (it may be made while that is
//! empty), the look-up stands in a subquery of its own, behind `OFFSET 0`.
//!
//! The ordinary ones are there twice, for when nobody watches and for when
//! somebody does: see [`super::changes`].

mod waiting;

pub(super) use self::waiting::{ask_sql, hand_on_sql, leave_sql, release_waited_sql};
use super::{
    changes::{Audience, RENEWALS_WATCHED, all, had_run_out, noted},
    epoch,
    rows::LOCK_COLUMNS,
};

/// What a re-entered lock had before; all null for a grant, of which the caller
/// knows the rest.
const GRANTED_BEFORE: &str = "CASE WHEN l.reentries > 0 THEN l.renewed_at END AS renewed_at,
    CASE WHEN l.reentries > 0 THEN l.expires_at END AS expires_at,
    CASE WHEN l.reentries > 0 THEN l.ttl END AS ttl,
    CASE WHEN l.reentries > 0 THEN l.metadata END AS metadata,
    l.waiters";

/// The least token for what is granted now: a moment in microseconds, so that
/// tokens rise although nothing is left of a pruned row; above what such rows
/// had, and above what other histories of the database could have given.
fn token(of: &str) -> String {
    format!(
        "greatest({of}.token_floor + 1,
             (date_part('epoch', {of}.now) * 1000000)::bigint + {of}.epoch * {epoch_micros})",
        epoch_micros = epoch::EPOCH_MICROS,
    )
}

/// Takes resources: one row for each that was granted or re-entered, in the
/// order of the commands.
///
/// What another owner has, live or stale, and what is one's own and stale is
/// left out first, without a write. The rest is
/// inserted, or updated where the row is there: the update sees the row as it
/// is once its lock is granted, and reads the clock then. A row that another
/// owner took meanwhile, and one that is stale, is not updated. Nothing is
/// granted in an epoch that is not the database's.
///
/// An own lease that has run out between the two readings of the clock, that of
/// the condition and that of the update, is left as it is.
///
/// A new row's clock is read before the row is there to be locked. What could
/// happen in between (the statement stalls, somebody else is granted, releases
/// and is pruned) takes longer than the last parameter says; a grant that took as long refuses
/// itself, by the division.
///
/// To tell watchers, it writes down in `ended_live` whether a re-entry has moved
/// the expiry.
pub(super) fn acquire_sql(timeline: epoch::Timeline, audience: Audience) -> String {
    let (and_moved, is_moved) = match audience {
        Audience::Nobody => ("", ""),
        Audience::Watchers => (", ended_live", ", kept IS FALSE"),
    };
    let insert = format!(
        r"
INSERT INTO locks AS l (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                        renewed_at, expires_at, freed_at, ttl, reentries, metadata, sweep_at)
SELECT g.resource_type, g.resource_id, g.owner_id, {token},
       g.now, g.now, g.now + g.ttl, NULL, g.ttl, 0, coalesce(g.metadata, '{{}}'), g.now + g.ttl
FROM (
    SELECT i.resource_type, i.resource_id, i.owner_id, i.metadata,
           i.ttl_micros * interval '1 microsecond' AS ttl, e.token_floor, e.epoch,
           clock_timestamp() AS now
    FROM {epoch},
         unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::jsonb[])
        AS i (resource_type, resource_id, owner_id, ttl_micros, metadata)
    WHERE NOT EXISTS (
        SELECT FROM locks h
        WHERE h.resource_type = i.resource_type AND h.resource_id = i.resource_id
          AND (h.owner_id <> i.owner_id OR h.expires_at <= clock_timestamp())
          AND h.expires_at IS NOT NULL
    )
    OFFSET 0
) g
ON CONFLICT (resource_type, resource_id) DO UPDATE SET
    (owner_id, fencing_token, acquired_at, renewed_at, expires_at, freed_at, ttl, reentries,
     metadata, sweep_at{and_moved}) = (
        SELECT excluded.owner_id,
               CASE WHEN own THEN l.fencing_token
                    ELSE greatest(l.fencing_token + 1, excluded.fencing_token) END,
               CASE WHEN own THEN l.acquired_at ELSE now END,
               CASE WHEN kept THEN l.renewed_at ELSE now END,
               CASE WHEN kept THEN l.expires_at ELSE until END,
               NULL::timestamptz,
               CASE WHEN kept THEN l.ttl ELSE excluded.ttl END,
               CASE WHEN own THEN l.reentries + 1 ELSE 0 END,
               CASE WHEN own AND excluded.metadata = '{{}}' THEN l.metadata
                    ELSE excluded.metadata END,
               least(l.sweep_at, until){is_moved}
        FROM (
            SELECT c.now, c.now + excluded.ttl AS until,
                   l.expires_at IS NOT NULL AS own,
                   l.expires_at >= c.now + excluded.ttl OR l.expires_at <= c.now AS kept
            FROM (SELECT clock_timestamp() AS now OFFSET 0) c
            OFFSET 0
        ) judged
    )
    WHERE (l.expires_at IS NULL AND (l.waiters > 0) IS NOT TRUE)
       OR (l.owner_id = excluded.owner_id AND l.expires_at > clock_timestamp())",
        token = token("g"),
        epoch = audience.epoch(timeline),
    );
    let done = format!(
        "l.resource_type, l.resource_id, l.fencing_token, l.acquired_at,
    clock_timestamp() AS now, {GRANTED_BEFORE},
    1 / (CASE WHEN l.reentries = 0
               AND clock_timestamp() - l.acquired_at > $6 * interval '1 microsecond'
              THEN 0 ELSE 1 END) AS in_time"
    );
    match audience {
        Audience::Nobody => format!("{insert}\nRETURNING {done}"),
        Audience::Watchers => format!(
            "WITH done AS ({insert}\nRETURNING l.*), {noted}\nSELECT {done} FROM done l",
            noted = noted([
                ("'ACQUIRED'", "done l", "l.reentries = 0".to_owned()),
                (
                    "'RENEWED'",
                    "done l",
                    format!("l.reentries > 0 AND l.ended_live AND {RENEWALS_WATCHED}")
                ),
            ]),
        ),
    }
}

/// Renews leases: a row for each that has one and was not left out. The row is
/// locked first and the clock read then: an update alone would judge by the
/// clock from before it waited for the row.
///
/// The sort in `judged` is there to have all rows locked before the first is
/// updated: a resource may stand there several times, under different tokens,
/// and Postgres skips a row that the same statement has already updated.
///
/// An expiry that comes closer takes `sweep_at` along, which must not be later. Who
/// watches is told of it, whether it wants to be told of renewals or not: a look at
/// the locks from before may have seen one that has run out since.
pub(super) fn renew_sql(or_skip: &str, audience: Audience) -> String {
    let and_noted = match audience {
        Audience::Nobody => String::new(),
        Audience::Watchers => {
            let renewed = "(SELECT j.resource_type, j.resource_id, j.owner_id, j.fencing_token,
            j.acquired_at, j.now AS renewed_at, j.now + j.new_ttl AS expires_at, j.new_ttl AS ttl,
            j.metadata, j.waiters, j.done, j.expires_at AS was_until FROM judged j) l";
            let told = format!("l.done AND ({RENEWALS_WATCHED} OR l.expires_at < l.was_until)");
            format!(", {}", noted([("'RENEWED'", renewed, told)]))
        }
    };
    format!(
        r"
WITH judged AS MATERIALIZED (
    SELECT k.*, c.now,
           coalesce(k.owner_id = k.asking_owner AND k.fencing_token = k.asking_token
                    AND k.expires_at > c.now, false) AS done
    FROM (
        SELECT i.place, i.owner_id AS asking_owner, i.fencing_token AS asking_token,
               coalesce(i.ttl_micros * interval '1 microsecond', l.ttl) AS new_ttl, l.*
        FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[])
            AS i (place, resource_type, resource_id, owner_id, fencing_token, ttl_micros)
        JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
        FOR UPDATE OF l {or_skip}
    ) k
    CROSS JOIN LATERAL (SELECT clock_timestamp() AS now, k.place OFFSET 0) c
    ORDER BY k.place
), renewed AS (
    UPDATE locks l
    SET renewed_at = j.now,
        expires_at = j.now + j.new_ttl,
        ttl = j.new_ttl,
        sweep_at = least(l.sweep_at, j.now + j.new_ttl)
    FROM judged j
    WHERE j.done AND l.resource_type = j.resource_type AND l.resource_id = j.resource_id
      {and_not_refused}
){and_noted}
SELECT l.resource_type, l.resource_id, l.owner_id, l.fencing_token, l.acquired_at,
       CASE WHEN l.done THEN l.now ELSE l.renewed_at END,
       CASE WHEN l.done THEN l.now + l.new_ttl ELSE l.expires_at END,
       l.new_ttl, l.metadata, l.waiters, l.now, l.place, l.done
FROM judged l
",
        and_not_refused = audience.and_not_refused(),
    )
}

/// Ends leases: a row for each that ended, with whether it was live. The row
/// stays, so that the resource keeps its token.
///
/// Whether the lease was live is judged as the row is changed, and again
/// afterwards by when it was renewed for how long: an update that waited for
/// the row without being told of a change has judged by the clock from before.
pub(super) fn release_sql(audience: Audience) -> String {
    const KEY: &str = "l.resource_type = i.resource_type AND l.resource_id = i.resource_id";
    match audience {
        Audience::Nobody => {
            format!("{} RETURNING {ENDED}", ending_sql(RELEASES, KEY, audience))
        }
        Audience::Watchers => {
            let as_it_was = format!(
                "(SELECT i.*, k.expires_at, k.metadata FROM {RELEASES}
          JOIN locks k ON k.resource_type = i.resource_type AND k.resource_id = i.resource_id
          FOR UPDATE OF k) i"
            );
            format!(
                "WITH freed AS ({ending} RETURNING {ENDED}, {AS_IT_WAS}), {noted}
SELECT place, ended FROM freed",
                ending = ending_sql(&as_it_was, KEY, audience),
                noted = noted([had_run_out("freed l"), ("'RELEASED'", "freed l", all())]),
            )
        }
    }
}

fn ending_sql(input: &str, is_that_row: &str, audience: Audience) -> String {
    format!(
        "
UPDATE locks l
SET expires_at = NULL, freed_at = clock_timestamp(), metadata = '{{}}',
    ended_live = l.expires_at > clock_timestamp()
FROM {input}
WHERE {is_that_row}
  AND l.owner_id = i.owner_id
  AND (i.fencing_token IS NULL OR l.fencing_token = i.fencing_token)
  AND l.expires_at IS NOT NULL AND (l.waiters > 0) IS NOT TRUE{}
",
        audience.and_not_refused()
    )
}

/// What is told of a release: the place, and whether the lease was live.
const ENDED: &str = "i.place, l.ended_live AND l.renewed_at + l.ttl > clock_timestamp() AS ended";

/// And the lock as it was, for those who watch.
const AS_IT_WAS: &str =
    "l.resource_type, l.resource_id, l.owner_id, l.fencing_token, l.acquired_at,
    l.renewed_at, i.expires_at, l.ttl, i.metadata, l.waiters, l.expiry_told";

/// The releases of a batch.
const RELEASES: &str = "unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[])
    AS i (place, resource_type, resource_id, owner_id, fencing_token)";

/// Ends leases and takes what is free, all different resources, for the price
/// of one commit and of one look-up by key for each: a row for each that was
/// done, of its place and what [`Quick`](super::rows::Quick) reads.
///
/// What another owner holds is told with its holder, as it was when the statement
/// began; what the caller itself holds, what is stale and what has no row yet is
/// left to other statements. To find that out costs no lock and no write. The moment of a grant
/// is read anew when the row has changed while it was waited for; when it has
/// not, nothing has happened to it since, and the lease is a little shorter.
///
/// No lock runs out at `-infinity`: what the condition says beside "free" keeps
/// a plan that is made for an empty table from expecting so few rows that it
/// begins with the table and reads all of it.
///
/// Rows are locked in two passes, the grants' and the releases', so the second
/// one may not wait: two servers would, for each other. What it skips is
/// released by itself. What it has locked is found by where it is, not by its
/// key again.
pub(super) fn quick_sql(timeline: epoch::Timeline, audience: Audience) -> String {
    let (as_it_was, and_granted, and_freed, and_noted) = match audience {
        Audience::Nobody => ("", "", String::new(), String::new()),
        Audience::Watchers => {
            let granted = ("'ACQUIRED'", "granted l", all());
            let released = ("'RELEASED'", "freed l", all());
            let noted = noted([granted, had_run_out("freed l"), released]);
            let and_granted = ", l.resource_type, l.resource_id, l.owner_id, l.renewed_at,
              l.expires_at, l.ttl, l.metadata, l.waiters";
            (
                ", k.expires_at, k.metadata",
                and_granted,
                format!(", {AS_IT_WAS}"),
                format!(", {noted}"),
            )
        }
    };
    let input = format!(
        "(SELECT i.place, i.owner_id, i.fencing_token, k.ctid AS at{as_it_was} FROM {RELEASES}
          JOIN locks k ON k.resource_type = i.resource_type AND k.resource_id = i.resource_id
          FOR UPDATE OF k SKIP LOCKED) i"
    );
    // That nobody watches is looked at by the grants.
    let ending = ending_sql(&input, "l.ctid = i.at", Audience::Watchers);
    let release_sql = format!("{ending} RETURNING {ENDED}{and_freed}");
    format!(
        r"
WITH granted AS (
    UPDATE locks l
    SET (owner_id, fencing_token, acquired_at, renewed_at, expires_at, freed_at, ttl, reentries,
         metadata, sweep_at) = (
            SELECT g.owner_id, greatest(l.fencing_token + 1, {token}),
                   g.now, g.now, g.now + g.ttl, NULL::timestamptz, g.ttl, 0,
                   coalesce(g.metadata, '{{}}'), least(l.sweep_at, g.now + g.ttl)
            FROM (SELECT clock_timestamp() AS now, a.* OFFSET 0) g
        )
    FROM (
        SELECT i.place, i.resource_type, i.resource_id, i.owner_id, i.metadata,
               i.ttl_micros * interval '1 microsecond' AS ttl, e.token_floor, e.epoch
        FROM {epoch},
             unnest($6::int8[], $7::text[], $8::text[], $9::text[], $10::int8[], $11::jsonb[])
                 AS i (place, resource_type, resource_id, owner_id, ttl_micros, metadata)
        OFFSET 0
    ) a
    WHERE l.resource_type = a.resource_type AND l.resource_id = a.resource_id
      AND (l.expires_at IS NULL OR l.expires_at <= '-infinity') AND (l.waiters > 0) IS NOT TRUE
    RETURNING a.place, l.fencing_token, l.acquired_at, clock_timestamp() AS now{and_granted}
), freed AS ({release_sql}){and_noted}
SELECT place, fencing_token, acquired_at, now, NULL::bool, {NO_HOLDER} FROM granted
UNION ALL
SELECT place, NULL, NULL, NULL, ended, {NO_HOLDER} FROM freed
UNION ALL
SELECT i.place, l.fencing_token, l.acquired_at, clock_timestamp(), NULL,
       l.owner_id, l.renewed_at, l.expires_at, l.ttl, l.metadata, l.waiters
FROM unnest($6::int8[], $7::text[], $8::text[], $9::text[])
    AS i (place, resource_type, resource_id, owner_id)
CROSS JOIN LATERAL (
    SELECT * FROM locks h
    WHERE h.resource_type = i.resource_type AND h.resource_id = i.resource_id
    OFFSET 0
) l
WHERE i.place NOT IN (SELECT place FROM granted)
  AND l.owner_id <> i.owner_id AND l.expires_at > clock_timestamp()
",
        token = token("g"),
        epoch = audience.epoch(timeline),
    )
}

/// Takes what is stale, and writes down from whom: a row for each, as the quick
/// statement's, in the order of the commands.
pub(super) fn take_over_sql(timeline: epoch::Timeline) -> String {
    format!(
        r"
WITH stale AS MATERIALIZED (
    SELECT k.*, c.now, e.token_floor, e.epoch, false AS ended
    FROM {epoch},
    LATERAL (
        SELECT i.place, i.owner_id AS taker, i.metadata AS new_metadata,
               i.ttl_micros * interval '1 microsecond' AS new_ttl,
               {LOCK_COLUMNS}, l.expiry_told
        FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::jsonb[])
            AS i (place, resource_type, resource_id, owner_id, ttl_micros, metadata)
        JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
        FOR UPDATE OF l
    ) k
    CROSS JOIN LATERAL (SELECT clock_timestamp() AS now, k.place OFFSET 0) c
    WHERE k.expires_at <= c.now AND (k.waiters > 0) IS NOT TRUE
), granted AS (
    UPDATE locks l
    SET owner_id = s.taker, fencing_token = greatest(l.fencing_token + 1, {token}),
        acquired_at = s.now, renewed_at = s.now, expires_at = s.now + s.new_ttl,
        ttl = s.new_ttl, reentries = 0, metadata = coalesce(s.new_metadata, '{{}}'),
        sweep_at = least(l.sweep_at, s.now + s.new_ttl)
    FROM stale s
    WHERE l.resource_type = s.resource_type AND l.resource_id = s.resource_id
    RETURNING s.place, l.fencing_token, l.acquired_at, clock_timestamp() AS now,
              l.resource_type, l.resource_id, l.owner_id, l.renewed_at, l.expires_at, l.ttl,
              l.metadata, l.waiters, s.owner_id AS last_owner, s.fencing_token AS last_token
), noted AS (
    INSERT INTO lock_events (event_time, kind, resource_type, resource_id, owner_id,
                             fencing_token, actor)
    SELECT acquired_at, 'TAKEN_OVER', resource_type, resource_id, last_owner, last_token, owner_id
    FROM granted
), {noted}
SELECT place, fencing_token, acquired_at, now, NULL::bool, {NO_HOLDER} FROM granted
",
        token = token("s"),
        epoch = Audience::Watchers.epoch(timeline),
        noted = noted([had_run_out("stale l"), ("'TAKEN_OVER'", "granted l", all())]),
    )
}

/// Where a row tells of no holder.
const NO_HOLDER: &str =
    "NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::interval, NULL::jsonb, NULL::int4";

/// How resources stand: a row for each that is held or stale.
pub(super) fn standing_sql() -> String {
    format!(
        "SELECT {LOCK_COLUMNS}, c.now, i.place
         FROM unnest($1::int8[], $2::text[], $3::text[]) AS i (place, resource_type, resource_id)
         CROSS JOIN LATERAL (
             SELECT * FROM locks h
             WHERE h.resource_type = i.resource_type AND h.resource_id = i.resource_id
             OFFSET 0
         ) l
         CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) c
         WHERE l.expires_at IS NOT NULL"
    )
}

/// Which resources' rows somebody else has locked. Asked after a batch has
/// waited for one.
pub(super) const LOCKED: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::int8[], $2::text[], $3::text[]) AS i (place, resource_type, resource_id)
), open AS MATERIALIZED (
    SELECT i.place
    FROM input i
    JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
    FOR UPDATE OF l SKIP LOCKED
)
SELECT i.place
FROM input i
JOIN locks l ON l.resource_type = i.resource_type AND l.resource_id = i.resource_id
WHERE i.place NOT IN (SELECT place FROM open)";
