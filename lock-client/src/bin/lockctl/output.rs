//! What a command prints: an answer on standard output, for people or for
//! programs, and what went wrong on standard error.

mod event;
mod lock;
pub(crate) mod span;
mod status;
mod style;
mod table;
mod watch;

use std::io::{self, Write as _};

use serde_json::Value;

use crate::{args::Format, escape, failure::Failure};

pub(crate) use event::{event_to_json, events_table};
pub(crate) use lock::{card, held_table, metadata_words, seconds, stale_table, to_json};
pub(crate) use status::StatusLine;
pub(crate) use style::Style;
pub(crate) use watch::{watch_event_line, watch_event_to_json};

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// In this format.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints an answer; only the rendering that is asked for is made.
    pub(crate) fn answer(
        self,
        document: impl FnOnce() -> Value,
        text: impl FnOnce(Style) -> String,
    ) -> io::Result<()> {
        let text = match self.format {
            Format::Json => escape::json(&format!("{:#}\n", document())),
            Format::Table => text(Style::of(&io::stdout())),
        };
        to_stdout(&text)
    }

    /// Prints one of many answers, on a line of its own. People may have no use for
    /// it.
    pub(crate) fn line(
        self,
        document: impl FnOnce() -> Value,
        text: impl FnOnce(Style) -> Option<String>,
    ) -> io::Result<()> {
        match self.format {
            Format::Json => to_stdout(&escape::json(&format!("{}\n", document()))),
            Format::Table => match text(Style::of(&io::stdout())) {
                Some(text) => to_stdout(&format!("{text}\n")),
                None => Ok(()),
            },
        }
    }

    /// A line that tells people how things stand. Programs have no use for it.
    pub(crate) fn status_line(self) -> Option<StatusLine> {
        (self.format == Format::Table).then(StatusLine::new)
    }

    /// Shows people what the answer will be about. Programs get the answer alone.
    pub(crate) fn preview(self, text: impl FnOnce(Style) -> String) -> io::Result<()> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => to_stdout(&text(Style::of(&io::stdout()))),
        }
    }

    /// Shows somebody at a terminal what this is about and asks whether to go
    /// on: yes is what says so, and nothing else is.
    pub(crate) fn confirm(
        self,
        about: impl FnOnce(Style) -> String,
        question: &str,
    ) -> io::Result<bool> {
        let mut stderr = io::stderr();
        // Standard output is for the answer, and may be a file.
        write!(stderr, "{}\n{} [y/N] ", about(Style::of(&stderr)), escape::message(question))?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(is_yes(&line))
    }

    /// Says what went wrong, and gives the exit code for it.
    pub(crate) fn failure(self, failure: &Failure) -> u8 {
        if failure.silent {
            return failure.code;
        }
        let text = match self.format {
            Format::Json => escape::json(&failure.to_json("error").to_string()),
            Format::Table => {
                let (message, explanation) = failure.to_text();
                let style = Style::of(&io::stderr());
                let mut text = format!("{} {}", style.bad("error:"), escape::message(message));
                if !explanation.is_empty() {
                    text = format!("{text}\n{}", escape::message(explanation));
                }
                text
            }
        };
        to_stderr(&text);
        failure.code
    }

    /// Says what went wrong by the way, which the exit code does not tell.
    pub(crate) fn warning(self, warning: &Failure) {
        match self.format {
            Format::Json => to_stderr(&escape::json(&warning.to_json("warning").to_string())),
            Format::Table => self.note(warning.to_text().0),
        }
    }

    /// Tells people something by the way. Programs have no use for it.
    pub(crate) fn note(self, text: &str) {
        if self.format == Format::Table {
            to_stderr(&format!("lockctl: {}", escape::message(text)));
        }
    }
}

fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn to_stderr(text: &str) {
    // Nobody is left to tell when the stream is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

fn is_yes(line: &str) -> bool {
    ["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for line in ["y\n", "Y", " yes \r\n", "YES"] {
            assert!(is_yes(line), "{line:?}");
        }
        // The end of the input, too.
        for line in ["", "\n", "n", "no", "yy", "yes please", "ja"] {
            assert!(!is_yes(line), "{line:?}");
        }
    }
}
