//! One of many who fight for the same resources: takes one, keeps it for a
//! while or does not, gives it back or does not.

use std::{sync::Arc, time::Duration};

use proto::lock::v1::{
    AcquireRequest, Lock, ReleaseRequest, RenewRequest, Resource,
    lock_service_client::LockServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::checker::{Acknowledged, Hold, Told};

/// Shared by all contenders of a run.
#[derive(Debug)]
pub(crate) struct Arena {
    /// One for each server.
    pub(crate) servers: Vec<Channel>,
    /// How many resources there are.
    pub(crate) resources: u32,
    /// When to stop.
    pub(crate) until: tokio::time::Instant,
}

/// What a contender has to tell.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) told: Told,
    pub(crate) conflicts: usize,
    pub(crate) unavailable: usize,
    pub(crate) lost: usize,
}

/// How long one call may take: longer than the server's own limit.
const DEADLINE: Duration = Duration::from_secs(8);

pub(crate) async fn contend(arena: Arc<Arena>, number: usize, seed: u64) -> Story {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut story = Story::default();
    let mut turn = 0;
    while tokio::time::Instant::now() < arena.until {
        turn += 1;
        let owner = format!("contender-{number}/{turn}");
        let id = random.u32(..arena.resources).to_string();
        let ttl = Duration::from_millis(random.u64(100..600));
        fight(&arena, &mut random, &mut story, &owner, &Resource::new("plan", id), ttl).await;
        pause(&mut random, 30).await;
    }
    story
}

/// Takes a resource if it can, and does with it what holders do.
async fn fight(
    arena: &Arena,
    random: &mut fastrand::Rng,
    story: &mut Story,
    owner: &str,
    resource: &Resource,
    ttl: Duration,
) {
    let request = AcquireRequest {
        resource: Some(resource.clone()),
        owner_id: owner.to_owned(),
        ttl: Some(prost_types::Duration::try_from(ttl).unwrap()),
        metadata: [("turn".to_owned(), owner.to_owned())].into(),
    };
    let granted = in_time(server(arena, random).acquire(request)).await;
    let Some(response) = told(story, granted) else { return };
    let lock = response.lock.unwrap();
    let token = lock.fencing_token;
    let hold = Hold {
        resource: resource.to_string(),
        owner: owner.to_owned(),
        token: i64::try_from(token).unwrap(),
    };
    acknowledge(story, &hold, &lock);
    // One in four forgets to renew and to release: its lease runs out.
    if random.u8(..4) == 0 {
        return;
    }
    for _ in 0..random.u8(..4) {
        pause(random, 250).await;
        let request = RenewRequest {
            resource: Some(resource.clone()),
            owner_id: owner.to_owned(),
            fencing_token: token,
            ttl: None,
        };
        let renewed = in_time(server(arena, random).renew(request)).await;
        let Some(response) = told(story, renewed) else { return };
        acknowledge(story, &hold, &response.lock.unwrap());
    }
    story.told.releases.insert(hold);
    let request = ReleaseRequest {
        resource: Some(resource.clone()),
        owner_id: owner.to_owned(),
        fencing_token: random.bool().then_some(token),
    };
    let released = in_time(server(arena, random).release(request)).await;
    told(story, released);
}

fn acknowledge(story: &mut Story, hold: &Hold, lock: &Lock) {
    let until = lock.expire_time.unwrap();
    let expires_at = until.seconds * 1_000_000 + i64::from(until.nanos) / 1_000;
    story.told.acknowledged.push(Acknowledged { hold: hold.clone(), expires_at });
}

/// Any server answers for any lock.
fn server(arena: &Arena, random: &mut fastrand::Rng) -> LockServiceClient<Channel> {
    LockServiceClient::new(random.choice(&arena.servers).unwrap().clone())
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_elapsed) => Err(Status::deadline_exceeded("hung")),
    }
}

/// Notes a failure. Only those that may happen may happen.
fn told<T>(story: &mut Story, answer: Result<T, Status>) -> Option<T> {
    match answer {
        Ok(answer) => return Some(answer),
        Err(status) => match status.code() {
            Code::FailedPrecondition => story.conflicts += 1,
            Code::Aborted => story.lost += 1,
            // What a killed server looks like differs by the moment.
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => {
                story.unavailable += 1;
            }
            code => panic!("{code}: {}", status.message()),
        },
    }
    None
}

/// Holding a lock and doing something else takes time: the load of the test.
async fn pause(random: &mut fastrand::Rng, most_millis: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(..most_millis))).await;
}
