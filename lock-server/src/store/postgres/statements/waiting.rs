//! The statements on what somebody waits for: one call of a function of migration
//! 0004 for each command.

use super::RELEASES;
use crate::store::postgres::epoch;

/// Has a function of migration 0004 decide on each command, in their order: a
/// row for each, of its place and what the function gives.
fn each(columns: &str, input: &str, call: &str) -> String {
    format!(
        "SELECT i.place, {columns}, clock_timestamp()
         FROM {input}
         CROSS JOIN LATERAL {call} AS a"
    )
}

/// Puts in line, or tells how a place stands: rows as `rows::asked` reads them.
pub(in crate::store::postgres) fn ask_sql(timeline: epoch::Timeline) -> String {
    let input = "unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::jsonb[],
             $7::int8[], $8::bool[])
        AS i (place, resource_type, resource_id, owner_id, ttl_micros, metadata, wait_micros, again)";
    let call = format!(
        "lock_ask(i.resource_type, i.resource_id, i.owner_id,
             i.ttl_micros * interval '1 microsecond', i.metadata,
             i.wait_micros * interval '1 microsecond', i.again, $9::int4, $10::uuid,
             $11 * interval '1 microsecond', {timeline})",
        timeline = timeline.is_known(),
    );
    each(&format!("a.state, a.place, a.may_close_circle, a.handed, {ROW_OF_A}"), input, &call)
}

/// Releases what somebody waits for: rows as `rows::handed` reads them.
pub(in crate::store::postgres) fn release_waited_sql(timeline: epoch::Timeline) -> String {
    let call = format!(
        "lock_release(i.resource_type, i.resource_id, i.owner_id, i.fencing_token, $6::uuid,
             {timeline})",
        timeline = timeline.is_known(),
    );
    each(&format!("a.ended, a.handed, {ROW_OF_A}"), RELEASES, &call)
}

/// Takes out of line: rows as `rows::handed` reads them.
pub(in crate::store::postgres) fn leave_sql(timeline: epoch::Timeline) -> String {
    let call = format!(
        "lock_leave(i.resource_type, i.resource_id, i.owner_id, i.fencing_token, i.nobody,
             $7::uuid, {timeline})",
        timeline = timeline.is_known(),
    );
    let input = "unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::bool[])
        AS i (place, resource_type, resource_id, owner_id, fencing_token, nobody)";
    each(&format!("a.taken, a.handed, {ROW_OF_A}"), input, &call)
}

/// Hands on what has run out: rows as `rows::handed` reads them.
pub(in crate::store::postgres) fn hand_on_sql(timeline: epoch::Timeline) -> String {
    let input =
        "unnest($1::int8[], $2::text[], $3::text[]) AS i (place, resource_type, resource_id)";
    let call = format!(
        "lock_hand_on(i.resource_type, i.resource_id, $4::uuid, {timeline})",
        timeline = timeline.is_known(),
    );
    each(&format!("NULL::bool, a.handed, {ROW_OF_A}"), input, &call)
}

/// The row that such a function gives, as `LOCK_COLUMNS`.
const ROW_OF_A: &str = "(a.l).resource_type, (a.l).resource_id, (a.l).owner_id,
    (a.l).fencing_token, (a.l).acquired_at, (a.l).renewed_at, (a.l).expires_at, (a.l).ttl,
    (a.l).metadata, (a.l).waiters";
