//! `lockctl watch`: what happens to locks, as it happens.

use lock_client::{WatchEvent, WatchFilter};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::client;
use crate::{
    args::{Global, WatchArgs},
    exit,
    failure::{Failure, away, explained},
    output::{self, Output},
};

pub(super) async fn execute(
    global: &Global,
    args: &WatchArgs,
    output: Output,
) -> Result<u8, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new("FAILED", format!("cannot listen for signals: {error}")))?;
    let mut watch = client(global)?.watch(filter(args));
    // An address where nobody is should not look like a lock that nobody takes.
    let first_by = Instant::now() + global.timeout;
    let (mut heard, mut why) = (false, (None, "nothing was heard".to_owned()));
    loop {
        let event = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(exit::OK),
            event = watch.next_event() => event,
            () = sleep_until(first_by), if !heard => return Err(unheard(why)),
        };
        match event {
            Some(Ok(WatchEvent::Interrupted { reason, message })) if !heard => {
                why = (reason, message);
            }
            Some(Ok(event)) => {
                heard = true;
                tell(&event, output)?;
            }
            Some(Err(error)) => return Err(explained(error)),
            // It ends with an error alone.
            None => return Ok(exit::OK),
        }
    }
}

fn tell(event: &WatchEvent, output: Output) -> Result<(), Failure> {
    if let WatchEvent::Interrupted { message, .. } = event {
        output.note(&format!("interrupted: {message}; what happens until it goes on is not told"));
    }
    let text = |style| output::watch_event_line(event, style);
    Ok(output.line(|| output::watch_event_to_json(event), text)?)
}

/// A server that gives a reason did answer.
fn unheard((reason, message): (Option<String>, String)) -> Failure {
    let words = match reason {
        Some(_) => "the lock service is not available",
        None => "no answer from the lock service",
    };
    let reason = reason.unwrap_or_else(|| "UNAVAILABLE".to_owned());
    let message = format!("{words}: {message}");
    let away = away(&message);
    Failure::unavailable(reason, message, away)
}

fn filter(args: &WatchArgs) -> WatchFilter {
    let mut filter = match (&args.resource, &args.resource_type) {
        (Some(resource), _) => WatchFilter::resource(resource),
        (None, Some(resource_type)) => WatchFilter::resource_type(resource_type),
        (None, None) => WatchFilter::all(),
    };
    if let Some(prefix) = &args.prefix {
        filter = filter.id_prefix(prefix);
    }
    match args.renewals {
        true => filter.include_renewals(),
        false => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_say_what_is_watched() {
        let none = WatchArgs { resource: None, resource_type: None, prefix: None, renewals: false };
        assert_eq!(filter(&none), WatchFilter::all());
        let some = WatchArgs {
            resource_type: Some("plan".to_owned()),
            prefix: Some("a".to_owned()),
            renewals: true,
            ..none
        };
        let expected = WatchFilter::resource_type("plan").id_prefix("a").include_renewals();
        assert_eq!(filter(&some), expected);
        let resource = lock_client::Resource::new("plan", "42");
        let one = WatchArgs {
            resource: Some(resource.clone()),
            resource_type: None,
            prefix: None,
            renewals: false,
        };
        assert_eq!(filter(&one), WatchFilter::resource(resource));
    }
}
