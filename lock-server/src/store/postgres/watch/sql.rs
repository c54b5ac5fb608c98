//! The statements by which what happens to locks is read.

use std::sync::LazyLock;

use crate::store::postgres::{
    changes::{UNTOLD, all, noted},
    rows::LOCK_COLUMNS,
};

/// Says that somebody watches: for so long, with the renewals or not, unless it is
/// said for so long at least.
pub(super) const SAY: &str = "
    UPDATE fencing_epoch
    SET watched_until = greatest(watched_until, clock_timestamp() + $1),
        renewals_until = CASE WHEN $2 THEN greatest(renewals_until, clock_timestamp() + $1)
                              ELSE renewals_until END
    WHERE watched_until < clock_timestamp() + $3
       OR ($2 AND renewals_until < clock_timestamp() + $3)";

/// Transactions that have a lock on the table by which it is told whether somebody
/// watches; of these, where some are named.
pub(super) const OLDER: &str = "
    SELECT DISTINCT k.virtualtransaction
    FROM pg_locks k
    WHERE k.locktype = 'relation' AND k.relation = 'fencing_epoch'::regclass AND k.granted
      AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND k.pid <> pg_backend_pid()
      AND ($1::text[] IS NULL OR k.virtualtransaction = ANY ($1))";

/// The snapshot, the clock, until when it is said that somebody watches, and the
/// epoch.
pub(super) const HEAD: &str =
    "SELECT pg_current_snapshot()::text AS snapshot, clock_timestamp() AS now,
           e.watched_until, e.renewals_until, e.epoch
    FROM fencing_epoch e";

/// What a snapshot has not seen, in parts: behind a change, of what another
/// snapshot has seen. The head stands in each row, and in one if there is nothing.
///
/// What is there and of a transaction that there was not yet is of another
/// cluster's, from which the table was restored.
pub(super) static CHANGES: LazyLock<String> = LazyLock::new(|| {
    // A lease is told with what is left of it now.
    let now = "CASE WHEN c.kind IN ('ACQUIRED', 'RENEWED', 'TAKEN_OVER') THEN h.now
                    ELSE c.changed_at END";
    let columns = LOCK_COLUMNS.replace("l.", "c.");
    let unseen = |which: &str| {
        format!(
            "SELECT c.* FROM lock_changes c
         WHERE {which} AND c.change_id > $2
           AND ($3::text IS NULL OR pg_visible_in_snapshot(c.xid, $3::text::pg_snapshot))"
        )
    };
    format!(
        "SELECT h.snapshot, h.now, h.watched_until, h.renewals_until, h.epoch,
                c.change_id, c.xid::text::int8, c.kind, {columns}, {now}
         FROM ({HEAD}) h
         LEFT JOIN (
             SELECT * FROM ({began_later} UNION ALL {under_way}) u
             ORDER BY u.change_id
             LIMIT $4
         ) c ON true
         ORDER BY c.change_id",
        began_later = unseen(
            "c.xid >= pg_snapshot_xmax($1::text::pg_snapshot)
           AND c.xid < pg_snapshot_xmax(pg_current_snapshot())"
        ),
        under_way = unseen("c.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))"),
    )
});

/// Tells what has run out, and notes that it was told. What somebody works on is
/// left for the next time.
pub(super) static TELL_EXPIRED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
         stale AS MATERIALIZED (
             SELECT {LOCK_COLUMNS}
             FROM locks l
             WHERE l.sweep_at <= (SELECT now FROM clock)
               AND l.expires_at <= (SELECT now FROM clock)
               AND {UNTOLD}
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         ), told AS (
             UPDATE locks l SET expiry_told = l.fencing_token
             FROM stale s
             WHERE l.resource_type = s.resource_type AND l.resource_id = s.resource_id
         ), {noted}
         SELECT count(*), (SELECT now FROM clock) FROM stale",
        noted = noted([("'EXPIRED'", "stale l", all())]),
    )
});

/// Deletes changes that are of no use to anybody any more.
pub(super) fn forget_sql(which: &str) -> String {
    format!(
        "WITH forgotten AS (
             DELETE FROM lock_changes
             WHERE ctid = ANY (ARRAY(
                 SELECT c.ctid FROM lock_changes c
                 WHERE {which}
                 ORDER BY c.xid, c.change_id
                 LIMIT $1
                 FOR UPDATE SKIP LOCKED))
             RETURNING 1
         )
         SELECT count(*) FROM forgotten"
    )
}

/// What this snapshot has seen.
pub(super) const SEEN: &str = "c.xid < pg_snapshot_xmax($2::text::pg_snapshot)
                   AND pg_visible_in_snapshot(c.xid, $2::text::pg_snapshot)";

/// A page of live locks, with the snapshot and the clock in each row, and in one if
/// there is none.
pub(super) fn page_sql(which: &str) -> String {
    format!(
        "SELECT h.snapshot, h.now, l.*, h.now
         FROM (SELECT pg_current_snapshot()::text AS snapshot, clock_timestamp() AS now OFFSET 0) h
         LEFT JOIN LATERAL (
             SELECT {LOCK_COLUMNS} FROM locks l
             WHERE l.expires_at > h.now AND {which}
         ) l ON true
         ORDER BY l.resource_type, l.resource_id"
    )
}

pub(super) const THIS_ONE: &str = "l.resource_type = $1 AND l.resource_id = $2";

/// As the list of live locks.
pub(super) const THESE: &str = "($1::text IS NULL OR l.resource_type = $1)
               AND ($2 = '' OR (l.resource_id >= $2 AND starts_with(l.resource_id, $2)))
               AND ($3::text IS NULL OR (l.resource_type, l.resource_id) > ($3, $4))
             ORDER BY l.resource_type, l.resource_id
             LIMIT $5";
