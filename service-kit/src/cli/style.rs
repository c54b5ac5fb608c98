//! Colours, of which there are few, and only where somebody looks: on a
//! terminal, unless `NO_COLOR` is set (<https://no-color.org>).

use std::{env, ffi::OsStr, io::IsTerminal};

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
}

impl Style {
    /// For what is written to this stream.
    pub fn of(stream: &impl IsTerminal) -> Self {
        Self::decide(stream.is_terminal(), env::var_os("NO_COLOR"), env::var_os("TERM"))
    }

    fn decide(
        terminal: bool,
        no_color: Option<impl AsRef<OsStr>>,
        term: Option<impl AsRef<OsStr>>,
    ) -> Self {
        let refused = no_color.is_some_and(|value| !value.as_ref().is_empty());
        let dumb = term.is_some_and(|value| value.as_ref() == "dumb");
        Self { on: terminal && !refused && !dumb }
    }

    /// Never.
    pub fn plain() -> Self {
        Self { on: false }
    }

    /// Whoever looks.
    pub fn always() -> Self {
        Self { on: true }
    }

    /// Whether there are colours.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// As it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Worth a look.
    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Where something is, as git marks the place of a hunk.
    pub fn place(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Less than the rest.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_on_a_terminal_that_wants_them() {
        const UNSET: Option<&str> = None;
        assert!(Style::decide(true, UNSET, Some("xterm")).on);
        assert!(Style::decide(true, Some(""), UNSET).on);
        assert!(!Style::decide(true, Some("1"), UNSET).on);
        assert!(!Style::decide(true, UNSET, Some("dumb")).on);
        assert!(!Style::decide(false, UNSET, UNSET).on);
    }

    #[test]
    fn paints_and_resets() {
        assert_eq!(Style { on: true }.bad("x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Style::plain().bad("x"), "x");
    }
}
