//! What a watch tells, an object or a line for each event.

use lock_client::{Lock, LockChange, WatchEvent};
use serde_json::{Value, json};
use service_kit::cli::{Style, escape::escaped, time::seconds};

use super::lock::to_json;

/// As wide as the longest word for an event.
const WIDTH: usize = "force-released".len();

/// For programs: the fields of `lock.v1.WatchResponse`, under their names there;
/// an interruption, which is none of these, beside them.
pub(crate) fn watch_event_to_json(event: &WatchEvent) -> Value {
    let lock = match event {
        WatchEvent::Interrupted { reason, message } => {
            return json!({"kind": "INTERRUPTED", "reason": reason, "message": message});
        }
        WatchEvent::Snapshot(lock) | WatchEvent::Changed { lock, .. } => Some(to_json(lock)),
        _ => None,
    };
    json!({"kind": kind_name(event), "lock": lock})
}

fn kind_name(event: &WatchEvent) -> &'static str {
    match event {
        WatchEvent::Snapshot(_) => "LOCK_EVENT_KIND_SNAPSHOT",
        WatchEvent::SnapshotComplete => "LOCK_EVENT_KIND_SNAPSHOT_COMPLETE",
        WatchEvent::Progress => "LOCK_EVENT_KIND_PROGRESS",
        WatchEvent::Changed { change, .. } => match change {
            LockChange::Acquired => "LOCK_EVENT_KIND_ACQUIRED",
            LockChange::Renewed => "LOCK_EVENT_KIND_RENEWED",
            LockChange::Released => "LOCK_EVENT_KIND_RELEASED",
            LockChange::Expired => "LOCK_EVENT_KIND_EXPIRED",
            LockChange::TakenOver => "LOCK_EVENT_KIND_TAKEN_OVER",
            LockChange::ForceReleased => "LOCK_EVENT_KIND_FORCE_RELEASED",
            LockChange::Purged => "LOCK_EVENT_KIND_PURGED",
            _ => "LOCK_EVENT_KIND_UNSPECIFIED",
        },
        _ => "LOCK_EVENT_KIND_UNSPECIFIED",
    }
}

/// For people: none for what says no more than that all is well.
pub(crate) fn watch_event_line(event: &WatchEvent, style: Style) -> Option<String> {
    match event {
        WatchEvent::Snapshot(lock) => Some(line("held", style.good("held"), lock, true)),
        WatchEvent::SnapshotComplete => Some("-- these are held; from now on:".to_owned()),
        WatchEvent::Changed { change, lock } => {
            let word = change.to_string();
            let painted = match change {
                LockChange::Acquired => style.good(&word),
                LockChange::Expired | LockChange::TakenOver => style.warning(&word),
                LockChange::ForceReleased => style.bad(&word),
                _ => word.clone(),
            };
            Some(line(&word, painted, lock, change.is_held_after()))
        }
        _ => None,
    }
}

fn line(word: &str, painted: String, lock: &Lock, held: bool) -> String {
    let padding = " ".repeat(WIDTH.saturating_sub(word.len()));
    let (resource, owner) = (escaped(&lock.resource.to_string()), escaped(&lock.owner_id));
    let mut line =
        format!("{painted}{padding}  {resource}  owner {owner}  token {}", lock.fencing_token);
    if held {
        line.push_str(&format!("  until {}", seconds(lock.expire_time)));
    }
    if lock.queue_length > 0 {
        line.push_str(&format!("  {} in line", lock.queue_length));
    }
    line
}

#[cfg(test)]
mod tests {
    use proto::lock::v1 as wire;

    use super::*;

    fn lock(queue_length: u64) -> Lock {
        Lock::from(wire::Lock {
            resource: Some(lock_client::Resource::new("plan", "a\u{202e}")),
            owner_id: "me".to_owned(),
            fencing_token: 7,
            queue_length,
            ..wire::Lock::default()
        })
    }

    #[test]
    fn programs_read_the_contract_s_own_words() {
        use wire::LockEventKind as Kind;
        for (change, kind) in [
            (LockChange::Acquired, Kind::Acquired),
            (LockChange::Renewed, Kind::Renewed),
            (LockChange::Released, Kind::Released),
            (LockChange::Expired, Kind::Expired),
            (LockChange::TakenOver, Kind::TakenOver),
            (LockChange::ForceReleased, Kind::ForceReleased),
            (LockChange::Purged, Kind::Purged),
        ] {
            let event = WatchEvent::Changed { change, lock: lock(0) };
            let json = watch_event_to_json(&event);
            assert_eq!(json["kind"], kind.as_str_name());
            assert_eq!(json["lock"]["fencing_token"], 7);
        }
        for (event, kind) in [
            (WatchEvent::Snapshot(lock(0)), Kind::Snapshot),
            (WatchEvent::SnapshotComplete, Kind::SnapshotComplete),
            (WatchEvent::Progress, Kind::Progress),
        ] {
            assert_eq!(watch_event_to_json(&event)["kind"], kind.as_str_name());
        }
        let gone = WatchEvent::Interrupted { reason: None, message: "gone".to_owned() };
        let expected = json!({"kind": "INTERRUPTED", "reason": null, "message": "gone"});
        assert_eq!(watch_event_to_json(&gone), expected);
    }

    #[test]
    fn people_read_a_line_for_each_lock() {
        let line = |event| watch_event_line(&event, Style::plain());
        let held = line(WatchEvent::Snapshot(lock(2))).unwrap();
        let expected = "held            plan/a\\u{202e}  owner me  token 7  \
                        until 1970-01-01T00:00:00Z  2 in line";
        assert_eq!(held, expected);
        let released = WatchEvent::Changed { change: LockChange::Released, lock: lock(0) };
        let expected = "released        plan/a\\u{202e}  owner me  token 7";
        assert_eq!(line(released).unwrap(), expected);
        assert_eq!(line(WatchEvent::Progress), None);
    }
}
