//! One of many who fight for the same resources: takes one, keeps it for a
//! while or does not, gives it back or does not.

use std::{sync::Arc, time::Duration};

use proto::lock::v1::{
    AcquireRequest, AcquireResponse, Lock, ReleaseRequest, ReleaseResponse, RenewRequest,
    RenewResponse, Resource, session_request::Command as Asked,
    session_response::Outcome as Answered,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    caller::Server,
    checker::{Acknowledged, Hold, Told},
};

/// Shared by all contenders of a run.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) servers: Vec<Server>,
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
    /// How often a lock went on to its next owner without an answer in between.
    pub(crate) handed_on: usize,
}

/// One contender.
struct Contender<'a> {
    arena: &'a Arena,
    /// Whether it asks by messages on a stream, or by calls.
    streams: bool,
    random: fastrand::Rng,
    story: Story,
}

/// Every other contender asks on streams.
pub(crate) async fn contend(arena: Arc<Arena>, number: usize, seed: u64) -> Story {
    let mut contender = Contender {
        arena: &arena,
        streams: number % 2 == 1,
        random: fastrand::Rng::with_seed(seed),
        story: Story::default(),
    };
    let mut turn = 0;
    while tokio::time::Instant::now() < arena.until {
        turn += 1;
        let owner = format!("contender-{number}/{turn}");
        let id = contender.random.u32(..arena.resources).to_string();
        contender.fight(&owner, &Resource::new("plan", id)).await;
        contender.pause(30).await;
    }
    contender.story
}

impl Contender<'_> {
    /// Takes a resource if it can, and does with it what holders do.
    async fn fight(&mut self, owner: &str, resource: &Resource) {
        let acquire = self.acquire(owner, resource);
        let granted = self.ask(acquire).await;
        let Some(mut hold) = self.granted(owner, resource, granted) else { return };
        // One in four forgets to renew and to release: its lease runs out.
        if self.random.u8(..4) == 0 {
            return;
        }
        for _ in 0..self.random.u8(..4) {
            self.pause(250).await;
            let renewed = self.ask(renew(&hold, resource)).await;
            let Some(Answered::Renew(RenewResponse { lock: Some(lock) })) = self.told(renewed)
            else {
                return;
            };
            self.acknowledge(&hold, &lock);
        }
        while self.streams && self.random.bool() {
            let Some(next) = self.hand_on(hold, resource).await else { return };
            hold = next;
        }
        let release = self.release(&hold, resource);
        let released = self.ask(release).await;
        self.told(released);
    }

    /// Gives a lock back and takes it for the next owner, without waiting in
    /// between: what is sent first takes effect first.
    async fn hand_on(&mut self, hold: Hold, resource: &Resource) -> Option<Hold> {
        let owner = format!("{}+", hold.owner);
        let commands =
            [renew(&hold, resource), self.release(&hold, resource), self.acquire(&owner, resource)];
        let [renewed, released, granted] = self.server().send(commands).await;
        if let Some(Answered::Renew(RenewResponse { lock: Some(lock) })) = self.told(renewed) {
            self.acknowledge(&hold, &lock);
        }
        if let Some(Answered::Release(ReleaseResponse { released: true })) = self.told(released) {
            if let Err(status) = &granted {
                let details = status.get_error_details();
                let holder =
                    details.error_info().and_then(|info| info.metadata.get("holder").cloned());
                assert_ne!(holder.as_ref(), Some(&hold.owner), "taken before it was given back");
            }
            self.story.handed_on += 1;
        }
        self.granted(&owner, resource, granted)
    }

    fn acquire(&mut self, owner: &str, resource: &Resource) -> Asked {
        let ttl = Duration::from_millis(self.random.u64(100..600));
        Asked::Acquire(AcquireRequest {
            resource: Some(resource.clone()),
            owner_id: owner.to_owned(),
            ttl: Some(prost_types::Duration::try_from(ttl).unwrap()),
            wait: None,
            metadata: [("turn".to_owned(), owner.to_owned())].into(),
        })
    }

    /// It is noted that the owner asked to, whatever the answer.
    fn release(&mut self, hold: &Hold, resource: &Resource) -> Asked {
        self.story.told.releases.insert(hold.clone());
        Asked::Release(ReleaseRequest {
            resource: Some(resource.clone()),
            owner_id: hold.owner.clone(),
            fencing_token: self.random.bool().then_some(hold.token.unsigned_abs()),
        })
    }

    /// Any server answers for any lock.
    fn server(&mut self) -> &Server {
        self.random.choice(&self.arena.servers).unwrap()
    }

    async fn ask(&mut self, command: Asked) -> Result<Answered, Status> {
        if self.streams {
            let [answer] = self.server().send([command]).await;
            answer
        } else {
            self.server().call(command).await
        }
    }

    /// Notes a grant: the hold.
    fn granted(
        &mut self,
        owner: &str,
        resource: &Resource,
        answer: Result<Answered, Status>,
    ) -> Option<Hold> {
        let answer = self.told(answer)?;
        let Answered::Acquire(AcquireResponse { lock: Some(lock), .. }) = answer else {
            panic!("not a grant: {answer:?}");
        };
        let hold = Hold {
            resource: resource.to_string(),
            owner: owner.to_owned(),
            token: i64::try_from(lock.fencing_token).unwrap(),
        };
        self.acknowledge(&hold, &lock);
        Some(hold)
    }

    fn acknowledge(&mut self, hold: &Hold, lock: &Lock) {
        let until = lock.expire_time.unwrap();
        let expires_at = until.seconds * 1_000_000 + i64::from(until.nanos) / 1_000;
        let acknowledged = Acknowledged { hold: hold.clone(), expires_at };
        self.story.told.acknowledged.push(acknowledged);
    }

    /// Notes a failure. Only those that may happen may happen.
    fn told(&mut self, answer: Result<Answered, Status>) -> Option<Answered> {
        match answer {
            Ok(answer) => return Some(answer),
            Err(status) => match status.code() {
                Code::FailedPrecondition => self.story.conflicts += 1,
                Code::Aborted => self.story.lost += 1,
                // What a killed server looks like differs by the moment.
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => {
                    self.story.unavailable += 1;
                }
                code => panic!("{code}: {}", status.message()),
            },
        }
        None
    }

    /// Holding a lock and doing something else takes time: the load of the test.
    async fn pause(&mut self, most_millis: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(..most_millis))).await;
    }
}

fn renew(hold: &Hold, resource: &Resource) -> Asked {
    Asked::Renew(RenewRequest {
        resource: Some(resource.clone()),
        owner_id: hold.owner.clone(),
        fencing_token: hold.token.unsigned_abs(),
        ttl: None,
    })
}
