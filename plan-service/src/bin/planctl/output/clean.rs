//! What a step has written, made safe to show on a terminal: colours (SGR)
//! stay, and whatever else makes a terminal do something is shown as what it
//! is.
//!
//! A step writes in parts, and a character or a colour may be split between two
//! of them: what is not complete waits for the next part.

use service_kit::cli::escape;

/// The longest colour. Whatever begins like one and is longer is none.
const LONGEST: usize = 64;

/// Cleans one stream.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    /// The end of the part before, which may go on in the next.
    rest: Vec<u8>,
}

/// A text that is complete.
pub(crate) fn clean(data: &[u8]) -> String {
    let mut cleaner = Cleaner::default();
    cleaner.part(data) + &cleaner.finish()
}

impl Cleaner {
    /// The next part, as far as it is complete.
    pub(crate) fn part(&mut self, data: &[u8]) -> String {
        self.rest.extend_from_slice(data);
        let bytes = std::mem::take(&mut self.rest);
        let complete = complete(&bytes);
        self.rest = bytes[complete..].to_vec();
        cleaned(&bytes[..complete])
    }

    /// What was waiting for more that never came.
    pub(crate) fn finish(&mut self) -> String {
        cleaned(&std::mem::take(&mut self.rest))
    }
}

/// How many bytes need nothing of what comes after them.
fn complete(bytes: &[u8]) -> usize {
    // A carriage return may be half of a line's end.
    if bytes.last() == Some(&b'\r') {
        return bytes.len() - 1;
    }
    let tail = &bytes[bytes.len().saturating_sub(LONGEST)..];
    if let Some(escape) = tail.iter().rposition(|&byte| byte == 0x1b)
        && tail[escape + 1..].iter().enumerate().all(|(at, &byte)| may_go_on(at, byte))
    {
        return bytes.len() - tail.len() + escape;
    }
    // The last character may lack up to three bytes.
    let lead = bytes.iter().rev().take(4).position(|&byte| byte & 0xc0 != 0x80);
    match lead.map(|back| bytes.len() - 1 - back) {
        Some(at) if is_cut(&bytes[at..]) => at,
        _ => bytes.len(),
    }
}

/// Whether a colour may have this byte there, and not end with it.
fn may_go_on(at: usize, byte: u8) -> bool {
    if at == 0 { byte == b'[' } else { byte.is_ascii_digit() || byte == b';' || byte == b':' }
}

fn is_cut(character: &[u8]) -> bool {
    let error = str::from_utf8(character).err();
    error.is_some_and(|error| error.error_len().is_none())
}

fn cleaned(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['\n', '\u{1b}']) {
        out.push_str(&escape::code(&rest[..at]));
        rest = &rest[at..];
        let taken = match colour(rest) {
            Some(length) => length,
            None if rest.starts_with('\n') => 1,
            None => {
                out.push_str("\\u{1b}");
                rest = &rest[1..];
                continue;
            }
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(&escape::code(rest));
    out
}

/// How long the colour is that the text begins with, if it does.
fn colour(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?;
    let end = body.bytes().position(|byte| !may_go_on(1, byte))?;
    (body.as_bytes()[end] == b'm' && end < LONGEST).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lines_tabs_and_colours_stay() {
        for text in ["plain\n", "a\tb\n", "\u{1b}[1;31merror\u{1b}[0m: x\n", "計画 🔒", "\u{1b}[m"]
        {
            assert_eq!(clean(text.as_bytes()), text);
        }
        assert_eq!(clean(b"dos\r\n"), "dos\n");
    }

    #[test]
    fn whatever_else_moves_a_terminal_is_shown_as_what_it_is() {
        for (text, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[31", "\\u{1b}[31"),
            ("\u{1b}", "\\u{1b}"),
            ("a\rb", "a\\u{d}b"),
            ("a\r", "a\\u{d}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}x", "\\u{202e}x"),
            ("\u{8}", "\\u{8}"),
        ] {
            assert_eq!(clean(text.as_bytes()), shown);
        }
        assert_eq!(clean(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn parts_are_put_together_wherever_they_were_cut() {
        let whole = "計a\u{1b}[1;32mok\u{1b}[0m\r\n\u{1b}[2Jé\u{1b}x\r!".as_bytes();
        let expected = clean(whole);
        for size in 1..whole.len() {
            let mut cleaner = Cleaner::default();
            let mut text: String = whole.chunks(size).map(|part| cleaner.part(part)).collect();
            text.push_str(&cleaner.finish());
            assert_eq!(text, expected, "in parts of {size}");
        }
    }

    #[test]
    fn nothing_waits_for_ever() {
        let mut cleaner = Cleaner::default();
        let long = format!("\u{1b}[{}", "1;".repeat(LONGEST));
        assert!(cleaner.part(long.as_bytes()).starts_with("\\u{1b}["));
        assert!(cleaner.finish().is_empty());
    }
}
