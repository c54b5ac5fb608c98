//! `lockctl events`: the audit trail.

use std::time::{Duration, SystemTime};

use lock_client::{Event, EventFilter, LockClient, Timestamp};
use serde_json::json;

use super::{client, page_size};
use crate::{
    args::{EventsArgs, Global},
    exit,
    failure::{Failure, explained},
    output::{self, Output, Style},
};

pub(super) async fn execute(
    global: &Global,
    args: &EventsArgs,
    output: Output,
) -> Result<u8, Failure> {
    let listing = read(&client(global)?, filter(args, now()), args.limit).await?;
    output.answer(
        || {
            let events: Vec<_> = listing.events.iter().map(output::event_to_json).collect();
            json!({"events": events, "more": listing.more})
        },
        |style| text(&listing, style),
    )?;
    Ok(exit::OK)
}

struct Listing {
    events: Vec<Event>,
    /// The limit cut some off.
    more: bool,
}

fn filter(args: &EventsArgs, now: Timestamp) -> EventFilter {
    let start_time = args.from.or(args.since.map(|since| before(now, since)));
    EventFilter { resource: args.resource.clone(), start_time, end_time: args.until }
}

/// This machine's, as the help says: no server is asked for the time.
#[expect(clippy::disallowed_methods, reason = "decides what is shown and nothing about a lock")]
fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// That long before now, or the beginning of 1970: no event is older.
fn before(now: Timestamp, span: Duration) -> Timestamp {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let nanos = now.nanos - i32::try_from(span.subsec_nanos()).expect("less than a second");
    let (borrowed, nanos) = if nanos < 0 { (1, nanos + 1_000_000_000) } else { (0, nanos) };
    match now.seconds.saturating_sub(seconds).saturating_sub(borrowed) {
        ..0 => Timestamp::default(),
        seconds => Timestamp { seconds, nanos },
    }
}

/// Page after page, to the end or the limit.
async fn read(
    client: &LockClient,
    filter: EventFilter,
    limit: Option<u64>,
) -> Result<Listing, Failure> {
    let (mut events, mut token) = (Vec::new(), String::new());
    loop {
        let size = page_size(limit, events.len());
        let page = client.list_events(filter.clone(), size, token).await.map_err(explained)?;
        events.extend(page.events);
        token = page.next_page_token;
        let more = !token.is_empty();
        if !more || limit.is_some_and(|limit| events.len() as u64 >= limit) {
            return Ok(Listing { events, more });
        }
    }
}

fn text(listing: &Listing, style: Style) -> String {
    if listing.events.is_empty() {
        return "No events.\n".to_owned();
    }
    let mut text = output::events_table(&listing.events, style);
    if listing.more {
        text.push_str("There are more: raise --limit to see them.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp { seconds: 1_000, nanos: 5 };

    #[test]
    fn a_while_ago_counts_back_from_now_to_the_nanosecond() {
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(before(NOW, Duration::from_nanos(5)), at(1_000, 0));
        assert_eq!(before(NOW, Duration::from_nanos(6)), at(999, 999_999_999));
        assert_eq!(before(NOW, Duration::new(999, 6)), at(0, 999_999_999));
        for long in [Duration::new(1_000, 6), Duration::from_secs(1_001), Duration::MAX] {
            assert_eq!(before(NOW, long), at(0, 0), "{long:?}");
        }
    }

    #[test]
    fn the_beginning_is_a_time_or_a_while_ago() {
        let none = EventsArgs { resource: None, since: None, from: None, until: None, limit: None };
        assert_eq!(filter(&none, NOW), EventFilter::default());
        let since = EventsArgs { since: Some(Duration::from_secs(10)), ..none };
        let ten_ago = Some(Timestamp { seconds: 990, nanos: 5 });
        assert_eq!(filter(&since, NOW).start_time, ten_ago);
        let from = EventsArgs { since: None, from: ten_ago, until: Some(NOW), ..since };
        let filter = filter(&from, NOW);
        assert_eq!((filter.start_time, filter.end_time), (ten_ago, Some(NOW)));
    }
}
