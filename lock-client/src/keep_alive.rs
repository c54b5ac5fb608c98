//! Renews every lease of a client, and ends those that cannot be renewed.
//!
//! # Overview
//!
//! One task on the client's own thread, one `KeepAlive` stream for all leases
//! of all owners. Guards' holds come in by [`KeepAlive::keep`] and go by
//! [`KeepAlive::stop`], which returns when nothing more will be sent for them.
//! `schedule.rs` knows what is due and what runs out; `stream.rs` is one stream
//! with the requests that it has yet to answer; here they are brought together.
//!
//! A lease is renewed at a third of its time to live, ten per cent sooner or
//! later, counted from when the last confirmed request was sent. Leases due
//! within [`TOGETHER`] of each other go in one request, and get one random
//! number, so that they stay together.
//!
//! # Trust window
//!
//! A confirmation extends trust from the moment *before* its request was sent.
//! The end of trust of every lease has a timer here, beside [`Hold::check`]
//! which looks at the clock itself: so work is told in time also when it does
//! not ask, and when its own runtime is busy. An attempt that is under way does
//! not delay that.
//!
//! # Failure handling
//!
//! Each attempt has a deadline: a fifth of the shortest time to live in it,
//! and never more than 5 s. When it passes, or the stream ends or answers out
//! of step, the stream is dropped with all its attempts, and their leases are
//! due again, at the next server at once and with backoff and jitter after a
//! round of all servers, though no later than a tenth of their time to live.
//! That goes on until trust ends; a lease is then lost as `Unconfirmed`. No
//! error of the stream ends a lease sooner, because none says anything of it.
//!
//! A lease that the server reports as lost is lost at once, and the others go
//! on. An answer for a lease that has been stopped meanwhile is ignored.
//!
//! # Cancel safety
//!
//! Dropping the future of [`KeepAlive::stop`] leaves the stop in force. The
//! task ends when its [`KeepAlive`] is dropped.

mod schedule;
mod stream;

use std::{sync::Arc, time::Duration};

use proto::lock::v1 as wire;
use proto::{lock::v1::keep_alive_result::Outcome, reason};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use self::{
    schedule::Schedule,
    stream::{Attempt, Event, Stream},
};
use crate::{
    ForcedRelease, Lock, LostReason,
    endpoints::{Endpoints, Failure},
    hold::Hold,
    io_thread::IoThread,
    lost::Ending,
    retry::Backoff,
    trust,
};

/// Leases due within this time of each other are renewed together.
const TOGETHER: Duration = Duration::from_millis(100);

/// The most leases in one request: a tenth of what the server takes, and well
/// under 4 MiB both ways with everything at its limits.
const BATCH: usize = 1_000;

/// How many answers may wait for the task.
const EVENTS: usize = 16;

/// The way to the task.
pub(crate) struct KeepAlive {
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    Keep(Arc<Hold>),
    Stop { ids: Vec<u64>, stopped: oneshot::Sender<()> },
}

/// Starts the task on the client's thread.
pub(crate) fn spawn(io: &IoThread, endpoints: Arc<Endpoints>) -> KeepAlive {
    let (commands, inbox) = mpsc::unbounded_channel();
    io.handle().spawn(Actor::new(endpoints).run(inbox));
    KeepAlive { commands }
}

impl KeepAlive {
    /// Renews this hold from now on; again: at its new times.
    pub(crate) fn keep(&self, hold: Arc<Hold>) {
        // The task ends only after this handle.
        let _ = self.commands.send(Command::Keep(hold));
    }

    /// Renews these no more. When it returns, nothing more is sent for them.
    pub(crate) async fn stop(&self, ids: Vec<u64>) {
        let (stopped, done) = oneshot::channel();
        let _ = self.commands.send(Command::Stop { ids, stopped });
        let _ = done.await;
    }
}

struct Actor {
    endpoints: Arc<Endpoints>,
    schedule: Schedule,
    stream: Option<Stream>,
    /// Tells the events of a stream from those of the ones before it.
    streams: u64,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    backoff: Backoff,
}

impl Actor {
    fn new(endpoints: Arc<Endpoints>) -> Self {
        Self {
            endpoints,
            schedule: Schedule::default(),
            stream: None,
            streams: 0,
            events: mpsc::channel(EVENTS),
            backoff: Backoff::default(),
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            self.schedule.end_overdue(Instant::now());
            self.give_up_overdue_attempts(Instant::now());
            self.renew_due(Instant::now());
            if self.schedule.is_empty() {
                // A server that stops need not wait for an idle stream.
                self.stream = None;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                // The other end is this object's own, so there always is one.
                Some(event) = self.events.1.recv() => self.hear(event),
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let attempt = self.stream.as_ref().and_then(Stream::next_deadline);
        [self.schedule.next_event(), attempt].into_iter().flatten().min()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Keep(hold) => self.schedule.keep(hold, fastrand::f64()),
            Command::Stop { ids, stopped } => {
                for id in ids {
                    self.schedule.stop(id);
                }
                // Whoever asked may have gone.
                let _ = stopped.send(());
            }
        }
    }

    fn renew_due(&mut self, now: Instant) {
        if self.schedule.next_due().is_none_or(|due| due > now) {
            return;
        }
        loop {
            let holds = self.schedule.take_due(now + TOGETHER, BATCH);
            if holds.is_empty() {
                return;
            }
            self.renew(&holds);
        }
    }

    fn renew(&mut self, holds: &[Arc<Hold>]) {
        let stream = self.stream.get_or_insert_with(|| {
            self.streams += 1;
            Stream::open(self.streams, self.endpoints.pick(), self.events.0.clone())
        });
        let shortest = holds.iter().map(|hold| hold.ttl()).min().unwrap_or_default();
        let sent_at = Instant::now();
        let attempt = Attempt {
            sent_at,
            deadline: sent_at + trust::attempt_limit(shortest),
            ids: holds.iter().map(|hold| hold.id()).collect(),
        };
        stream.send(attempt, request(holds));
    }

    fn give_up_overdue_attempts(&mut self, now: Instant) {
        let late = |stream: &&Stream| stream.next_deadline().is_some_and(|at| at <= now);
        if self.stream.as_ref().filter(late).is_some() {
            self.fail("no answer in time", None, Failure::Silent);
        }
    }

    fn hear(&mut self, event: Event) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id() == event.stream) else {
            return;
        };
        let response = match event.heard {
            Ok(response) => response,
            Err(refusal) => {
                let asked = refusal.retry_after();
                return self.fail(&refusal.summary(), asked, Failure::Answered);
            }
        };
        match stream.answered(|attempt| self.schedule.fits(&attempt.ids, &response.results)) {
            Some(attempt) => self.confirm(&attempt, response.results),
            None => self.fail("an answer that fits no request", None, Failure::Answered),
        }
    }

    fn confirm(&mut self, attempt: &Attempt, results: Vec<wire::KeepAliveResult>) {
        self.backoff.reset();
        let random = fastrand::f64();
        for (id, result) in attempt.ids.iter().zip(results) {
            let Some(hold) = self.schedule.get(*id) else { continue };
            let kept = match result.outcome {
                Some(Outcome::Lock(lock)) => {
                    let lock = Lock::from(lock);
                    hold.confirm(attempt.sent_at, lock.remaining, lock.ttl)
                }
                Some(Outcome::Lost(lost)) => {
                    let _ = hold.end(ending(lost));
                    false
                }
                // Says nothing, so the lease is as it was: see `fits`.
                None => continue,
            };
            match kept {
                true => self.schedule.keep(hold, random),
                false => self.schedule.stop(*id),
            }
        }
    }

    /// The stream is of no more use.
    fn fail(&mut self, why: &str, asked: Option<Duration>, failure: Failure) {
        let Some(stream) = self.stream.take() else { return };
        self.endpoints.failed(stream.pick(), failure);
        let unanswered: Vec<u64> = stream.unanswered().copied().collect();
        tracing::debug!(why, leases = unanswered.len(), "the keep-alive stream ended");
        if unanswered.is_empty() {
            // An idle stream ends when its server stops: nothing has failed.
            return;
        }
        let pause = self.backoff.failed(self.endpoints.count(), asked, fastrand::f64());
        self.schedule.retry(&unanswered, Instant::now(), pause);
    }
}

fn ending(lost: wire::LostLease) -> Ending {
    let expired = lost.reason == reason::LOCK_EXPIRED;
    let why = if expired { LostReason::Expired } else { LostReason::NotHeld };
    Ending::new(why, lost.message)
        .held_by(Some(lost.holder).filter(|holder| !holder.is_empty()))
        .forced(ForcedRelease::told(lost.released_by, lost.release_reason))
}

fn request(holds: &[Arc<Hold>]) -> wire::KeepAliveRequest {
    let leases = holds.iter().map(|hold| wire::KeepAliveLease {
        resource: Some(hold.key().resource.clone()),
        owner_id: hold.key().owner_id.clone(),
        fencing_token: hold.fencing_token(),
    });
    wire::KeepAliveRequest { leases: leases.collect(), ttl: None }
}
