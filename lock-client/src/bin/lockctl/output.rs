//! What a command prints, of locks and of what happens to them.

mod event;
mod lock;
mod watch;

pub(crate) use service_kit::cli::{Output, StatusLine, Style, span, time::seconds};

pub(crate) use event::{event_to_json, events_table};
pub(crate) use lock::{card, held_table, stale_table, to_json};
pub(crate) use watch::{watch_event_line, watch_event_to_json};
