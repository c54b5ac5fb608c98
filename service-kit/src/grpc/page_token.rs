//! Page tokens: where a list goes on. A token is the cursor with a checksum over it and over the
//! filters that it belongs to, so that one that is not ours, or was made for other filters, is
//! told apart. It hides nothing and protects nothing: a cursor is something that the caller has
//! just read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};

use crate::check::Violations;

const CHECKSUM_BYTES: usize = 8;

/// Separates parts; no part may hold it.
const SEPARATOR: char = '\n';

/// The page tokens of one service.
#[derive(Debug, Clone, Copy)]
pub struct PageTokens {
    version: &'static str,
}

impl PageTokens {
    /// Tokens of a version, such as `lock.v1/page/1`: it distinguishes them from those of other
    /// services, and from older ones.
    pub const fn new(version: &'static str) -> Self {
        Self { version }
    }

    /// A token for a cursor under filters, the first of which is the method. The parts of both
    /// hold no line break.
    pub fn encode(&self, filters: &[&str], cursor: &[&str]) -> String {
        let cursor = join(cursor);
        let mut bytes = self.checksum(filters, &cursor).to_vec();
        bytes.extend_from_slice(cursor.as_bytes());
        BASE64.encode(bytes)
    }

    /// The cursor in the field `page_token`, which `read` makes of its parts, or `None` when the
    /// list is to begin. Notes a token that was not made for these filters: the checksum is no
    /// secret, so what it holds is checked as well.
    pub fn decode<const PARTS: usize, C>(
        &self,
        found: &mut Violations,
        filters: &[&str],
        token: &str,
        read: impl FnOnce([String; PARTS]) -> Option<C>,
    ) -> Option<C> {
        if token.is_empty() {
            return None;
        }
        let cursor = self.parts(filters, token).and_then(read);
        if cursor.is_none() {
            found.wrong(
                "page_token",
                "is not a next_page_token of this method with the same filters; leave it empty to \
                 begin",
            );
        }
        cursor
    }

    fn parts<const PARTS: usize>(&self, filters: &[&str], token: &str) -> Option<[String; PARTS]> {
        let bytes = BASE64.decode(token).ok()?;
        let (sum, cursor) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        let cursor = str::from_utf8(cursor).ok()?;
        if self.checksum(filters, cursor) != sum {
            return None;
        }
        let parts: Vec<_> = cursor.split(SEPARATOR).map(str::to_owned).collect();
        parts.try_into().ok()
    }

    fn checksum(&self, filters: &[&str], cursor: &str) -> [u8; CHECKSUM_BYTES] {
        let mut hash = Sha256::new();
        hash.update(self.version);
        for part in [join(filters).as_str(), cursor] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize();
        std::array::from_fn(|at| hash[at])
    }
}

fn join(parts: &[&str]) -> String {
    parts.join(&String::from(SEPARATOR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Violation;

    const TOKENS: PageTokens = PageTokens::new("test.v1/page/1");

    fn decoded(filters: &[&str], token: &str) -> Result<Option<[String; 2]>, Vec<Violation>> {
        let mut found = Violations::default();
        let cursor =
            TOKENS.decode(&mut found, filters, token, |parts| (parts[1] != "bad").then_some(parts));
        found.finish().map(|()| cursor)
    }

    #[test]
    fn comes_back_with_the_same_filters_only() {
        let token = TOKENS.encode(&["list", "plan", ""], &["plan", "a/b\"🔒"]);
        let cursor = decoded(&["list", "plan", ""], &token).unwrap().unwrap();
        assert_eq!(cursor, ["plan", "a/b\"🔒"]);
        assert!(decoded(&["list", "project", ""], &token).is_err());
        assert!(decoded(&["list", "plan", "", ""], &token).is_err());
    }

    #[test]
    fn an_empty_token_begins() {
        assert!(decoded(&["list"], "").unwrap().is_none());
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let token = TOKENS.encode(&["list"], &["plan", "42"]);
        let mut changed = BASE64.decode(&token).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        assert!(decoded(&["list"], &TOKENS.encode(&["list"], &["plan", "bad"])).is_err());
        let three = TOKENS.encode(&["list"], &["plan", "4", "2"]);
        let of_others = PageTokens::new("other.v1/page/1").encode(&["list"], &["plan", "42"]);
        let changed = BASE64.encode(changed);
        for forged in ["x", "!!!!", "AAAA", &token[1..], &changed, &three, &of_others] {
            assert!(decoded(&["list"], forged).is_err(), "{forged}");
        }
    }
}
