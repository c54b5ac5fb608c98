//! The audit trail, as JSON objects and as rows of a table.

use lock_client::{Event, EventKind};
use serde_json::{Value, json};
use service_kit::cli::{
    Style,
    escape::escaped,
    table::{Cell, Table},
    time::seconds,
};

/// For programs: the fields of `lock.v1.AuditEvent`, under their names there;
/// null for what an event does not speak of.
pub(crate) fn event_to_json(event: &Event) -> Value {
    let resource = event.resource.as_ref();
    json!({
        "event_id": event.event_id,
        "event_time": event.event_time.to_string(),
        "kind": kind_name(event.kind),
        "resource": resource.map(|resource| json!({"type": resource.r#type, "id": resource.id})),
        "owner_id": event.owner_id,
        "fencing_token": event.fencing_token,
        "actor": event.actor,
        "reason": event.reason,
        "count": event.count,
    })
}

fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::TakenOver => "AUDIT_EVENT_KIND_TAKEN_OVER",
        EventKind::ForceReleased => "AUDIT_EVENT_KIND_FORCE_RELEASED",
        EventKind::ForceReleaseRefused => "AUDIT_EVENT_KIND_FORCE_RELEASE_REFUSED",
        EventKind::Purged => "AUDIT_EVENT_KIND_PURGED",
        _ => "AUDIT_EVENT_KIND_UNSPECIFIED",
    }
}

/// For people.
pub(crate) fn events_table(events: &[Event], style: Style) -> String {
    let mut table =
        Table::new(["TIME", "EVENT", "RESOURCE", "OWNER", "TOKEN", "LOCKS", "BY", "REASON"]);
    for event in events {
        table.push(vec![
            seconds(event.event_time).into(),
            kind_cell(event.kind),
            event.resource.as_ref().map_or_else(nothing, |it| escaped(&it.to_string())).into(),
            event.owner_id.as_deref().map_or_else(nothing, escaped).into(),
            event.fencing_token.map_or_else(nothing, |token| token.to_string()).into(),
            event.count.to_string().into(),
            escaped(&event.actor).into(),
            event.reason.as_deref().map(escaped).unwrap_or_default().into(),
        ]);
    }
    table.render(style)
}

/// Holds the place in a column that an event has nothing for.
fn nothing() -> String {
    "-".to_owned()
}

fn kind_cell(kind: EventKind) -> Cell {
    let word = kind.to_string();
    match kind {
        EventKind::ForceReleased => Cell::painted(word, Style::warning),
        EventKind::ForceReleaseRefused => Cell::painted(word, Style::bad),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_the_contract_s_own_words() {
        use proto::lock::v1::AuditEventKind as Wire;
        for kind in [
            Wire::Unspecified,
            Wire::TakenOver,
            Wire::ForceReleased,
            Wire::ForceReleaseRefused,
            Wire::Purged,
        ] {
            assert_eq!(kind_name(kind.into()), kind.as_str_name());
        }
    }
}
