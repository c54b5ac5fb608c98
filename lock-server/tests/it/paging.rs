//! Page sizes, page tokens and filters that are wrong.

use proto::lock::v1 as wire;
use tonic::Status;

use super::support::{
    Locks, acquire, assert_serves, on_each_store, span, take, until_stale, wrong,
};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn first_page(size: i32) -> wire::ListLocksRequest {
    wire::ListLocksRequest {
        resource_type: Some("plan".into()),
        page_size: size,
        ..Default::default()
    }
}

fn after(token: &str) -> wire::ListLocksRequest {
    wire::ListLocksRequest { page_token: token.to_owned(), ..first_page(2) }
}

async fn hold_all(locks: &Locks) {
    for id in IDS {
        take(locks, &format!("plan/{id}"), "owner").await;
    }
}

async fn list(
    locks: &mut Locks,
    request: wire::ListLocksRequest,
) -> Result<(Vec<String>, String), Status> {
    let page = locks.list_locks(request).await?.into_inner();
    let ids = page.locks.into_iter().map(|lock| lock.resource.unwrap().id).collect();
    Ok((ids, page.next_page_token))
}

#[tokio::test]
async fn a_page_size_is_zero_or_more_and_a_huge_one_is_cut() {
    on_each_store(&[], async |engine, mut locks| {
        hold_all(&locks).await;
        for size in [-1, i32::MIN] {
            let status = list(&mut locks, first_page(size)).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_size"], "{engine}");
            let stale = wire::ListStaleRequest { page_size: size, ..Default::default() };
            let status = locks.list_stale(stale).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_size"], "{engine}");
        }
        for size in [0, 1_000, 1_001, i32::MAX] {
            let (ids, next) = list(&mut locks, first_page(size)).await.unwrap();
            assert_eq!((ids.as_slice(), next.as_str()), (&IDS.map(String::from)[..], ""));
        }
    })
    .await;
}

#[tokio::test]
async fn pages_have_a_hundred_locks_by_default_and_a_thousand_at_most() {
    on_each_store(&[], async |engine, mut locks| {
        for number in 0..1_001 {
            take(&locks, &format!("plan/{number:04}"), "owner").await;
        }
        for (asked, given) in [(0, 100), (1_001, 1_000), (i32::MAX, 1_000)] {
            let (ids, next) = list(&mut locks, first_page(asked)).await.unwrap();
            assert_eq!(ids.len(), given, "{engine}");
            assert!(!next.is_empty(), "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    on_each_store(&[], async |engine, mut locks| {
        hold_all(&locks).await;
        let (mut all, mut next) = list(&mut locks, first_page(2)).await.unwrap();
        while !next.is_empty() {
            let (ids, more) = list(&mut locks, after(&next)).await.unwrap();
            all.extend(ids);
            next = more;
        }
        assert_eq!(all, IDS, "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_forged_page_token_is_refused() {
    on_each_store(&[], async |engine, mut locks| {
        hold_all(&locks).await;
        let (_, next) = list(&mut locks, first_page(2)).await.unwrap();
        let (mut longer, mut shorter) = (next.clone(), next.clone());
        longer.push('A');
        shorter.pop();
        let swapped: String = next.chars().rev().collect();
        let huge = "A".repeat(100_000);
        let forged =
            ["x", "!!", "AAAA", "' OR 1=1 --", "🔒", "\0", &longer, &shorter, &swapped, &huge];
        for token in forged {
            let status = list(&mut locks, after(token)).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_token"], "{engine}: {token:.99}");
            let stale =
                wire::ListStaleRequest { page_token: token.to_owned(), ..Default::default() };
            let status = locks.list_stale(stale).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_token"], "{engine}: {token:.99}");
        }
        assert_eq!(list(&mut locks, after(&next)).await.unwrap().0, ["c", "d"], "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_page_token_is_good_with_its_own_filters_only() {
    on_each_store(&[], async |engine, mut locks| {
        hold_all(&locks).await;
        let (_, next) = list(&mut locks, first_page(2)).await.unwrap();
        let with = |kind: Option<&str>, prefix: Option<&str>, owner: Option<&str>| {
            wire::ListLocksRequest {
                resource_type: kind.map(String::from),
                id_prefix: prefix.map(String::from),
                owner_id: owner.map(String::from),
                ..after(&next)
            }
        };
        for other in [
            with(None, None, None),
            with(Some("project"), None, None),
            with(Some("plan"), Some("a"), None),
            with(Some("plan"), None, Some("owner")),
            with(None, Some("plan"), None),
        ] {
            let status = list(&mut locks, other.clone()).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_token"], "{engine}: {other:?}");
        }
        let stale = wire::ListStaleRequest {
            resource_type: Some("plan".into()),
            page_token: next.clone(),
            ..Default::default()
        };
        let status = locks.list_stale(stale).await.unwrap_err();
        assert_eq!(wrong(&status), ["page_token"], "{engine}: from another method");
        // The size of a page is no filter.
        let larger = wire::ListLocksRequest { page_size: 100, ..after(&next) };
        assert_eq!(list(&mut locks, larger).await.unwrap().0, ["c", "d", "e"], "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_token_of_the_stale_list_is_good_with_its_own_filters_only() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        for id in IDS {
            let id = format!("plan/{id}");
            let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire(&id, "owner") };
            locks.acquire(short).await.unwrap();
        }
        until_stale(&locks, "plan/e").await;
        let first = wire::ListStaleRequest { page_size: 2, ..Default::default() };
        let page = locks.list_stale(first.clone()).await.unwrap().into_inner();
        assert_eq!((page.locks.len(), page.total_count), (2, 5), "{engine}");
        let after = wire::ListStaleRequest { page_token: page.next_page_token, ..first };
        let others = [
            wire::ListStaleRequest { resource_type: Some("plan".into()), ..after.clone() },
            wire::ListStaleRequest { older_than: span(1, 0), ..after.clone() },
        ];
        for other in others {
            let status = locks.list_stale(other).await.unwrap_err();
            assert_eq!(wrong(&status), ["page_token"], "{engine}");
        }
        let rest = wire::ListStaleRequest { page_size: 3, ..after };
        let rest = locks.list_stale(rest).await.unwrap().into_inner();
        assert_eq!((rest.locks.len(), rest.next_page_token.as_str()), (3, ""), "{engine}");
    })
    .await;
}

#[tokio::test]
async fn filters_are_checked_like_what_they_filter() {
    on_each_store(&[], async |engine, mut locks| {
        let request = wire::ListLocksRequest {
            resource_type: Some("Plan".into()),
            id_prefix: Some("x".repeat(513)),
            owner_id: Some(String::new()),
            page_size: -1,
            page_token: "forged".into(),
        };
        let status = list(&mut locks, request).await.unwrap_err();
        let all = ["id_prefix", "owner_id", "page_size", "page_token", "resource_type"];
        assert_eq!(wrong(&status), all, "{engine}");
        let control = wire::ListLocksRequest { id_prefix: Some("\0".into()), ..first_page(0) };
        assert_eq!(wrong(&list(&mut locks, control).await.unwrap_err()), ["id_prefix"]);
        let stale = wire::ListStaleRequest {
            resource_type: Some(String::new()),
            older_than: span(-1, 0),
            page_size: -1,
            page_token: "forged".into(),
        };
        let status = locks.list_stale(stale).await.unwrap_err();
        assert_eq!(wrong(&status), ["older_than", "page_size", "page_token", "resource_type"]);
        let purge = wire::PurgeStaleRequest {
            resource_type: Some("a".repeat(64)),
            older_than: span(1, -1),
        };
        let status = locks.purge_stale(purge).await.unwrap_err();
        assert_eq!(wrong(&status), ["older_than", "resource_type"], "{engine}");
        let all = wire::ListLocksRequest { id_prefix: Some(String::new()), ..first_page(0) };
        list(&mut locks, all).await.expect("an empty prefix means all");
        assert_serves(&mut locks).await;
    })
    .await;
}

#[tokio::test]
async fn an_age_may_be_as_long_as_a_span_can_be() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        take(&locks, "plan/live", "owner").await;
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire("a/b", "owner") };
        locks.acquire(short).await.unwrap();
        until_stale(&locks, "a/b").await;
        for (age, older) in
            [(span(315_576_000_000, 0), 0), (span(3_600, 0), 0), (span(0, 999), 1), (None, 1)]
        {
            let list = wire::ListStaleRequest { older_than: age, ..Default::default() };
            let page = locks.list_stale(list).await;
            let page = page.unwrap_or_else(|status| panic!("{engine}: {age:?}: {status}"));
            assert_eq!(page.into_inner().total_count, older, "{engine}: {age:?}");
        }
        for (age, older) in [(span(315_576_000_000, 0), 0), (span(3_600, 0), 0), (span(0, 999), 1)]
        {
            let purge = wire::PurgeStaleRequest { older_than: age, resource_type: None };
            let purged = locks.purge_stale(purge).await;
            let purged = purged.unwrap_or_else(|status| panic!("{engine}: {age:?}: {status}"));
            assert_eq!(purged.into_inner().purged_count, older, "{engine}: {age:?}");
        }
        let too_long =
            wire::PurgeStaleRequest { older_than: span(i64::MAX, 0), resource_type: None };
        assert_eq!(wrong(&locks.purge_stale(too_long).await.unwrap_err()), ["older_than"]);
    })
    .await;
}
