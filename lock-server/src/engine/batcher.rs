//! Group commit: commands that arrive while the store is busy form the next
//! batch.
//!
//! # Overview
//!
//! No timer waits for company: a command that finds the store idle is sent at
//! once, alone; under load a batch is whatever came in during the one before.
//! [`Batching`](crate::store::Batching) says how many batches the store takes at
//! a time, which kinds of commands share one, and how large it may be.
//!
//! # Order
//!
//! Commands for one resource take effect in the order in which they were
//! submitted. Each resource with a command that is queued or under way has a
//! *line*: the first of the line is in a queue or in a batch, the others stand
//! behind it. When a batch takes the first, it takes those behind it along, as
//! far as they fit, and the store carries them out one after the other. So no
//! two batches ever hold the same resource, and batches of one server do not
//! wait for each other's rows.
//!
//! Lines are told apart by a hash of the resource. Two resources with the same
//! hash share a line, which costs them company and nothing else.
//!
//! # What cannot be decided on now
//!
//! A command whose row somebody else has locked is left out by the store
//! ([`Store::apply_now`]) and carried out alone, beside the batches: its line
//! waits, and nobody else does.
//!
//! # Failure
//!
//! An error says that what became of the batch is unknown: each of its commands
//! is answered with it. When the store did not answer in time, those that are
//! still queued are answered too: they have waited as long.
//!
//! A command whose caller has gone when its batch is formed is not sent.
//!
//! # Cancel safety
//!
//! Who stops waiting for an answer takes nothing from the others: batches are
//! carried out by tasks of this object.

mod lines;

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Instant,
};

use futures::FutureExt as _;
use service_kit::text::chain;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinSet,
};

use self::lines::{Alone, Batch, Lines, Waiting};
use super::{Share, waiting::Grant};
use crate::{
    domain::{Command, Outcome},
    error::LockError,
    store::{Store, StoreError},
};

/// A command with what came of it.
#[derive(Debug)]
pub struct Done {
    /// What was asked.
    pub command: Command,
    /// What the store decided.
    pub outcome: Outcome,
    /// A grant that is handed on unless it is taken.
    pub(super) grant: Option<Arc<Grant>>,
}

/// What a caller gets.
pub type Answer = Result<Done, LockError>;

/// Where the answers to many commands go, each with the number under which it
/// was submitted.
pub type Answers = mpsc::UnboundedSender<Numbered>;

/// An answer with its number.
#[derive(Debug)]
pub struct Numbered {
    /// Whose answer it is.
    pub number: Number,
    /// What became of the command.
    pub answer: Answer,
    /// What it takes of a bound until it is on its way.
    _permit: Option<OwnedSemaphorePermit>,
}

/// What an answer is found again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// The caller's number.
    pub id: u64,
    /// It is that of an acquire that waits in line if it must.
    pub waits: bool,
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Reply {
    One(oneshot::Sender<Answer>),
    Numbered(Number, Answers),
    /// It is to be carried out, and that is all.
    Nobody,
}

/// A command that waits for its batch.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) reply: Reply,
    /// What it takes of `--max-queue`.
    pub(super) place: Share,
    pub(super) since: Instant,
}

/// Forms batches and has the store carry them out.
#[derive(Debug)]
pub(super) struct Batcher {
    line: Line,
    /// They end with this object.
    _workers: JoinSet<()>,
}

/// Where commands are put in line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    lines: Mutex<Lines>,
    ready: Notify,
}

/// A batch that has been carried out, and of which nobody has been told yet.
#[derive(Debug)]
struct Finished {
    size: usize,
    end: End,
}

#[derive(Debug)]
enum End {
    Decided { decided: Vec<(Waiting, Done)>, alone: Vec<Alone> },
    Failed { failed: Vec<Waiting>, error: Arc<StoreError> },
}

// === impl Batcher ===

impl Batcher {
    /// Starts the tasks that carry out batches. Must be called in a runtime.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let batching = store.batching();
        let lines = Mutex::new(Lines::new(batching));
        let shared = Arc::new(Shared { store, lines, ready: Notify::new() });
        let mut workers = JoinSet::new();
        for _ in 0..batching.at_a_time.max(1) {
            workers.spawn(Arc::clone(&shared).work());
        }
        Self { line: Line { shared }, _workers: workers }
    }

    /// For who outlives a request.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }
}

// === impl Line ===

impl Line {
    /// Puts a command in line.
    pub(super) fn submit(&self, job: Job) {
        let mut lines = self.shared.lines();
        lines.submit(job);
        self.shared.wake(lines);
    }

    /// Puts many in line, in their order.
    pub(super) fn submit_all(&self, jobs: impl Iterator<Item = Job>) {
        let mut lines = self.shared.lines();
        jobs.for_each(|job| lines.submit(job));
        self.shared.wake(lines);
    }
}

// === impl Shared ===

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A panic while it is locked would be in a map or a queue, between
        // whose operations it is whole.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out batches, one after the other.
    async fn work(self: Arc<Self>) {
        loop {
            let mut next = self.take(1);
            if next.is_none() {
                self.ready.notified().await;
                if self.lines().is_busy() {
                    // What has arrived at a socket by now is to be in the batch.
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let mut last = None;
            while let Some(batch) = next {
                last = Some(self.carry_out(batch, last).await);
                // Who waited meanwhile is many enough not to wait for those
                // who are only now being answered.
                let enough = last.as_ref().map_or(1, |last| last.size.div_ceil(2));
                next = self.take(enough);
            }
            if let Some(last) = last {
                self.tell(last);
            }
            // So that those who ask again at once are in the next one.
            tokio::task::yield_now().await;
        }
    }

    /// The next batch, if there are so many at least.
    fn take(&self, at_least: usize) -> Option<Batch> {
        let mut lines = self.lines();
        let batch = lines.take(at_least);
        // There may be another one.
        self.wake(lines);
        batch
    }

    /// Wakes somebody to form a batch, where there is one to be formed.
    fn wake(&self, mut lines: MutexGuard<'_, Lines>) {
        if lines.wakes() {
            drop(lines);
            self.ready.notify_one();
        }
    }

    /// Carries out a batch. Those of the one before are told what became of
    /// theirs as soon as the store has begun: it does not wait for that.
    async fn carry_out(self: &Arc<Self>, batch: Batch, before: Option<Finished>) -> Finished {
        let size = batch.len();
        let applied = {
            let apply = AssertUnwindSafe(self.store.apply_now(&batch.commands)).catch_unwind();
            let mut apply = pin!(apply);
            let begun = futures::poll!(apply.as_mut());
            if let Some(before) = before {
                self.tell(before);
            }
            match begun {
                Poll::Ready(applied) => applied,
                Poll::Pending => apply.await,
            }
        };
        let end = match applied {
            Ok(Ok(outcomes)) => {
                let (decided, alone) = self.lines().finish(batch, outcomes);
                End::Decided { decided, alone }
            }
            Ok(Err(error)) => self.fail(batch, error),
            // The tasks go on, whatever happened to this batch.
            Err(_panic) => self.fail(batch, StoreError::Aborted),
        };
        Finished { size, end }
    }

    /// Carries out a command whose row is locked by somebody else, and waits
    /// for that as long as the store does; unless its caller has gone meanwhile.
    async fn alone(self: Arc<Self>, line: u64, command: Command, job: Waiting) {
        if job.is_gone() {
            drop(job);
            self.advance(line);
            return;
        }
        let applied = AssertUnwindSafe(self.store.apply(std::slice::from_ref(&command)));
        let applied = applied.catch_unwind().await.unwrap_or(Err(StoreError::Aborted));
        match applied {
            Ok(mut outcomes) => {
                self.advance(line);
                let outcome = outcomes.pop().expect("a store answers each command");
                job.send(Ok(Done { command, outcome, grant: None }));
            }
            Err(error) => {
                // Those behind it have waited for the same row.
                let behind = self.lines().clear(line);
                let error = Arc::new(error);
                job.send(Err(LockError::StoreUnavailable(Arc::clone(&error))));
                for job in behind {
                    job.send(Err(LockError::StoreUnavailable(Arc::clone(&error))));
                }
            }
        }
    }

    /// The first of a line is done.
    fn advance(&self, line: u64) {
        let mut lines = self.lines();
        lines.advance(line);
        self.wake(lines);
    }

    fn fail(&self, batch: Batch, error: StoreError) -> End {
        let all = matches!(error, StoreError::Timeout(_) | StoreError::Closed);
        tracing::debug!(error = %chain(&error), commands = batch.len(), all, "a batch failed");
        End::Failed { failed: self.lines().fail(batch, all), error: Arc::new(error) }
    }

    /// Tells everybody in a batch what became of it.
    fn tell(self: &Arc<Self>, batch: Finished) {
        match batch.end {
            End::Decided { decided, alone } => {
                for (job, done) in decided {
                    job.send(Ok(done));
                }
                for (line, command, job) in alone {
                    tokio::spawn(Arc::clone(self).alone(line, command, job));
                }
            }
            End::Failed { failed, error } => {
                for job in failed {
                    job.send(Err(LockError::StoreUnavailable(Arc::clone(&error))));
                }
            }
        }
    }
}

// === impl Reply ===

impl Reply {
    /// Whether nobody waits for it any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Numbered(_, sender) => sender.is_closed(),
            Self::Nobody => false,
        }
    }

    /// Ends once nobody waits for it any more.
    pub(super) async fn closed(&mut self) {
        match self {
            Self::One(sender) => sender.closed().await,
            Self::Numbered(_, sender) => sender.closed().await,
            Self::Nobody => std::future::pending().await,
        }
    }

    /// Who asked may have gone meanwhile: then nobody is told.
    fn send(self, answer: Answer) {
        self.tell(answer, None);
    }

    /// As [`Self::send`]; what is kept with the answer is given back once it is on
    /// its way.
    pub(super) fn send_with(self, answer: Answer, permit: OwnedSemaphorePermit) {
        self.tell(answer, Some(permit));
    }

    fn tell(self, answer: Answer, permit: Option<OwnedSemaphorePermit>) {
        match self {
            Self::One(sender) => drop(sender.send(answer)),
            Self::Numbered(number, sender) => {
                drop(sender.send(Numbered { number, answer, _permit: permit }));
            }
            Self::Nobody => {}
        }
    }
}

#[cfg(test)]
mod tests;
