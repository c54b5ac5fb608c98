//! What went wrong, for people, for programs and for the exit code.

use std::{collections::BTreeMap, io};

use serde_json::{Value, json};

use super::exit;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// Nothing is left to say: whoever read the output has gone.
    pub silent: bool,
    reason: String,
    message: String,
    metadata: BTreeMap<String, Value>,
    /// For people: more lines, and what one can do next.
    explanation: String,
    away: Away,
}

/// What is known of a call that was not answered. Nothing, unless the failure is
/// one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Away {
    /// It was given up because its time was over.
    pub timed_out: bool,
    /// It was sent, so that it may have been carried out.
    pub sent: bool,
}

/// The server that a command line asks, in the words of its users.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// `lock-server`
    pub name: &'static str,
    /// The variable that names its address.
    pub variable: &'static str,
    /// Whether `--addr` takes several.
    pub several: bool,
}

impl Failure {
    /// A failure with no exit code of its own.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: exit::FAILURE,
            silent: false,
            reason: reason.into(),
            message: message.into(),
            metadata: BTreeMap::new(),
            explanation: String::new(),
            away: Away::default(),
        }
    }

    /// The arguments make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("INVALID_ARGUMENTS", message).with_code(exit::USAGE)
    }

    /// A call was not answered, or answered with that nobody can carry it out
    /// now.
    pub fn unavailable(reason: impl Into<String>, message: impl Into<String>, away: Away) -> Self {
        Self { away, ..Self::new(reason, message).with_code(exit::UNAVAILABLE) }
    }

    /// With this exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// With a changing word of the message, for programs.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<String>) -> Self {
        self.with_value(key, Value::String(value.into()))
    }

    /// With something that is more than a word, a list say, for programs.
    #[must_use]
    pub fn with_value(mut self, key: &str, value: Value) -> Self {
        self.metadata.insert(key.to_owned(), value);
        self
    }

    /// With these, too.
    #[must_use]
    pub fn with_all(mut self, entries: impl IntoIterator<Item = (String, String)>) -> Self {
        self.metadata.extend(entries.into_iter().map(|(key, value)| (key, value.into())));
        self
    }

    /// With what one can do next.
    #[must_use]
    pub fn with_advice(mut self, advice: impl AsRef<str>) -> Self {
        if !self.explanation.is_empty() {
            self.explanation.push('\n');
        }
        self.explanation.push_str(advice.as_ref());
        self
    }

    /// In the program's own word.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Says which servers were asked, if that is what went wrong, and what may
    /// have been done all the same.
    #[must_use]
    pub fn at(self, server: Server, addresses: &[String], in_doubt: Option<String>) -> Self {
        if self.code != exit::UNAVAILABLE {
            return self;
        }
        let addresses = addresses.join(", ");
        let failure = self.with_asked(server, &addresses).with("addresses", addresses);
        match in_doubt {
            Some(advice) => failure.in_doubt(advice),
            None => failure,
        }
    }

    /// Says what may have been done, if it may have been.
    #[must_use]
    pub fn in_doubt(self, advice: impl AsRef<str>) -> Self {
        match self.code {
            exit::UNAVAILABLE if self.may_be_done() => self.with_advice(advice),
            _ => self,
        }
    }

    fn with_asked(self, server: Server, addresses: &str) -> Self {
        let Server { name, variable, several } = server;
        let advice = match self.reason.as_str() {
            "STORE_UNAVAILABLE" => format!(
                "The server at {addresses} runs, but not the database behind it: see its log."
            ),
            "SHUTTING_DOWN" | "OVERLOADED" => {
                let another = if several { "name more servers" } else { "name another one" };
                format!("Asked {addresses}. Try again in a moment, or {another} with --addr.")
            }
            _ if self.away.timed_out => format!(
                "Asked {addresses}, in vain within the time allowed: it is slow, or the network \
                 on the way to it. Allow more with --timeout, or name another address with --addr \
                 or {variable}."
            ),
            _ => format!(
                "Asked {addresses}. Is {name} running there? Name another address with --addr or \
                 {variable}."
            ),
        };
        self.with_advice(advice)
    }

    /// Whether the call may have been carried out: not where nobody was there
    /// to do it, nor where the server says that it did not begin.
    fn may_be_done(&self) -> bool {
        match self.reason.as_str() {
            "SHUTTING_DOWN" | "OVERLOADED" => false,
            _ => self.away.sent,
        }
    }

    /// For programs: as an error, or as a warning beside what was done.
    pub fn to_json(&self, kind: &str) -> Value {
        json!({kind: {
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
        }})
    }

    /// For people: what is wrong, then what is known about it.
    pub fn to_text(&self) -> (&str, &str) {
        (&self.message, &self.explanation)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Server = Server { name: "a-server", variable: "A_ADDR", several: false };

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.silent);
        assert_eq!(failure.code, exit::OK);
        let failure = Failure::from(io::Error::other("disk full"));
        assert!(!failure.silent);
        assert_eq!(failure.code, exit::FAILURE);
    }

    #[test]
    fn what_was_never_sent_was_not_done() {
        let at = |reason: &str, timed_out, sent| {
            let failure = Failure::unavailable(reason, "no", Away { timed_out, sent });
            let failure = failure.at(SERVER, &["http://a:1".to_owned()], Some("perhaps".into()));
            failure.to_text().1.to_owned()
        };
        let nobody = at("UNAVAILABLE", false, false);
        assert!(nobody.contains("Is a-server running there?") && nobody.contains("A_ADDR"));
        assert!(!nobody.contains("perhaps"), "{nobody}");
        assert!(at("UNAVAILABLE", true, true).contains("--timeout"));
        for (reason, in_doubt) in [("STORE_UNAVAILABLE", true), ("SHUTTING_DOWN", false)] {
            assert_eq!(at(reason, false, true).contains("perhaps"), in_doubt, "{reason}");
        }
    }

    #[test]
    fn programs_get_words_and_lists() {
        let failure = Failure::usage("x").with("a", "1").with_value("files", json!(["b", "c"]));
        let failure = failure.with_all([("d".to_owned(), "2".to_owned())]);
        let expected = json!({"a": "1", "d": "2", "files": ["b", "c"]});
        assert_eq!(failure.to_json("error")["error"]["metadata"], expected);
    }

    #[test]
    fn other_failures_name_no_address() {
        let failure = Failure::usage("x").at(SERVER, &["http://a:1".to_owned()], None);
        assert_eq!(failure.to_text(), ("x", ""));
        assert_eq!(failure.to_json("error")["error"]["metadata"], json!({}));
    }
}
