//! Changes as `git apply` takes them, and as people read them.

use super::{GitError, Repo};
use crate::domain::Oid;

/// What `git diff` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// As it is: of a file that is not UTF-8, neither is this.
    pub bytes: Vec<u8>,
    /// There is more.
    pub truncated: bool,
}

impl Repo {
    /// The changes from one commit or tree to another as a patch, binary files
    /// too; at most so many bytes of it.
    ///
    /// # Errors
    /// When git fails, or one of them does not exist.
    pub async fn patch(&self, from: &Oid, to: &Oid, max_bytes: usize) -> Result<Patch, GitError> {
        let command = self.command().read_only().args(["diff-tree", "-r", "-p", "-M", "-l1000"]);
        let command = command.arg("--binary");
        let command = command.args(["--no-color", "--no-ext-diff", "--no-textconv"]);
        let command = command.args(["--src-prefix=a/", "--dst-prefix=b/"]);
        let command = command.args([from.as_str(), to.as_str()]);
        let output = command.first(max_bytes).await?;
        if !output.cut && !output.status.success() {
            return Err(command.error(&output));
        }
        let mut bytes = output.stdout;
        if output.cut {
            bytes.truncate(without_half_a_character(&bytes).len());
        }
        Ok(Patch { bytes, truncated: output.cut })
    }
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

    #[test]
    fn a_cut_leaves_whole_characters() {
        let cut =
            |text: &'static str, most: usize| without_half_a_character(&text.as_bytes()[..most]);
        assert_eq!(cut("aé", 3), "aé".as_bytes());
        assert_eq!(cut("aé", 2), b"a");
        assert_eq!(cut("ab€€", 7), "ab€".as_bytes());
        assert_eq!(cut("a", 0), b"");
        assert_eq!(without_half_a_character(b"caf\xe9\n"), b"caf\xe9\n");
    }
}
