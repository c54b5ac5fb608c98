//! Listing.

use lock_server::domain::{IdPrefix, ListFilter, Lock, ResourceType, Span, StaleFilter};

use crate::kit::{Kit, MINUTE, acquire, owner, release, resource, resource_of};

async fn names(kit: &Kit, filter: &ListFilter) -> Vec<String> {
    let page = kit.store.list(filter, None, 1_000).await.unwrap();
    assert_eq!(page.next, None);
    shown(&page.locks)
}

fn shown(locks: &[Lock]) -> Vec<String> {
    locks.iter().map(|lock| lock.resource.to_string()).collect()
}

pub(crate) async fn lists_live_locks_in_order(kit: Kit) {
    for (kind, id) in [("plan", "b"), ("plan", "B"), ("build", "z"), ("plan", "ä"), ("plan", "a/1")]
    {
        kit.grant(&resource_of(kind, id), "me", MINUTE).await;
    }
    kit.grant(&resource("stale"), "me", MINUTE).await;
    kit.age(&resource("stale"), 1).await;
    kit.grant(&resource("freed"), "me", MINUTE).await;
    kit.apply(release(&resource("freed"), "me", None)).await;
    let all = names(&kit, &ListFilter::default()).await;
    assert_eq!(all, ["build/z", "plan/B", "plan/a/1", "plan/b", "plan/ä"]);
}

pub(crate) async fn filters_literally(kit: Kit) {
    for id in ["a%c", "abc", "a_c", "a%", "ä", "äb", "A%c"] {
        kit.grant(&resource(id), "me", MINUTE).await;
    }
    kit.grant(&resource_of("project", "a%x"), "you", MINUTE).await;
    let with_prefix = |prefix: &str| ListFilter {
        id_prefix: IdPrefix::parse(prefix).unwrap(),
        ..ListFilter::default()
    };
    assert_eq!(names(&kit, &with_prefix("a%")).await, ["plan/a%", "plan/a%c", "project/a%x"]);
    assert_eq!(names(&kit, &with_prefix("a_")).await, ["plan/a_c"]);
    assert_eq!(names(&kit, &with_prefix("ä")).await, ["plan/ä", "plan/äb"]);
    let kind = Some(ResourceType::parse("project").unwrap());
    assert_eq!(names(&kit, &ListFilter { kind, ..with_prefix("a%") }).await, ["project/a%x"]);
    let of_you = ListFilter { owner: Some(owner("you")), ..ListFilter::default() };
    assert_eq!(names(&kit, &of_you).await, ["project/a%x"]);
}

pub(crate) async fn pages_through_everything_once(kit: Kit) {
    let batch: Vec<_> = (0..25)
        .map(|id| {
            acquire(
                &resource_of(if id % 2 == 0 { "plan" } else { "build" }, &format!("{id:03}")),
                "me",
                MINUTE,
            )
        })
        .collect();
    kit.store.apply(&batch).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = kit.store.list(&ListFilter::default(), after.as_ref(), 10).await.unwrap();
        assert!(page.locks.len() <= 10);
        seen.extend(shown(&page.locks));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    assert_eq!(seen.len(), 25);
}

pub(crate) async fn lists_stale_locks_oldest_first(kit: Kit) {
    for (id, age) in [("new", 10), ("old", 500), ("middle", 100)] {
        kit.grant(&resource(id), "me", MINUTE).await;
        kit.age(&resource(id), age).await;
    }
    kit.grant(&resource_of("build", "x"), "me", MINUTE).await;
    kit.age(&resource_of("build", "x"), 200).await;
    kit.grant(&resource("live"), "me", MINUTE).await;
    let filter = |kind: Option<&str>, seconds: i64| StaleFilter {
        kind: kind.map(|kind| ResourceType::parse(kind).unwrap()),
        older_than: Span::from_micros(seconds * 1_000_000),
    };
    let page = kit.store.list_stale(&filter(None, 0), None, 10).await.unwrap();
    assert_eq!(shown(&page.locks), ["plan/old", "build/x", "plan/middle", "plan/new"]);
    assert_eq!((page.total, page.next), (4, None));
    let page = kit.store.list_stale(&filter(None, 50), None, 2).await.unwrap();
    assert_eq!(shown(&page.locks), ["plan/old", "build/x"]);
    assert_eq!(page.total, 3, "all that match, on all pages");
    let rest = kit.store.list_stale(&filter(None, 50), page.next.as_ref(), 2).await.unwrap();
    assert_eq!(shown(&rest.locks), ["plan/middle"]);
    assert_eq!((rest.total, rest.next), (3, None));
    let plans = kit.store.list_stale(&filter(Some("plan"), 150), None, 10).await.unwrap();
    assert_eq!(shown(&plans.locks), ["plan/old"]);
}
