//! What went wrong, for people, for programs and for the exit code.

use std::{collections::BTreeMap, io};

use lock_client::{ClientError, Conflict, Deadlock, ForcedRelease, NotHeld};
use serde_json::{Value, json};

use crate::{
    escape::{escaped, shell_word},
    exit,
    output::{metadata_words, span},
};

/// In milliseconds: an attempt that had less, because the time for all of them
/// was over, says nothing of the server.
const CUT_SHORT: u64 = 50;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// Nothing is left to say: whoever read the output has gone.
    pub(crate) silent: bool,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    /// For people: more lines, and what one can do next.
    explanation: String,
}

impl Failure {
    /// A failure with no exit code of its own.
    pub(crate) fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: exit::FAILURE,
            silent: false,
            reason: reason.into(),
            message: message.into(),
            metadata: BTreeMap::new(),
            explanation: String::new(),
        }
    }

    /// The arguments make no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("INVALID_ARGUMENTS", message).with_code(exit::USAGE)
    }

    /// With this exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// With a changing word of the message, for programs.
    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// With by whom and why the lock was broken, if it was, for programs.
    pub(crate) fn with_forced(self, forced: Option<&ForcedRelease>) -> Self {
        match forced {
            Some(ForcedRelease { released_by, release_reason, .. }) => {
                self.with("released_by", released_by).with("release_reason", release_reason)
            }
            None => self,
        }
    }

    /// With what one can do next.
    pub(crate) fn with_advice(mut self, advice: impl AsRef<str>) -> Self {
        if !self.explanation.is_empty() {
            self.explanation.push('\n');
        }
        self.explanation.push_str(advice.as_ref());
        self
    }

    /// Says which servers were asked, if that is what went wrong, and what may
    /// have been done all the same.
    pub(crate) fn at(self, addresses: &[String], in_doubt: Option<String>) -> Self {
        if self.code != exit::UNAVAILABLE {
            return self;
        }
        let addresses = addresses.join(", ");
        let failure = self.with_asked(&addresses).with("addresses", addresses);
        match in_doubt {
            Some(advice) => failure.in_doubt(advice),
            None => failure,
        }
    }

    /// Says what may have been done, if it may have been.
    pub(crate) fn in_doubt(self, advice: impl AsRef<str>) -> Self {
        match self.code {
            exit::UNAVAILABLE if self.may_be_done() => self.with_advice(advice),
            _ => self,
        }
    }

    fn with_asked(self, addresses: &str) -> Self {
        let advice = match self.reason.as_str() {
            "STORE_UNAVAILABLE" => format!(
                "The server at {addresses} runs, but not the database behind it: see its log."
            ),
            "SHUTTING_DOWN" | "OVERLOADED" => {
                format!(
                    "Asked {addresses}. Try again in a moment, or name more servers with --addr."
                )
            }
            _ if self.timed_out() => format!(
                "Asked {addresses}, in vain within the time allowed: it is slow, or the network \
                 on the way to it. Allow more with --timeout, or name another address with --addr \
                 or LOCKCTL_ADDR."
            ),
            _ => format!(
                "Asked {addresses}. Is lock-server running there? Name another address with \
                 --addr or LOCKCTL_ADDR."
            ),
        };
        self.with_advice(advice)
    }

    /// The last attempt was given up, whoever was there. The client library
    /// tells that in words alone.
    fn timed_out(&self) -> bool {
        let (_, limit) = self.message.rsplit_once(": no answer within ").unwrap_or_default();
        let limit = limit.strip_suffix(" ms").and_then(|limit| limit.parse::<u64>().ok());
        limit.is_some_and(|limit| limit >= CUT_SHORT)
    }

    /// Whether the call may have been carried out: not where nobody was there
    /// to do it, nor where the server says that it did not begin.
    fn may_be_done(&self) -> bool {
        match self.reason.as_str() {
            "SHUTTING_DOWN" | "OVERLOADED" => false,
            _ => !self.message.contains("connect error"),
        }
    }

    /// For programs: as an error, or as a warning beside what was done.
    pub(crate) fn to_json(&self, kind: &str) -> Value {
        json!({kind: {
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
        }})
    }

    /// For people: what is wrong, then what is known about it.
    pub(crate) fn to_text(&self) -> (&str, &str) {
        (&self.message, &self.explanation)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        let reason = error.reason().map(str::to_owned);
        match error {
            ClientError::Conflict(conflict) => from_conflict(&conflict),
            ClientError::Expired { resource, expire_time, .. } => {
                let time = expire_time.map(|time| time.to_string()).unwrap_or_default();
                Self::named(reason, message, exit::LOST)
                    .with("resource", resource.to_string())
                    .with("expire_time", time)
                    // The server's own words end with what to do.
                    .with_advice("What it protects may have changed meanwhile.")
            }
            ClientError::NotHeld(not_held) => from_not_held(&not_held),
            ClientError::Deadlock(deadlock) => from_deadlock(&deadlock),
            ClientError::WaitCancelled { resource, .. } => {
                Self::named(reason, message, exit::WAIT_CANCELLED)
                    .with("resource", resource.to_string())
                    .with_advice("Somebody meant this owner to be done: see who acts for it.")
            }
            ClientError::NotFound { resource, .. } => {
                Self::named(reason, message, exit::FREE).with("resource", resource.to_string())
            }
            ClientError::Lost(_) => Self::named(reason, message, exit::LOST),
            ClientError::Unavailable { .. } => Self::named(reason, message, exit::UNAVAILABLE),
            ClientError::Invalid { violations, .. } => {
                let fields = violations.into_iter().map(|one| (one.field, one.description));
                let mut failure = Self::named(reason, message, exit::USAGE);
                failure.metadata.extend(fields);
                failure
            }
            _ => Self::named(reason, message, exit::FAILURE),
        }
    }
}

impl From<io::Error> for Failure {
    /// Standard output takes no more.
    fn from(error: io::Error) -> Self {
        let failure = Self::new("FAILED", format!("cannot write the answer: {error}"));
        match error.kind() {
            // Whoever read it, `head` say, had enough.
            io::ErrorKind::BrokenPipe => Self { silent: true, ..failure.with_code(exit::OK) },
            _ => failure,
        }
    }
}

impl Failure {
    fn named(reason: Option<String>, message: String, code: u8) -> Self {
        let reason = reason.unwrap_or_else(|| {
            let word = match code {
                exit::UNAVAILABLE => "UNAVAILABLE",
                exit::LOST => "LEASE_LOST",
                _ => "FAILED",
            };
            word.to_owned()
        });
        Self::new(reason, message).with_code(code)
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
        .with("resource", resource)
        .with_forced(not_held.forced.as_deref());
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
    failure.with_advice(hold_card(conflict)).with_advice(
        "Try again later, or wait in line with --wait: it is free when its holder releases it, \
         or when it expires unless its holder renews it.",
    )
}

/// What is known of the hold that is in the way.
fn hold_card(conflict: &Conflict) -> String {
    let mut lines = Vec::new();
    if let Some(since) = conflict.acquire_time {
        lines.push(format!("  since     {since}"));
    }
    let left = span::human(conflict.remaining);
    lines.push(match conflict.expire_time {
        Some(expires) => format!("  expires   {expires} (in {left})"),
        None => format!("  expires   in {left}"),
    });
    if conflict.queue_length > 0 {
        lines.push(format!("  waiting   {}", conflict.queue_length));
    }
    if !conflict.metadata.is_empty() {
        lines.push(format!("  metadata  {}", metadata_words(&conflict.metadata)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.silent);
        assert_eq!(failure.code, exit::OK);
        let failure = Failure::from(io::Error::other("disk full"));
        assert!(!failure.silent);
        assert_eq!(failure.code, exit::FAILURE);
    }

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
            let failure = Failure::from(unavailable(reason, message));
            let failure = failure.at(&["http://a:1".to_owned()], Some("perhaps".to_owned()));
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
            let failure = Failure::from(unavailable(reason, text)).at(&at, None);
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
