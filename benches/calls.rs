//! What is measured: each function makes its call so many times, one after the
//! other, and tells how long the calls took. What precedes and follows them is
//! outside of the time, and every answer is checked to be the one expected.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use futures::channel::mpsc;
use proto::lock::v1::{
    KeepAliveLease, KeepAliveRequest, ListLocksRequest, Lock, ReleaseRequest, RenewRequest,
    keep_alive_result::Outcome,
};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use crate::server::{self, Server};

/// What so many calls took, and as many empty ones in turns with them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) by_calls: Duration,
    pub(crate) by_empty_calls: Duration,
}

/// A health check: what the stack costs with no store behind it.
pub(crate) async fn empty_call(server: &Server, times: u64) -> Taken {
    let mut health = server.health();
    let requests = (0..times).map(|_| HealthCheckRequest::default());
    timed(server, requests, async |request| health.check(request).await.expect("the process lives"))
        .await
}

/// A grant of a resource that was never locked.
pub(crate) async fn acquire(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let owner = server.new_name();
    let requests = (0..times).map(|_| server.fresh(&owner));
    let taken = timed(server, requests, async |request| {
        let answer = locks.acquire(request).await.expect("it is free").into_inner();
        assert!(!answer.reentrant, "it was free");
        answer
    });
    let taken = taken.await;
    server.release_all(&owner).await;
    taken
}

/// The same owner acquires again what it holds.
pub(crate) async fn reacquire(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let held = taking_turns(server, times).await;
    let requests = held.map(|lock| server::acquire(resource(lock), Server::HOLDER));
    timed(server, requests, async |request| {
        let answer = locks.acquire(request).await.expect("it is the holder's").into_inner();
        assert!(answer.reentrant, "it was held");
        answer
    })
    .await
}

/// A renewal of a lease.
pub(crate) async fn renew(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let held = taking_turns(server, times).await;
    let requests = held.map(|lock| RenewRequest {
        resource: lock.resource.clone(),
        owner_id: lock.owner_id.clone(),
        fencing_token: lock.fencing_token,
        ttl: None,
    });
    timed(server, requests, async |request| locks.renew(request).await.expect("it is held")).await
}

/// The end of a lease.
pub(crate) async fn release(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let held = server.hold(Server::TYPE, &server.new_name(), times).await;
    let requests = held.into_iter().map(|lock| ReleaseRequest {
        resource: lock.resource,
        owner_id: lock.owner_id,
        fencing_token: Some(lock.fencing_token),
    });
    timed(server, requests, async |request| {
        let answer = locks.release(request).await.expect("it is the holder's").into_inner();
        assert!(answer.released, "it was held");
    })
    .await
}

/// Another owner's attempt at what is held.
pub(crate) async fn conflict(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let held = taking_turns(server, times).await;
    let requests = held.map(|lock| server::acquire(resource(lock), "another"));
    timed(server, requests, async |request| {
        let status = locks.acquire(request).await.expect_err("another holds it");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        status
    })
    .await
}

/// One request of a keep-alive stream that renews 1,000 leases, to its answer.
pub(crate) async fn keep_alive_1000(server: &Server, times: u64) -> Taken {
    let leases = server.held().await.iter().map(|lock| KeepAliveLease {
        resource: lock.resource.clone(),
        owner_id: lock.owner_id.clone(),
        fencing_token: lock.fencing_token,
    });
    let request = KeepAliveRequest { leases: leases.collect(), ttl: None };
    let (sender, requests) = mpsc::unbounded();
    let stream = server.locks().keep_alive(requests).await.expect("open a stream");
    let mut answers = stream.into_inner();
    timed(server, (0..times).map(|_| request.clone()), async |request| {
        let count = request.leases.len();
        sender.unbounded_send(request).expect("the stream is open");
        let answer = answers.message().await.expect("an answer").expect("the stream is open");
        assert_eq!(answer.results.len(), count);
        let last = answer.results.last().and_then(|result| result.outcome.as_ref());
        assert!(matches!(last, Some(Outcome::Lock(_))), "{last:?}");
        answer
    })
    .await
}

/// All pages of a list of 10,000 locks, 1,000 on each: ten calls.
pub(crate) async fn list_10000(server: &Server, times: u64) -> Taken {
    let mut locks = server.locks();
    let all = server.listed().await.len();
    let first = ListLocksRequest {
        resource_type: Some(Server::LISTED_TYPE.to_owned()),
        page_size: 1_000,
        ..ListLocksRequest::default()
    };
    timed(server, (0..times).map(|_| first.clone()), async |mut request| {
        let mut found = 0;
        loop {
            let page = locks.list_locks(request.clone()).await.expect("list").into_inner();
            found += page.locks.len();
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(found, all);
    })
    .await
}

/// How long a call took for all inputs together, without the making of the
/// inputs and the dropping of the answers. An empty call follows each: what a
/// call is compared with has then had the same machine at the same moment.
async fn timed<I, O>(
    server: &Server,
    inputs: impl Iterator<Item = I>,
    mut call: impl AsyncFnMut(I) -> O,
) -> Taken {
    let mut health = server.health();
    let mut taken = Taken::default();
    for input in inputs {
        let start = Instant::now();
        let output = call(input).await;
        taken.by_calls += start.elapsed();
        drop(black_box(output));
        let start = Instant::now();
        let health = health.check(HealthCheckRequest::default()).await;
        taken.by_empty_calls += start.elapsed();
        drop(black_box(health.expect("the process lives")));
    }
    taken
}

/// So many held locks, each in its turn: no row is hotter than others.
async fn taking_turns(server: &Server, times: u64) -> impl Iterator<Item = &Lock> {
    let times = usize::try_from(times).expect("fewer calls than memory");
    server.held().await.iter().cycle().take(times)
}

fn resource(lock: &Lock) -> proto::lock::v1::Resource {
    lock.resource.clone().expect("a lock has a resource")
}
