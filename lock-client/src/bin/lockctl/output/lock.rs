//! Locks, as a JSON object, as rows of a table, and one by itself on a card.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use lock_client::{Lock, Timestamp};
use serde_json::{Value, json};

use super::{
    span,
    style::Style,
    table::{Cell, Table},
};
use crate::escape::escaped;

/// For programs: the fields of `lock.v1.Lock`, under their names there.
pub(crate) fn to_json(lock: &Lock) -> Value {
    json!({
        "resource": {"type": lock.resource.r#type, "id": lock.resource.id},
        "owner_id": lock.owner_id,
        "fencing_token": lock.fencing_token,
        "acquire_time": lock.acquire_time.to_string(),
        "renew_time": lock.renew_time.to_string(),
        "expire_time": lock.expire_time.to_string(),
        "remaining": span::proto(lock.remaining),
        "ttl": span::proto(lock.ttl),
        "metadata": lock.metadata,
        "state": if lock.stale { "LOCK_STATE_STALE" } else { "LOCK_STATE_HELD" },
        "queue_length": lock.queue_length,
    })
}

/// For people: one lock, a line for each thing that is known about it.
pub(crate) fn card(lock: &Lock, style: Style) -> String {
    let expires = match lock.stale {
        true => format!("{} ({} ago)", lock.expire_time, span::human(since(lock.expire_time))),
        false => format!("{} (in {})", lock.expire_time, span::human(lock.remaining)),
    };
    let mut lines = vec![
        ("resource", escaped(&lock.resource.to_string())),
        ("state", state(lock, style)),
        ("owner", escaped(&lock.owner_id)),
        ("token", lock.fencing_token.to_string()),
        ("acquired", lock.acquire_time.to_string()),
        ("renewed", lock.renew_time.to_string()),
        (if lock.stale { "expired" } else { "expires" }, expires),
        ("ttl", span::human(lock.ttl)),
        ("waiting", lock.queue_length.to_string()),
    ];
    if !lock.metadata.is_empty() {
        lines.push(("metadata", metadata_words(&lock.metadata)));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

/// For people: live locks.
pub(crate) fn held_table(locks: &[Lock], style: Style) -> String {
    let mut table = Table::new([
        "RESOURCE",
        "OWNER",
        "TOKEN",
        "STATE",
        "WAITING",
        "EXPIRES IN",
        "HELD FOR",
        "ACQUIRED",
        "METADATA",
    ]);
    for lock in locks {
        let mut row = first_cells(lock);
        row.extend([
            lock.queue_length.to_string().into(),
            span::human(lock.remaining).into(),
            span::human(held_for(lock)).into(),
            seconds(lock.acquire_time).into(),
            metadata_words(&lock.metadata).into(),
        ]);
        table.push(row);
    }
    table.render(style)
}

/// For people: stale locks.
pub(crate) fn stale_table(locks: &[Lock], style: Style) -> String {
    let mut table = Table::new([
        "RESOURCE",
        "OWNER",
        "TOKEN",
        "STATE",
        "EXPIRED AGO",
        "EXPIRED",
        "ACQUIRED",
        "METADATA",
    ]);
    for lock in locks {
        let mut row = first_cells(lock);
        row.extend([
            span::human(since(lock.expire_time)).into(),
            seconds(lock.expire_time).into(),
            seconds(lock.acquire_time).into(),
            metadata_words(&lock.metadata).into(),
        ]);
        table.push(row);
    }
    table.render(style)
}

fn first_cells(lock: &Lock) -> Vec<Cell> {
    let state = match lock.stale {
        true => Cell::painted("stale", Style::warning),
        false => Cell::painted("held", Style::good),
    };
    vec![
        escaped(&lock.resource.to_string()).into(),
        escaped(&lock.owner_id).into(),
        lock.fencing_token.to_string().into(),
        state,
    ]
}

fn state(lock: &Lock, style: Style) -> String {
    if lock.stale { style.warning("stale") } else { style.good("held") }
}

/// `key=value` for each entry; a value that could be taken for more than one
/// word is quoted.
pub(crate) fn metadata_words(metadata: &BTreeMap<String, String>) -> String {
    let word = |(key, value): (&String, &String)| {
        let value = escaped(value);
        if value.is_empty() || value.contains([' ', '"', '=']) {
            format!("{}=\"{}\"", escaped(key), value.replace('"', "\\\""))
        } else {
            format!("{}={value}", escaped(key))
        }
    };
    metadata.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// To the second: what a table has room for.
pub(crate) fn seconds(time: Timestamp) -> String {
    Timestamp { nanos: 0, ..time }.to_string()
}

/// How long the lock had been held when the server answered, all of it by the
/// database's clock.
fn held_for(lock: &Lock) -> Duration {
    between(lock.acquire_time, lock.expire_time).saturating_sub(lock.remaining)
}

/// How long ago that was, by this machine's clock. The server sends no time of
/// its own with a stale lock; nothing but what people read rests on this.
#[expect(clippy::disallowed_methods, reason = "only shown; the filters are the server's to apply")]
fn since(time: Timestamp) -> Duration {
    between(time, Timestamp::from(SystemTime::now()))
}

/// From one moment to a later one; zero if it is not later.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    let nanos = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let span = u64::try_from(nanos(to) - nanos(from)).unwrap_or(0);
    Duration::from_nanos(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_as_words() {
        let metadata =
            [("a", "1"), ("b", "two words"), ("c", ""), ("d", "say \"x\""), ("e", "\u{202e}")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            metadata_words(&metadata.into()),
            "a=1 b=\"two words\" c=\"\" d=\"say \\\"x\\\"\" e=\\u{202e}",
        );
    }

    #[test]
    fn spans_between_times_are_never_negative() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(between(time(1, 999_999_999), time(3, 0)), Duration::new(1, 1));
        assert_eq!(between(time(3, 0), time(1, 0)), Duration::ZERO);
    }

    #[test]
    fn tables_show_times_to_the_second() {
        assert_eq!(seconds(Timestamp { seconds: 0, nanos: 5 }), "1970-01-01T00:00:00Z");
    }
}
