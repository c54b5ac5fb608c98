//! A patch in the forms in which it is sent: as text, and, where that is not the
//! same, as bytes.

/// The most bytes of both forms together: what clients take by default has to
/// hold them, and the names of the files.
const MOST_OF_BOTH: usize = 3 * 1024 * 1024;

/// What is sent of a patch. Both forms are the same part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// What is not UTF-8 in it is replaced.
    pub(super) text: String,
    /// The bytes; none if the text is all of them.
    pub(super) raw: Vec<u8>,
    /// It is only the first part.
    pub(super) cut: bool,
}

/// Each form has at most so many bytes.
pub(super) fn sent(patch: Vec<u8>, max_bytes: usize) -> Sent {
    let mut raw = match String::from_utf8(patch) {
        Ok(mut text) => {
            let end = text.floor_char_boundary(max_bytes);
            let cut = end < text.len();
            text.truncate(end);
            return Sent { text, raw: Vec::new(), cut };
        }
        Err(other) => other.into_bytes(),
    };
    let most = max_bytes.min(MOST_OF_BOTH / 2);
    let (text, end) = lossy(&raw, most);
    let cut = end < raw.len();
    raw.truncate(end);
    if text.as_bytes() == raw {
        raw.clear();
    }
    Sent { text, raw, cut }
}

/// The first part of it, of which the text has at most so many bytes, and how
/// long that part is. It is never longer than the text: what is replaced is not
/// longer than what replaces it.
fn lossy(bytes: &[u8], most: usize) -> (String, usize) {
    let (mut text, mut end) = (String::new(), 0);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let fits = valid.floor_char_boundary(most - text.len());
        text.push_str(&valid[..fits]);
        end += fits;
        let replaced = chunk.invalid();
        if fits < valid.len()
            || (!replaced.is_empty() && text.len() + char::REPLACEMENT_CHARACTER.len_utf8() > most)
        {
            break;
        }
        if !replaced.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            end += replaced.len();
        }
    }
    (text, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str, raw: &[u8], cut: bool) -> Sent {
        Sent { text: text.to_owned(), raw: raw.to_vec(), cut }
    }

    #[test]
    fn text_is_sent_once() {
        assert_eq!(sent(b"".to_vec(), 0), is("", b"", false));
        assert_eq!(sent("aé".into(), 3), is("aé", b"", false));
        assert_eq!(sent("aé".into(), 2), is("a", b"", true));
    }

    #[test]
    fn other_bytes_are_sent_beside_their_text() {
        assert_eq!(sent(b"a\xffb".to_vec(), 5), is("a\u{fffd}b", b"a\xffb", false));
        assert_eq!(sent(b"a\xffb".to_vec(), 4), is("a\u{fffd}", b"a\xff", true));
        assert_eq!(sent(b"a\xffb".to_vec(), 3), is("a", b"", true));
        assert_eq!(sent(b"\xff\xfe".to_vec(), 0), is("", b"", true));
        assert_eq!(sent(b"\xff\xc3\xa9".to_vec(), 4), is("\u{fffd}", b"\xff", true));
    }

    #[test]
    fn both_together_are_no_longer_than_one_may_be() {
        let most = MOST_OF_BOTH;
        for patch in [vec![b'\xff'; most], [vec![b'a'; most], vec![b'\xff'; 10]].concat()] {
            let Sent { text, raw, cut } = sent(patch.clone(), most);
            assert!(cut && text.len() + raw.len() <= most);
            assert!(text.len() >= most / 2 - 2);
            assert!(
                raw.is_empty()
                    || (patch.starts_with(&raw) && String::from_utf8_lossy(&raw) == text)
            );
        }
    }
}
