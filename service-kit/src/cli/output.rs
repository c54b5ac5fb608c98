//! What a command prints: an answer on standard output, for people or for
//! programs, and what went wrong on standard error.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use super::{Failure, StatusLine, Style, escape, exit};

/// How answers are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text in columns, for people.
    #[default]
    Table,
    /// One JSON document, for programs.
    Json,
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    program: &'static str,
    format: Format,
}

impl Output {
    /// Of this program, in this format.
    pub fn new(program: &'static str, format: Format) -> Self {
        Self { program, format }
    }

    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints an answer; only the rendering that is asked for is made.
    pub fn answer(
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
    pub fn line(
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
    pub fn status_line(self) -> Option<StatusLine> {
        (self.format == Format::Table).then(|| StatusLine::new(self.program))
    }

    /// Shows people what the answer will be about. Programs get the answer alone.
    pub fn preview(self, text: impl FnOnce(Style) -> String) -> io::Result<()> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => to_stdout(&text(Style::of(&io::stdout()))),
        }
    }

    /// Shows somebody at a terminal what this is about and asks whether to go
    /// on: yes is what says so, and nothing else is.
    pub fn confirm(self, about: impl FnOnce(Style) -> String, question: &str) -> io::Result<bool> {
        let mut stderr = io::stderr();
        // Standard output is for the answer, and may be a file.
        write!(stderr, "{}\n{} [y/N] ", about(Style::of(&stderr)), escape::message(question))?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(is_yes(&line))
    }

    /// Says what went wrong, and gives the exit code for it.
    pub fn failure(self, failure: &Failure) -> u8 {
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
    pub fn warning(self, warning: &Failure) {
        match self.format {
            Format::Json => to_stderr(&escape::json(&warning.to_json("warning").to_string())),
            Format::Table => self.note(warning.to_text().0),
        }
    }

    /// Tells people something by the way. Programs have no use for it.
    pub fn note(self, text: &str) {
        if self.format == Format::Table {
            to_stderr(&format!("{}: {}", self.program, escape::message(text)));
        }
    }
}

/// Shows help, the version, or what is wrong with the arguments. The exit code.
pub fn not_parsed(program: &'static str, error: &clap::Error) -> u8 {
    if error.use_stderr() && wants_json(std::env::args().skip(1)) {
        let text = error.render().to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return Output::new(program, Format::Json).failure(&Failure::usage(message));
    }
    // Nobody is left to tell when the stream is closed.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}

/// Whether the arguments, which could not be read, ask for JSON.
fn wants_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<_> = arguments.take_while(|argument| argument != "--").collect();
    arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

/// How many to ask for next: what is left of the limit, or a full page.
pub fn page_size(limit: Option<u64>, have: usize, full: i32) -> i32 {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(have as u64));
    i32::try_from(left).map_or(full, |left| left.min(full))
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

    #[test]
    fn json_is_wanted_where_it_is_asked_for() {
        let wanted = |line: &str| wants_json(line.split(' ').map(str::to_owned));
        assert!(wanted("list --output json"));
        assert!(wanted("--output=json list"));
        assert!(!wanted("list"));
        assert!(!wanted("run plan/42 -- curl --output json"));
    }

    #[test]
    fn pages_are_full_until_the_limit_is_near() {
        assert_eq!(page_size(None, 5_000, 1_000), 1_000);
        assert_eq!(page_size(Some(u64::MAX), 0, 1_000), 1_000);
        assert_eq!(page_size(Some(1_010), 1_000, 1_000), 10);
        assert_eq!(page_size(Some(10), 10, 1_000), 0);
    }
}
