//! Makes text that somebody else chose safe to show: an id may hold
//! right-to-left marks, zero-width characters and whatever else makes a
//! terminal show something other than what is there.

use std::fmt::Write as _;

/// An id or a value: what cannot be seen, or changes how its neighbours are
/// seen, becomes `\u{…}`. A backslash is doubled, so that two different ids
/// never look the same.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// A message that may quote ids: like [`escaped`], but lines stay lines and
/// what is already escaped stays as it is.
pub fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// One line of text that may quote ids: like [`message`], and stays one line.
pub fn line(text: &str) -> String {
    message(text).replace('\n', "\\u{a}")
}

/// One line of what a program has written, such as source code: like [`line()`],
/// and tabs stay tabs.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push('\t'),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// A JSON document with everything invisible in its strings as `\uXXXX`: the
/// same document to a program, and safe on a terminal.
pub fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        // Control characters are the document's own line ends: inside its
        // strings they are escaped already.
        if c.is_ascii() && c != '\u{7f}' || is_visible(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
    }
    out
}

/// An id as one word of a shell's command line, to be copied from the screen.
/// What cannot be seen goes into `$'…'`, which bash, zsh and ksh read.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().all(is_visible) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut out = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_visible(c) => out.push(c),
            c => write!(out, "\\U{:08x}", u32::from(c)).expect("a String takes everything"),
        }
    }
    out.push('\'');
    out
}

fn push_visible(out: &mut String, c: char) {
    if is_visible(c) {
        out.push(c);
    } else {
        write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes everything");
    }
}

/// Whether the character shows itself and nothing else: not a control, format
/// or private character, no space but the plain one, no mark that joins the
/// character before, nothing unassigned.
fn is_visible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Letters by their category, and blank all the same.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' => false,
        // The standard library keeps the tables: what it would print as is
        // when debugging, one may look at.
        c => c.escape_debug().eq([c]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["42", "a/b c", "it's \"quoted\"", "Füße", "計画", "🔒", "שלום"] {
            assert_eq!(escaped(text), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        for (c, expected) in [
            ('\u{0}', "\\u{0}"),
            ('\n', "\\u{a}"),
            ('\u{1b}', "\\u{1b}"),
            ('\u{7f}', "\\u{7f}"),
            ('\u{85}', "\\u{85}"),
            ('\u{9b}', "\\u{9b}"),
            ('\u{a0}', "\\u{a0}"),
            ('\u{ad}', "\\u{ad}"),
            ('\u{301}', "\\u{301}"),
            ('\u{61c}', "\\u{61c}"),
            ('\u{115f}', "\\u{115f}"),
            ('\u{180e}', "\\u{180e}"),
            ('\u{200b}', "\\u{200b}"),
            ('\u{200d}', "\\u{200d}"),
            ('\u{200e}', "\\u{200e}"),
            ('\u{200f}', "\\u{200f}"),
            ('\u{2028}', "\\u{2028}"),
            ('\u{202e}', "\\u{202e}"),
            ('\u{2060}', "\\u{2060}"),
            ('\u{2066}', "\\u{2066}"),
            ('\u{2069}', "\\u{2069}"),
            ('\u{2800}', "\\u{2800}"),
            ('\u{3000}', "\\u{3000}"),
            ('\u{fe0f}', "\\u{fe0f}"),
            ('\u{feff}', "\\u{feff}"),
            ('\u{e000}', "\\u{e000}"),
            ('\u{e0041}', "\\u{e0041}"),
        ] {
            assert_eq!(escaped(&format!("a{c}b")), format!("a{expected}b"));
        }
    }

    #[test]
    fn two_ids_never_look_the_same() {
        assert_ne!(escaped("a\u{200b}"), escaped("a\\u{200b}"));
        assert_eq!(escaped("a\\b"), "a\\\\b");
    }

    #[test]
    fn a_shell_reads_the_same_id() {
        for (id, word) in [
            ("plan/42", "plan/42"),
            ("plan/a b", "'plan/a b'"),
            ("plan/it's", "'plan/it'\\''s'"),
            ("plan/$(x)", "'plan/$(x)'"),
            ("plan/a'\\\u{202e}", "$'plan/a\\'\\\\\\U0000202e'"),
        ] {
            assert_eq!(shell_word(id), word);
        }
    }

    #[test]
    fn a_message_keeps_its_lines_and_its_backslashes() {
        assert_eq!(message("one\\u{7}\ntwo\u{202e}"), "one\\u{7}\ntwo\\u{202e}");
    }

    #[test]
    fn one_line_stays_one_and_code_keeps_its_tabs() {
        assert_eq!(line("a\\b\nc\td"), "a\\b\\u{a}c\\u{9}d");
        assert_eq!(code("a\\b\nc\td\u{1b}"), "a\\b\\u{a}c\td\\u{1b}");
    }

    #[test]
    fn an_escaped_json_document_means_the_same() {
        let value = serde_json::json!({"id": "a\u{202e}b\u{e0041}\u{7f}\n計"});
        let document = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(document.contains("a\\u202eb\\udb40\\udc41\\u007f\\n計"), "{document}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap(), value);
    }
}
