//! Locks, as a JSON object, as rows of a table, and one by itself on a card.

use std::time::Duration;

use lock_client::Lock;
use serde_json::{Value, json};
use service_kit::cli::{
    Style,
    escape::escaped,
    hold::words,
    span,
    table::{Cell, Table},
    time::{between, seconds, since},
};

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
        lines.push(("metadata", words(&lock.metadata)));
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
            words(&lock.metadata).into(),
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
            words(&lock.metadata).into(),
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

/// How long the lock had been held when the server answered, all of it by the
/// database's clock.
fn held_for(lock: &Lock) -> Duration {
    between(lock.acquire_time, lock.expire_time).saturating_sub(lock.remaining)
}
