//! What went wrong, for people, for programs and for the exit code.

use lock_client::{ClientError, Conflict, Deadlock, ForcedRelease, NotHeld};
use service_kit::cli::{Away, Server, hold::Hold};

use crate::{
    escape::{escaped, shell_word},
    exit,
};

pub(crate) use service_kit::cli::Failure;

/// In milliseconds: an attempt that had less, because the time for all of them
/// was over, says nothing of the server.
const CUT_SHORT: u64 = 50;

/// The server that is asked.
pub(crate) const SERVER: Server =
    Server { name: "lock-server", variable: "LOCKCTL_ADDR", several: true };

/// What the client library tells, in the words of `lockctl`.
pub(crate) fn explained(error: ClientError) -> Failure {
    let message = error.to_string();
    let reason = error.reason().map(str::to_owned);
    match error {
        ClientError::Conflict(conflict) => from_conflict(&conflict),
        ClientError::Expired { resource, expire_time, .. } => {
            let time = expire_time.map(|time| time.to_string()).unwrap_or_default();
            named(reason, message, exit::LOST)
                .with("resource", resource.to_string())
                .with("expire_time", time)
                // The server's own words end with what to do.
                .with_advice("What it protects may have changed meanwhile.")
        }
        ClientError::NotHeld(not_held) => from_not_held(&not_held),
        ClientError::Deadlock(deadlock) => from_deadlock(&deadlock),
        ClientError::WaitCancelled { resource, .. } => named(reason, message, exit::WAIT_CANCELLED)
            .with("resource", resource.to_string())
            .with_advice("Somebody meant this owner to be done: see who acts for it."),
        ClientError::NotFound { resource, .. } => {
            named(reason, message, exit::FREE).with("resource", resource.to_string())
        }
        ClientError::Lost(_) => named(reason, message, exit::LOST),
        ClientError::Unavailable { .. } => named(reason, message, exit::UNAVAILABLE),
        ClientError::Invalid { violations, .. } => {
            let fields = violations.into_iter().map(|one| (one.field, one.description));
            named(reason, message, exit::USAGE).with_all(fields)
        }
        _ => named(reason, message, exit::FAILURE),
    }
}

fn named(reason: Option<String>, message: String, code: u8) -> Failure {
    let reason = reason.unwrap_or_else(|| {
        let word = match code {
            exit::UNAVAILABLE => "UNAVAILABLE",
            exit::LOST => "LEASE_LOST",
            _ => "FAILED",
        };
        word.to_owned()
    });
    match code {
        exit::UNAVAILABLE => {
            let away = away(&message);
            Failure::unavailable(reason, message, away)
        }
        code => Failure::new(reason, message).with_code(code),
    }
}

/// What became of the last attempt: the client library tells that in words
/// alone.
pub(crate) fn away(message: &str) -> Away {
    let (_, limit) = message.rsplit_once(": no answer within ").unwrap_or_default();
    let limit = limit.strip_suffix(" ms").and_then(|limit| limit.parse::<u64>().ok());
    Away {
        timed_out: limit.is_some_and(|limit| limit >= CUT_SHORT),
        sent: !message.contains("connect error"),
    }
}

/// With by whom and why the lock was broken, if it was, for programs.
pub(crate) fn with_forced(failure: Failure, forced: Option<&ForcedRelease>) -> Failure {
    match forced {
        Some(ForcedRelease { released_by, release_reason, .. }) => {
            failure.with("released_by", released_by).with("release_reason", release_reason)
        }
        None => failure,
    }
}

/// The server's own words name the holder, if there is another one.
fn from_not_held(not_held: &NotHeld) -> Failure {
    let resource = not_held.resource.to_string();
    let get = format!("`lockctl get {}`", shell_word(&resource));
    // The server shortens what it quotes, and a reason may be longer.
    let message = match &not_held.forced {
        Some(forced) => {
            let broken = broken(forced, not_held.holder.as_deref());
            format!("{} is not held any more: {broken}", escaped(&resource))
        }
        None => not_held.message.clone(),
    };
    let mut failure = Failure::new(proto::reason::LOCK_NOT_HELD, message)
        .with_code(exit::LOST)
        .with("resource", resource);
    failure = with_forced(failure, not_held.forced.as_deref());
    if not_held.retried && not_held.forced.is_none() {
        failure = failure
            .with_advice("An attempt before the last got no answer: it may have ended the lease.");
    }
    match (&not_held.holder, &not_held.forced) {
        (Some(holder), _) => failure
            .with("holder", holder)
            .with_advice(format!("{get} shows since when and until when.")),
        (None, Some(_)) => failure
            .with_advice("What it protects may have changed meanwhile: look before going on."),
        // The server names only others: the owner itself may hold it, under
        // another token.
        (None, None) => failure.with_advice(format!(
            "Nobody else holds it: acquire it. If this owner holds it under another token, {get} \
             shows which."
        )),
    }
}

/// By whom and why a lock was broken, and who has it since.
pub(crate) fn broken(forced: &ForcedRelease, holder: Option<&str>) -> String {
    let ForcedRelease { released_by, release_reason, .. } = forced;
    let since = holder.map(|holder| format!(", and {} holds it now", escaped(holder)));
    format!(
        "{} released it by force: {}{}",
        escaped(released_by),
        quoted(release_reason),
        since.unwrap_or_default(),
    )
}

/// Words of somebody else's, with their beginning and end.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\\""))
}

/// The circle on lines of its own: the server shortens what it quotes in its
/// words.
fn from_deadlock(deadlock: &Deadlock) -> Failure {
    let resource = deadlock.resource.to_string();
    let message =
        format!("waiting for {} would close a circle that never ends", escaped(&resource));
    let mut failure = Failure::new(proto::reason::DEADLOCK, message)
        .with_code(exit::DEADLOCK)
        .with("resource", resource)
        .with("cycle", &deadlock.cycle);
    if !deadlock.cycle.is_empty() {
        failure = failure.with_advice(format!("  {}", escaped(&deadlock.cycle)));
    }
    failure.with_advice(
        "Each owner waits for what the next one holds. Give back what this owner holds, and take \
         locks in the same order everywhere.",
    )
}

/// Each thing once: who in the headline, the rest below it.
fn from_conflict(conflict: &Conflict) -> Failure {
    let (resource, holder) = (conflict.resource.to_string(), &conflict.holder);
    let time = |time: Option<lock_client::Timestamp>| {
        time.map(|time| time.to_string()).unwrap_or_default()
    };
    let message = format!("{} is held by {}", escaped(&resource), escaped(holder));
    let mut failure = Failure::new(proto::reason::LOCK_CONFLICT, message)
        .with_code(exit::CONFLICT)
        .with("resource", resource)
        .with("holder", holder)
        .with("acquire_time", time(conflict.acquire_time))
        .with("expire_time", time(conflict.expire_time))
        .with("remaining_ms", conflict.remaining.as_millis().to_string())
        .with("queue_length", conflict.queue_length.to_string());
    for (key, value) in &conflict.metadata {
        failure = failure.with(&format!("holder.{key}"), value);
    }
    let hold = Hold {
        since: conflict.acquire_time.map(|time| time.to_string()),
        expires: conflict.expire_time.map(|time| time.to_string()),
        remaining: conflict.remaining,
        queue_length: conflict.queue_length,
        metadata: conflict.metadata.clone(),
    };
    failure.with_advice(hold.lines()).with_advice(
        "Try again later, or wait in line with --wait: it is free when its holder releases it, \
         or when it expires unless its holder renews it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(reason: Option<&str>, message: &str) -> ClientError {
        let (reason, message) = (reason.map(str::to_owned), message.to_owned());
        ClientError::Unavailable { reason, message, attempts: 1 }
    }

    #[test]
    fn a_call_that_may_be_done_is_said_to_be() {
        for (reason, message, in_doubt) in [
            (None, "no answer within 200 ms", true),
            (None, "transport error: broken pipe", true),
            (Some("STORE_UNAVAILABLE"), "the database went away", true),
            (None, "tcp connect error: Connection refused", false),
            (Some("SHUTTING_DOWN"), "stopping", false),
        ] {
            let failure = explained(unavailable(reason, message));
            let failure =
                failure.at(SERVER, &["http://a:1".to_owned()], Some("perhaps".to_owned()));
            let (_, explanation) = failure.to_text();
            assert_eq!(explanation.contains("perhaps"), in_doubt, "{message}: {explanation}");
        }
    }

    #[test]
    fn a_reason_cannot_end_before_its_end() {
        assert_eq!(quoted("say \"x\"\u{202e}\\"), "\"say \\\"x\\\"\\u{202e}\\\\\"");
    }

    #[test]
    fn an_unavailable_server_is_named() {
        let at = ["http://a:1".to_owned(), "http://b:2".to_owned()];
        let answered = "the lock service is not available: no";
        let unanswered = "no answer from the lock service";
        for (reason, text, start, word) in [
            (None, "no", unanswered, "Is lock-server running there?"),
            (None, "no answer within 3 ms", unanswered, "Is lock-server running there?"),
            (None, "no answer within 200 ms", unanswered, "--timeout"),
            (Some("STORE_UNAVAILABLE"), "no", answered, "database"),
            (Some("OVERLOADED"), "no", answered, "in a moment"),
        ] {
            let failure = explained(unavailable(reason, text)).at(SERVER, &at, None);
            assert_eq!(failure.code, exit::UNAVAILABLE);
            let (message, explanation) = failure.to_text();
            assert!(message.starts_with(start), "{message}");
            assert!(explanation.contains(word), "{explanation}");
            assert!(explanation.contains("http://a:1, http://b:2"), "{explanation}");
            let json = failure.to_json("error");
            assert_eq!(json["error"]["reason"], reason.unwrap_or("UNAVAILABLE"));
        }
    }
}
