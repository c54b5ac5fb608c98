//! Pages of lists, which fit into what a client takes by default.

use futures::future::BoxFuture;
use prost::Message;
use service_kit::grpc::PageTokens;

use crate::error::PlanError;

/// Where lists go on.
pub(super) const TOKENS: PageTokens = PageTokens::new("plan.v1/page/1");

/// The most bytes of a page's entries: half of what clients take by default. A
/// page that would be longer ends early, and the next one goes on.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// How many entries are read at a time: each may be long.
const AT_A_TIME: u32 = 32;

/// A page, and where the next one begins.
#[derive(Debug)]
pub(super) struct Page<M> {
    pub(super) entries: Vec<M>,
    pub(super) next_page_token: String,
}

/// A page of at most `size` entries, of those after a place: `read` gives so
/// many of what is listed, `place` where one stands, `message` what it is as a
/// message. The page has one entry, if there is any, however long that is.
///
/// # Errors
/// Those of `read`.
pub(super) async fn page<'a, T, K: Clone + ToString, M: Message>(
    filters: &[&str],
    size: u32,
    mut after: Option<K>,
    read: impl Fn(Option<K>, u32) -> BoxFuture<'a, Result<Vec<T>, PlanError>>,
    place: impl Fn(&T) -> K,
    message: impl Fn(T) -> M,
) -> Result<Page<M>, PlanError> {
    let mut entries: Vec<M> = Vec::new();
    let (mut left, mut bytes) = (size, 0);
    loop {
        // One more than fits tells that there is another page.
        let many = left.saturating_add(1).min(AT_A_TIME);
        let items = read(after.clone(), many).await?;
        let is_last = items.len() < many.try_into().unwrap_or(usize::MAX);
        for item in items {
            let here = place(&item);
            let entry = message(item);
            bytes += entry.encoded_len();
            if let Some(last) = &after
                && (left == 0 || (bytes > MOST_BYTES && !entries.is_empty()))
            {
                let next_page_token = TOKENS.encode(filters, &[&last.to_string()]);
                return Ok(Page { entries, next_page_token });
            }
            entries.push(entry);
            left -= 1;
            after = Some(here);
        }
        if is_last {
            return Ok(Page { entries, next_page_token: String::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt as _;
    use service_kit::check::Violations;

    use super::*;

    /// How many entries of these sizes are on each page.
    async fn pages(sizes: &[usize], most: u32) -> Vec<usize> {
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let read = |after: Option<usize>, many: u32| {
                let first = after.map_or(0, |last| last + 1);
                let items = sizes.iter().copied().enumerate().skip(first);
                ready(Ok(items.take(usize::try_from(many).unwrap()).collect())).boxed()
            };
            let page = page(&["List"], most, after, read, |one| one.0, |one| "x".repeat(one.1));
            let Page { entries, next_page_token } = page.await.unwrap();
            assert!(
                entries
                    .iter()
                    .map(String::len)
                    .eq(sizes[pages.iter().sum::<usize>()..][..entries.len()].iter().copied())
            );
            pages.push(entries.len());
            let mut found = Violations::default();
            after = TOKENS.decode(&mut found, &["List"], &next_page_token, |[at]: [String; 1]| {
                at.parse().ok()
            });
            found.finish().unwrap();
            if after.is_none() {
                return pages;
            }
        }
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gap_or_repetition() {
        assert_eq!(pages(&[], 2).await, [0]);
        assert_eq!(pages(&[1, 1], 2).await, [2]);
        assert_eq!(pages(&[1, 1, 1], 2).await, [2, 1]);
        assert_eq!(pages(&[1; 250], 100).await, [100, 100, 50]);
        assert_eq!(pages(&[1; 32], 100).await, [32]);
        assert_eq!(pages(&[1; 33], 32).await, [32, 1]);
    }

    #[tokio::test]
    async fn a_long_page_ends_early() {
        let half = MOST_BYTES / 2;
        assert_eq!(pages(&[half, half - 100, half], 10).await, [2, 1]);
        assert_eq!(pages(&[3 * half, 1, 3 * half], 10).await, [1, 1, 1]);
        assert_eq!(pages(&[3 * half], 10).await, [1]);
    }
}
