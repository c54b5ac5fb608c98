//! The keep-alive stream with requests at and past its bounds.

use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, keep_alive_result::Outcome};
use tonic::Code;

use super::support::{
    Locks, OpenStream, acquire, assert_serves, client, failure, keep_alive, lease, on_each_store,
    resource, span, take, wrong, wrong_fields,
};

async fn server(flags: &[&str]) -> (TestServer, Locks) {
    let server = TestServer::start(flags).await;
    let locks = client(&server.url());
    (server, locks)
}

fn request(leases: Vec<wire::KeepAliveLease>) -> wire::KeepAliveRequest {
    wire::KeepAliveRequest { leases, ttl: None }
}

/// A lease that nobody was granted.
fn foreign(id: usize) -> wire::KeepAliveLease {
    wire::KeepAliveLease {
        resource: resource(&format!("plan/{id}")),
        owner_id: "owner".into(),
        fencing_token: 1,
    }
}

/// A lease with everything in it wrong.
fn broken() -> wire::KeepAliveLease {
    wire::KeepAliveLease {
        resource: Some(wire::Resource::default()),
        owner_id: String::new(),
        fencing_token: 0,
    }
}

#[track_caller]
fn renewed(result: &wire::KeepAliveResult) -> &wire::Lock {
    match &result.outcome {
        Some(Outcome::Lock(lock)) => lock,
        other => panic!("not renewed: {other:?}"),
    }
}

#[track_caller]
fn lost(result: &wire::KeepAliveResult) -> &wire::LostLease {
    match &result.outcome {
        Some(Outcome::Lost(lost)) => lost,
        other => panic!("not lost: {other:?}"),
    }
}

#[tokio::test]
async fn a_request_without_leases_gets_an_answer_without_results() {
    let (_server, locks) = server(&[]).await;
    let mut stream = OpenStream::open(&locks).await;
    for _ in 0..3 {
        stream.send(vec![]).await;
        assert_eq!(stream.next().await.unwrap().unwrap().results, []);
    }
}

#[tokio::test]
async fn the_same_lease_twice_is_answered_twice() {
    on_each_store(&[], async |engine, locks| {
        let lock = take(&locks, "plan/42", "owner").await;
        let other = take(&locks, "plan/43", "owner").await;
        let mut stream = OpenStream::open(&locks).await;
        stream.send(vec![lease(&lock), lease(&other), lease(&lock)]).await;
        let results = stream.next().await.unwrap().unwrap().results;
        assert_eq!(results.len(), 3, "{engine}");
        for (result, asked) in results.iter().zip([&lock, &other, &lock]) {
            assert_eq!(result.resource, asked.resource, "{engine}");
            assert_eq!(result.fencing_token, asked.fencing_token, "{engine}");
            assert_eq!(renewed(result).fencing_token, asked.fencing_token, "{engine}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_lost_lease_leaves_the_others_and_the_stream_alone() {
    on_each_store(&["--min-ttl", "100ms"], async |engine, mut locks| {
        let lock = take(&locks, "plan/mine", "owner").await;
        let theirs = take(&locks, "plan/theirs", "another").await;
        let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire("a/b", "owner") };
        let short = locks.acquire(short).await.unwrap().into_inner().lock.unwrap();
        super::support::until_stale(&locks, "a/b").await;
        let mut taken_over = lease(&theirs);
        taken_over.owner_id = "owner".into();
        let mut stream = OpenStream::open(&locks).await;
        stream.send(vec![lease(&short), lease(&lock), taken_over, foreign(9)]).await;
        let results = stream.next().await.unwrap().unwrap().results;
        assert_eq!(lost(&results[0]).reason, "LOCK_EXPIRED", "{engine}");
        assert_eq!(renewed(&results[1]).owner_id, "owner", "{engine}");
        let (reason, holder) = (&lost(&results[2]).reason, &lost(&results[2]).holder);
        assert_eq!((reason.as_str(), holder.as_str()), ("LOCK_NOT_HELD", "another"), "{engine}");
        let (reason, holder) = (&lost(&results[3]).reason, &lost(&results[3]).holder);
        assert_eq!((reason.as_str(), holder.as_str()), ("LOCK_NOT_HELD", ""), "{engine}");
        assert!(results.iter().all(|result| match &result.outcome {
            Some(Outcome::Lost(lost)) => !lost.message.is_empty(),
            _ => true,
        }));
        stream.send(vec![lease(&lock)]).await;
        renewed(&stream.next().await.unwrap().unwrap().results[0]);
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_leases_are_answered_in_their_order() {
    on_each_store(&["--store-timeout", "20s"], async |engine, mut locks| {
        let held = take(&locks, "plan/7", "owner").await;
        let mut leases: Vec<_> = (0..10_000).map(foreign).collect();
        leases[7] = lease(&held);
        let answer = keep_alive(&mut locks, request(leases)).await.unwrap();
        assert_eq!(answer.results.len(), 10_000, "{engine}");
        for (at, result) in answer.results.iter().enumerate() {
            assert_eq!(result.resource, resource(&format!("plan/{at}")), "{engine}");
            if at == 7 {
                renewed(result);
            } else {
                assert_eq!(lost(result).reason, "LOCK_NOT_HELD", "{engine}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn more_than_ten_thousand_leases_end_the_stream() {
    let (_server, mut locks) = server(&[]).await;
    for count in [10_001, 100_000] {
        let leases = (0..count).map(foreign).collect();
        let status = keep_alive(&mut locks, request(leases)).await.unwrap_err();
        let fields = wrong_fields(&status);
        assert_eq!(wrong(&status), ["leases"]);
        assert!(fields[0].1.contains(&count.to_string()), "{fields:?}");
        assert!(fields[0].1.replace(',', "").contains("10000"), "{fields:?}");
        assert_serves(&mut locks).await;
    }
}

#[tokio::test]
async fn one_wrong_lease_among_right_ones_ends_the_stream_and_renews_none() {
    on_each_store(&[], async |engine, mut locks| {
        let lock = take(&locks, "plan/42", "owner").await;
        let mut stream = OpenStream::open(&locks).await;
        stream.send(vec![lease(&lock)]).await;
        let before = stream.next().await.unwrap().unwrap().results;
        let wrong_id = wire::KeepAliveLease {
            resource: Some(wire::Resource::new("plan", "tab\t")),
            ..lease(&lock)
        };
        stream.send(vec![lease(&lock), lease(&lock), wrong_id, lease(&lock)]).await;
        let status = stream.next().await.unwrap_err();
        assert_eq!(wrong(&status), ["leases[2].resource.id"], "{engine}");
        assert!(stream.next().await.unwrap().is_none(), "{engine}: the stream has ended");
        let get = wire::GetLockRequest { resource: resource("plan/42") };
        let now = locks.get_lock(get).await.unwrap().into_inner().lock.unwrap();
        assert_eq!(now.renew_time, renewed(&before[0]).renew_time, "{engine}");
        assert_serves(&mut locks).await;
    })
    .await;
}

#[tokio::test]
async fn of_many_wrong_fields_exactly_the_first_forty_are_named() {
    let (_server, mut locks) = server(&[]).await;
    let status = keep_alive(&mut locks, request(vec![broken(); 100])).await.unwrap_err();
    let named: Vec<_> = wrong_fields(&status).into_iter().map(|(field, _)| field).collect();
    let all = (0..100).flat_map(|at| {
        ["resource.type", "resource.id", "owner_id", "fencing_token"]
            .map(|field| format!("leases[{at}].{field}"))
    });
    assert_eq!(named, all.take(40).collect::<Vec<_>>());
    let details = failure(&status, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(details.error_info().unwrap().metadata["violation_count"], "400");
    assert_serves(&mut locks).await;
}

#[tokio::test]
async fn forty_wrong_fields_are_named_however_long_what_is_wrong_with_them() {
    let (_server, mut locks) = server(&[]).await;
    let wrong_type = wire::KeepAliveLease {
        resource: Some(wire::Resource::new("Plan-".repeat(20), "42")),
        owner_id: "owner".into(),
        fencing_token: 1,
    };
    let status = keep_alive(&mut locks, request(vec![wrong_type; 100])).await.unwrap_err();
    let named: Vec<_> = wrong_fields(&status).into_iter().map(|(field, _)| field).collect();
    let first = (0..40).map(|at| format!("leases[{at}].resource.type"));
    assert_eq!(named, first.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_ends_when_its_requests_do() {
    let (_server, mut locks) = server(&[]).await;
    let lock = take(&locks, "plan/42", "owner").await;
    let requests = futures::stream::iter(vec![request(vec![lease(&lock)]); 3]);
    let mut answers = locks.keep_alive(requests).await.unwrap().into_inner();
    for _ in 0..3 {
        renewed(&answers.message().await.unwrap().unwrap().results[0]);
    }
    assert!(answers.message().await.unwrap().is_none());
}
