//! How a message quotes what a caller sent: short and harmless.

/// The text in double quotes, shortened to 64 characters as they are shown.
///
/// It is escaped so that it cannot disturb a terminal or a log: control
/// characters, right-to-left marks and the like become `\u{…}`.
pub fn quote(text: &str) -> String {
    const MOST: usize = 64;
    let mut quoted = String::from("\"");
    let mut shown = 0;
    for character in text.chars() {
        let escaped = escape(character);
        shown += escaped.chars().count();
        if shown > MOST {
            quoted.push_str("\"…");
            return quoted;
        }
        quoted.push_str(&escaped);
    }
    quoted.push('"');
    quoted
}

fn escape(character: char) -> String {
    match character {
        '"' | '\\' => ['\\', character].iter().collect(),
        // Letters that change how what follows is shown, or show nothing at all.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{061c}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' => character.escape_unicode().collect(),
        _ if character.is_control() => character.escape_default().collect(),
        _ => character.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_disturb_a_terminal() {
        assert_eq!(quote("a\"b\\"), r#""a\"b\\""#);
        assert_eq!(quote("x\u{202e}y\n"), r#""x\u{202e}y\n""#);
        assert_eq!(quote("naïve 🔒 ملف"), "\"naïve 🔒 ملف\"");
    }

    #[test]
    fn shortens_by_characters() {
        let quoted = quote(&"é".repeat(100));
        assert_eq!(quoted.chars().filter(|c| *c == 'é').count(), 64);
        assert!(quoted.ends_with("\"…"));
        assert_eq!(quote(&"\u{202e}".repeat(100)), format!("\"{}\"…", "\\u{202e}".repeat(8)));
        assert_eq!(quote(&"x".repeat(64)), format!("\"{}\"", "x".repeat(64)));
    }
}
