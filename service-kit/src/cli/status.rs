//! One line on standard error that tells how things stand while a command waits.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

use super::escape;

/// Begins the line anew, and cuts it off at the right margin: what goes on below
/// it could not be taken back.
const BEGIN: &str = "\r\u{1b}[?7l";
/// Takes away what is left of the text before, and makes lines as they were.
const END: &str = "\u{1b}[K\u{1b}[?7h";
/// Takes the whole line away.
const CLEAR: &str = "\r\u{1b}[K";

/// The line. On a terminal it is written over by the next one, and taken away when
/// this is dropped; elsewhere each is a line of its own.
#[derive(Debug)]
pub struct StatusLine {
    program: &'static str,
    terminal: bool,
    shown: bool,
}

impl StatusLine {
    /// In the name of this program.
    pub(super) fn new(program: &'static str) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { program, terminal: io::stderr().is_terminal() && !dumb, shown: false }
    }

    /// Whether there is any use in showing it again.
    pub fn is_kept_up_to_date(&self) -> bool {
        self.terminal
    }

    /// Shows this, instead of what was shown before.
    pub fn show(&mut self, text: &str) {
        let (program, text) = (self.program, escape::message(text));
        self.write(&match self.terminal {
            true => format!("{BEGIN}{program}: {text}{END}"),
            false => format!("{program}: {text}\n"),
        });
        self.shown = true;
    }

    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // Nobody is left to tell when the stream is closed.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.terminal && self.shown {
            self.write(CLEAR);
        }
    }
}
