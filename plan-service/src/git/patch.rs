//! Changes as people read them.

use super::{GitError, Repo};
use crate::domain::Oid;

/// What `git diff` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The text; what is not UTF-8 in it is replaced.
    pub text: String,
    /// There is more.
    pub truncated: bool,
}

impl Repo {
    /// The changes from one commit or tree to another as a patch, at most so
    /// many bytes of it.
    ///
    /// # Errors
    /// When git fails, or one of them does not exist.
    pub async fn patch(&self, from: &Oid, to: &Oid, max_bytes: usize) -> Result<Patch, GitError> {
        let command = self.command().read_only().args(["diff-tree", "-r", "-p", "-M", "-l1000"]);
        let command = command.args(["--no-color", "--no-ext-diff", "--no-textconv"]);
        let command = command.args(["--src-prefix=a/", "--dst-prefix=b/"]);
        let command = command.args([from.as_str(), to.as_str()]);
        let output = command.first(max_bytes).await?;
        if !output.cut && !output.status.success() {
            return Err(command.error(&output));
        }
        Ok(shortened(&output.stdout, output.cut, max_bytes))
    }
}

fn shortened(bytes: &[u8], cut: bool, max_bytes: usize) -> Patch {
    let whole = if cut { without_half_a_character(bytes) } else { bytes };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    // Replaced bytes are longer than they were.
    let truncated = cut || text.len() > max_bytes;
    text.truncate(text.floor_char_boundary(max_bytes));
    Patch { text, truncated }
}

fn without_half_a_character(bytes: &[u8]) -> &[u8] {
    let is_first = |byte: u8| byte & 0b1100_0000 != 0b1000_0000;
    let Some(back) = bytes.iter().rev().take(4).position(|byte| is_first(*byte)) else {
        return bytes;
    };
    let (whole, last) = bytes.split_at(bytes.len() - back - 1);
    match str::from_utf8(last) {
        Err(error) if error.error_len().is_none() => whole,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], max_bytes: usize) -> (String, bool) {
        let shown = &text[..text.len().min(max_bytes)];
        let patch = shortened(shown, text.len() > max_bytes, max_bytes);
        (patch.text, patch.truncated)
    }

    #[test]
    fn a_cut_leaves_whole_characters() {
        assert_eq!(cut("aé".as_bytes(), 3), ("aé".to_owned(), false));
        assert_eq!(cut("aé".as_bytes(), 2), ("a".to_owned(), true));
        assert_eq!(cut("ab€€".as_bytes(), 7), ("ab€".to_owned(), true));
        assert_eq!(cut("a".as_bytes(), 0), (String::new(), true));
    }

    #[test]
    fn other_bytes_are_replaced_within_the_limit() {
        assert_eq!(cut(b"a\xffb", 9), ("a\u{fffd}b".to_owned(), false));
        assert_eq!(cut(b"a\xffb", 3), ("a".to_owned(), true));
    }
}
