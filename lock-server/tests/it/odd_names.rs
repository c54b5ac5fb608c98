//! Names that look dangerous are just names: byte for byte what they are, in
//! both databases.

use proto::lock::v1 as wire;
use tonic::Code;

use super::support::{Locks, failure, on_each_store};

const ODD: [&str; 20] = [
    "'; DROP TABLE locks; --",
    "\" OR \"\"=\"",
    "$1",
    "?1",
    ":name",
    "{a,b}",
    "{\"a\":1}",
    "\\",
    "\\x00",
    "%",
    "_",
    "NULL",
    "🔒",
    "👩‍👩‍👧‍👦",
    "مرحبا بالعالم",
    "\u{202e}right to left",
    "a/b/../c",
    " leading and trailing ",
    "e\u{301}",
    "\u{e9}",
];

fn named(name: &str) -> wire::AcquireRequest {
    wire::AcquireRequest {
        resource: Some(wire::Resource::new("plan", name)),
        owner_id: name.to_owned(),
        metadata: [("note".to_owned(), name.to_owned())].into(),
        ..Default::default()
    }
}

async fn ids(locks: &mut Locks, request: wire::ListLocksRequest) -> Vec<String> {
    let page = locks.list_locks(request).await.unwrap().into_inner();
    page.locks.into_iter().map(|lock| lock.resource.unwrap().id).collect()
}

#[tokio::test]
async fn odd_names_are_kept_byte_for_byte() {
    on_each_store(&[], async |engine, mut locks| {
        for name in ODD {
            let lock = locks.acquire(named(name)).await.unwrap().into_inner().lock.unwrap();
            assert_eq!(lock.resource.unwrap().id, name, "{engine}");
            assert_eq!(lock.owner_id, name, "{engine}");
            assert_eq!(lock.metadata["note"], name, "{engine}");
        }
        for name in ODD {
            let again = locks.acquire(named(name)).await.unwrap().into_inner();
            assert!(again.reentrant, "{engine}: {name}");
            let other = wire::AcquireRequest { owner_id: "other".into(), ..named(name) };
            let status = locks.acquire(other).await.unwrap_err();
            let details = failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
            let metadata = &details.error_info().unwrap().metadata;
            assert_eq!(metadata["holder"], name, "{engine}");
            assert_eq!(metadata["resource"], format!("plan/{name}"), "{engine}");
            assert_eq!(metadata["holder.note"], name, "{engine}");
        }
        let mut expected = ODD.map(String::from);
        expected.sort();
        assert_eq!(ids(&mut locks, wire::ListLocksRequest::default()).await, expected, "{engine}");
    })
    .await;
}

#[tokio::test]
async fn a_prefix_is_literal_and_an_owner_exact() {
    on_each_store(&[], async |engine, mut locks| {
        for name in ODD {
            locks.acquire(named(name)).await.unwrap();
        }
        for name in ODD {
            let request =
                wire::ListLocksRequest { id_prefix: Some(name.into()), ..Default::default() };
            let mut expected: Vec<_> =
                ODD.iter().filter(|id| id.starts_with(name)).map(ToString::to_string).collect();
            expected.sort();
            assert_eq!(ids(&mut locks, request).await, expected, "{engine}: {name}");
            let request =
                wire::ListLocksRequest { owner_id: Some(name.into()), ..Default::default() };
            assert_eq!(ids(&mut locks, request).await, [name], "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_odd_names_follow_each_other() {
    on_each_store(&[], async |engine, mut locks| {
        for name in ODD {
            locks.acquire(named(name)).await.unwrap();
        }
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListLocksRequest { page_size: 3, page_token, ..Default::default() };
            let page = locks.list_locks(request).await.unwrap().into_inner();
            all.extend(page.locks.into_iter().map(|lock| lock.resource.unwrap().id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let mut expected = ODD.map(String::from);
        expected.sort();
        assert_eq!(all, expected, "{engine}");
    })
    .await;
}

#[tokio::test]
async fn odd_names_are_released_one_by_one_and_by_owner() {
    on_each_store(&[], async |engine, mut locks| {
        for name in ODD {
            let lock = locks.acquire(named(name)).await.unwrap().into_inner().lock.unwrap();
            let release = wire::ReleaseRequest {
                resource: lock.resource,
                owner_id: lock.owner_id,
                fencing_token: Some(lock.fencing_token),
            };
            assert!(locks.release(release).await.unwrap().into_inner().released, "{engine}");
            locks.acquire(named(name)).await.unwrap();
        }
        for name in ODD {
            let all = wire::ReleaseAllRequest { owner_id: name.into() };
            let released = locks.release_all(all).await.unwrap().into_inner().released_count;
            assert_eq!(released, 1, "{engine}: {name}");
        }
        assert_eq!(ids(&mut locks, wire::ListLocksRequest::default()).await, [""; 0], "{engine}");
    })
    .await;
}

#[tokio::test]
async fn the_same_id_under_two_types_is_two_resources() {
    on_each_store(&[], async |engine, mut locks| {
        let types = ["plan", "plan-", "plan_", "plan2"];
        for kind in types {
            let request = wire::AcquireRequest {
                resource: Some(wire::Resource::new(kind, "42")),
                owner_id: kind.into(),
                ..Default::default()
            };
            let granted = locks.acquire(request).await.unwrap().into_inner();
            assert!(!granted.reentrant, "{engine}: {kind}");
        }
        let listed = ids(&mut locks, wire::ListLocksRequest::default()).await;
        assert_eq!(listed, ["42"; 4], "{engine}");
    })
    .await;
}
