//! One of many who wait for the same lock, again and again, and do what holders
//! and waiters do. It writes down what it asks and what it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{
    checker::{Call, End, Ending, Micros, Told},
    clock::Clock,
};
use crate::support::{Locks, span, wanted};

/// How long an ordinary wait may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long after its wait an answer may come.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// How long one attempt to give the lock back may take.
const ATTEMPT: Duration = Duration::from_millis(300);

/// Far longer than any hold.
const TTL: Duration = Duration::from_secs(1);

/// A lease that is there for longer than the places of a server that is gone.
const LONG_TTL: Duration = Duration::from_secs(6);

/// The lease of who lets it run out.
const FORGOTTEN_TTL: Duration = Duration::from_millis(150);

/// Shared by all contenders of a run.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) clock: Clock,
    /// How many grants there have been.
    pub(crate) grants: AtomicUsize,
    /// Whether to stop.
    pub(crate) enough: AtomicBool,
}

/// One contender.
pub(crate) struct Contender {
    arena: Arc<Arena>,
    owner: String,
    /// Any server answers for any lock.
    servers: Vec<Locks>,
    /// Whether it asks by a message on a stream, or by a call.
    streams: bool,
    random: fastrand::Rng,
    told: Told,
}

/// What it does with a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Waits, holds for a moment, gives back.
    Ordinary,
    /// Waits and lets its lease run out.
    Forgets,
    /// Does not want to wait any longer: cancels its call.
    GivesUp,
    /// Says how long its call may take.
    Deadline,
    /// Waits for a moment only.
    Impatient,
    /// Gives up everything that it holds and waits for while it waits.
    ReleasesAll,
    /// Asks two servers at once.
    AsksTwice,
}

impl Contender {
    pub(crate) fn new(arena: &Arc<Arena>, number: usize, servers: Vec<Locks>, seed: u64) -> Self {
        Self {
            arena: Arc::clone(arena),
            owner: format!("owner-{number}"),
            servers,
            streams: number % 4 == 3,
            random: fastrand::Rng::with_seed(seed),
            told: Told::default(),
        }
    }

    /// Takes its turns until there were enough, and tells.
    pub(crate) async fn run(mut self) -> Told {
        while !self.arena.enough.load(Ordering::Relaxed) {
            let turn = match self.random.u8(..100) {
                0 => Turn::Forgets,
                1..=6 => Turn::GivesUp,
                7 | 8 => Turn::Deadline,
                9..=11 => Turn::Impatient,
                12..=14 => Turn::ReleasesAll,
                15..=19 => Turn::AsksTwice,
                _ => Turn::Ordinary,
            };
            let tokens = self.wait(turn).await;
            if turn == Turn::Forgets {
                // Who asks again while it holds the lock has it for longer.
                tokio::time::sleep(FORGOTTEN_TTL).await;
                continue;
            }
            for token in tokens {
                self.pause(2_000).await;
                self.give_back(token).await;
            }
        }
        self.told
    }

    /// Waits its turn, at another server when one cannot go on: the tokens of
    /// its grants, of which there is one at most unless it asks twice.
    async fn wait(&mut self, turn: Turn) -> Vec<i64> {
        loop {
            let calls = match turn {
                Turn::AsksTwice => {
                    let turns = [turn, Turn::Impatient, Turn::GivesUp];
                    let other = *self.random.choice(&turns).unwrap();
                    let (one, other) = (self.ask(turn), self.ask(other));
                    let (one, other) = tokio::join!(one, other);
                    vec![one, other]
                }
                Turn::ReleasesAll => {
                    let (asked, pause) = (self.ask(turn), self.random.u64(..100_000));
                    let release_all = self.release_all(pause);
                    let (asked, ending) = tokio::join!(asked, release_all);
                    self.told.endings.push(ending);
                    vec![asked]
                }
                _ => vec![self.ask(turn).await],
            };
            let token = |call: &Call| match call.end {
                End::Granted { token, .. } => Some(token),
                _ => None,
            };
            let mut tokens: Vec<i64> = calls.iter().filter_map(token).collect();
            tokens.dedup();
            let goes_on = calls.iter().all(|call| call.end == End::Failed);
            self.told.calls.extend(calls);
            self.arena.grants.fetch_add(tokens.len(), Ordering::Relaxed);
            if !goes_on {
                return tokens;
            }
            self.pause(20_000).await;
        }
    }

    /// Asks any server: how that went.
    fn ask(&mut self, turn: Turn) -> impl Future<Output = Call> + use<> {
        let server_number = self.random.usize(..self.servers.len());
        let server = self.servers[server_number].clone();
        let (owner, clock, streams) = (self.owner.clone(), self.arena.clock, self.streams);
        let moment = Duration::from_micros(self.random.u64(1_000..200_000));
        let wait = if turn == Turn::Impatient { moment } else { PATIENCE };
        let ttl = match turn {
            Turn::Forgets => FORGOTTEN_TTL,
            _ if self.random.u8(..8) == 0 => LONG_TTL,
            _ => TTL,
        };
        let asked = wire::AcquireRequest {
            resource: wanted(),
            owner_id: owner.clone(),
            ttl: span(ttl),
            wait: span(wait),
            ..Default::default()
        };
        let patience = if turn == Turn::GivesUp { moment } else { wait + ANSWERED_WITHIN };
        async move {
            let asked_at = clock.now();
            let answer = async {
                if streams {
                    on_a_stream(server, asked).await
                } else {
                    let mut request = Request::new(asked);
                    if turn == Turn::Deadline {
                        request.set_timeout(moment);
                    }
                    let mut server = server;
                    server.acquire(request).await.map(tonic::Response::into_inner)
                }
            };
            let end = match tokio::time::timeout(patience, answer).await {
                Err(_) if turn == Turn::GivesUp => End::GaveUp,
                Err(_) => End::Unanswered,
                Ok(answer) => told(answer, turn),
            };
            let wait = Micros::try_from(wait.as_micros()).unwrap();
            Call { owner, server: server_number, asked_at, wait, ended_at: clock.now(), end }
        }
    }

    /// Gives the lock back, or, once in a while, everything.
    async fn give_back(&mut self, token: i64) {
        if self.random.u8(..20) == 0 {
            let ending = self.release_all(0).await;
            let is_done = ending.answered_at.is_some();
            self.told.endings.push(ending);
            if is_done {
                return;
            }
        }
        let mut ending = Ending {
            owner: self.owner.clone(),
            token: Some(token),
            asked_at: self.arena.clock.now(),
            answered_at: None,
        };
        // Once in a while it asks again what has been done already, which must
        // not touch who has the lock by then.
        let mut again = u8::from(self.random.u8(..20) == 0);
        // After this its lease has run out.
        for _attempt in 0..8 {
            let request = wire::ReleaseRequest {
                resource: wanted(),
                owner_id: self.owner.clone(),
                fencing_token: Some(token.unsigned_abs()),
            };
            let mut server = self.random.choice(&self.servers).unwrap().clone();
            let answer = tokio::time::timeout(ATTEMPT, server.release(request)).await;
            // Whatever it is that has become of it, it is over.
            if matches!(&answer, Ok(Ok(_))) || code(&answer) == Some(Code::Aborted) {
                ending.answered_at = Some(self.arena.clock.now());
                if again == 0 {
                    break;
                }
                again -= 1;
            }
            self.pause(20_000).await;
        }
        self.told.endings.push(ending);
    }

    /// Gives up everything after a while: that it asked to.
    fn release_all(&mut self, after_micros: u64) -> impl Future<Output = Ending> + use<> {
        let mut server = self.random.choice(&self.servers).unwrap().clone();
        let (owner_id, clock) = (self.owner.clone(), self.arena.clock);
        async move {
            tokio::time::sleep(Duration::from_micros(after_micros)).await;
            let asked_at = clock.now();
            let request = wire::ReleaseAllRequest { owner_id: owner_id.clone() };
            let answer = tokio::time::timeout(ATTEMPT, server.release_all(request)).await;
            let answered_at = matches!(answer, Ok(Ok(_))).then(|| clock.now());
            Ending { owner: owner_id, token: None, asked_at, answered_at }
        }
    }

    /// To hold a lock and to do something else takes time: the load of the test.
    async fn pause(&mut self, most_micros: u64) {
        tokio::time::sleep(Duration::from_micros(self.random.u64(..most_micros))).await;
    }
}

fn code<T, E>(answer: &Result<Result<T, Status>, E>) -> Option<Code> {
    answer.as_ref().ok()?.as_ref().err().map(Status::code)
}

/// Asks on a stream of its own, which ends with the answer.
async fn on_a_stream(
    mut server: Locks,
    asked: wire::AcquireRequest,
) -> Result<wire::AcquireResponse, Status> {
    let command = Some(Asked::Acquire(asked));
    // Open for more, until this is dropped: the stream ends with that.
    let (requests, receiver) = futures::channel::mpsc::unbounded();
    requests.unbounded_send(wire::SessionRequest { request_id: 1, command }).unwrap();
    let mut answers = server.session(receiver).await?.into_inner();
    let Some(answer) = answers.message().await? else {
        return Err(Status::unavailable("the stream has ended"));
    };
    match answer.outcome.unwrap() {
        Answered::Acquire(answer) => Ok(answer),
        Answered::Error(error) => {
            let details = prost::Message::encode_to_vec(&error).into();
            Err(Status::with_details(error.code.into(), error.message, details))
        }
        other => panic!("no answer to an acquire: {other:?}"),
    }
}

/// What an answer says. Only what may happen may happen.
fn told(answer: Result<wire::AcquireResponse, Status>, turn: Turn) -> End {
    let status = match answer {
        Ok(wire::AcquireResponse { lock, reentrant }) => {
            let lock = lock.unwrap();
            let until = lock.expire_time.unwrap();
            return End::Granted {
                token: i64::try_from(lock.fencing_token).unwrap(),
                expires_at: until.seconds * 1_000_000 + i64::from(until.nanos) / 1_000,
                reentrant,
            };
        }
        Err(status) => status,
    };
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    match (reason, status.code()) {
        (Some("LOCK_CONFLICT"), _) => End::Conflict,
        (Some("WAIT_CANCELLED"), _) => End::Cancelled,
        (None, Code::Cancelled | Code::DeadlineExceeded) if turn == Turn::Deadline => End::GaveUp,
        // What a killed server looks like differs by the moment.
        (_, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal) => End::Failed,
        (_, code) => panic!("{code}: {status:?}"),
    }
}
