//! Callers who wait in line at this server.
//!
//! # Overview
//!
//! Where a caller stands is in the database, and so is whose turn it is; here is
//! only who is to be told. An acquire that waits goes in line for its resource
//! like any other command. When the store has put it in line, a task of its own
//! waits for the first of: the grant, the end of the wait, the caller's going
//! away, the end of the server. News come from the [`Wake`]s of the store, and
//! from the [`tender`], which looks for those that got lost. What is not a grant
//! in hand makes the task ask again: the same acquire, which says how its place
//! stands.
//!
//! # Nobody is there
//!
//! A caller that has gone is taken out of line. What was granted to it all the
//! same is handed on, unless its owner has been heard of since: a re-entry
//! through another server, say.
//!
//! When this server stops, its callers are told, and their places stay as they
//! are: who asks again elsewhere within the grace has its old one.

mod callers;
mod grant;
mod tender;

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::callers::{Callers, News};
pub use self::grant::Receipt;
pub(super) use self::{grant::Grant, tender::tend};
use super::{
    Share,
    batcher::{Answer, Done, Job, Line, Reply},
};
use crate::{
    domain::{
        Acquire, Circle, Command, Leave, Lock, Outcome, OwnerId, Resource, Span, There, Wait,
        circles,
    },
    error::LockError,
    store::{Store, StoreError, Wake},
};

/// After which time a waiter asks again whose question the store did not answer,
/// and how long it waits for news of a place that is no more.
const PAUSE: Duration = Duration::from_millis(500);

/// How long it waits for them when its owner holds the lock: another call of the
/// owner may have it from another server.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// What a place in line is about.
type Key = (Resource, OwnerId);

/// Those who wait at one server.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    line: Line,
    store: Arc<dyn Store>,
    stopping: CancellationToken,
    callers: Arc<Callers>,
    permits: Arc<Semaphore>,
    most: usize,
}

/// A call that waits.
#[derive(Debug)]
struct Waiter {
    waiting: Waiting,
    acquire: Acquire,
    reply: Reply,
    until: Instant,
    id: u64,
    /// Its place in line, once it has one.
    place: Option<i64>,
    news: mpsc::UnboundedReceiver<News>,
    permit: OwnedSemaphorePermit,
}

/// What a waiting call goes on with.
enum Next {
    Granted(Arc<Grant>),
    Cancelled,
    Deadlock(Arc<Circle>),
    Ask,
    /// No news have come of a place that is no more.
    AskAnew,
    Gone,
    Over,
    Stopping,
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn new(
        line: Line,
        store: Arc<dyn Store>,
        most: usize,
        stopping: CancellationToken,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(most));
        Self { line, store, stopping, callers: Arc::default(), permits, most }
    }

    /// Puts an acquire in line that waits there if it must. It is in line when
    /// this returns.
    ///
    /// # Errors
    /// When so many wait that no more may.
    pub(super) fn submit(
        &self,
        acquire: Acquire,
        wait: Wait,
        place: Share,
        reply: Reply,
    ) -> Result<(), LockError> {
        let full = LockError::Overloaded {
            limit: "--max-waiters",
            value: self.most,
            what: "callers wait at this server",
        };
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_full| full)?;
        let until = Instant::now() + Duration::from(wait.time);
        let key = (acquire.resource.clone(), acquire.owner.clone());
        // In one step, so that no news come too early, and no leave after it.
        let ask = || self.ask(acquire.clone(), place);
        let (id, news, answer) = self.callers.enter(key, ask);
        let waiting = self.clone();
        let waiter = Waiter { waiting, acquire, reply, until, id, place: None, news, permit };
        tokio::spawn(waiter.run(answer));
        Ok(())
    }

    fn ask(&self, acquire: Acquire, place: Share) -> oneshot::Receiver<Answer> {
        self.send(Command::Acquire(acquire), place)
    }

    fn send(&self, command: Command, place: Share) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        let since = std::time::Instant::now();
        self.line.submit(Job { command, reply: Reply::One(sender), place, since });
        answer
    }

    /// Has a command carried out of which nobody is told.
    fn tell_nobody(&self, command: Command) {
        let since = std::time::Instant::now();
        self.line.submit(Job { command, reply: Reply::Nobody, place: Share::Free, since });
    }

    /// Takes an owner out of line whom nobody waits for here any more; what was
    /// granted to it is handed on. If that fails, its place is found again when it
    /// is granted.
    fn leave(&self, key: &Key) {
        let (resource, owner) = key.clone();
        let leave = Leave { resource, owner, there: There::Nobody };
        self.tell_nobody(Command::Leave(leave));
    }

    /// Hands on a grant that nobody took, for as long as it would last: nothing
    /// but this knows of it.
    fn pass_on(&self, lock: &Lock) {
        let until = Instant::now() + Duration::from(lock.remaining());
        let (resource, owner) = (lock.resource.clone(), lock.owner.clone());
        let leave = Leave { resource, owner, there: There::NobodyFor(lock.token) };
        let waiting = self.clone();
        // In line before anything that comes after it.
        let mut left = self.send(Command::Leave(leave.clone()), Share::Free);
        let retry = async move {
            while !matches!(left.await, Ok(Ok(_))) && Instant::now() < until {
                tokio::time::sleep(PAUSE).await;
                left = waiting.send(Command::Leave(leave.clone()), Share::Free);
            }
        };
        // Without a runtime the server is gone, and so is this.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(retry);
        }
    }

    /// Tells who waits of a wake.
    fn tell(&self, wake: Wake) {
        match wake {
            Wake::Granted { place, lock } => {
                let key = (lock.resource.clone(), lock.owner.clone());
                // With nobody there, it is handed on when it is dropped.
                self.callers.tell(&key, &News::Granted(Grant::new(self, Some(place), *lock)));
            }
            Wake::Settled { resource, owner } => self.settled((resource, owner)),
            Wake::Missed => {}
        }
    }

    /// Has those ask again of whose place something has become.
    fn settled(&self, key: Key) {
        self.callers.tell_or(&key, &News::Ask, || {
            // Whom this server has sent elsewhere as it stops may come for it there.
            if !self.stopping.is_cancelled() {
                self.leave(&key);
            }
        });
    }

    /// The circles of waiting owners, now.
    async fn circles(&self) -> Result<Vec<Circle>, StoreError> {
        Ok(circles(&self.store.waits_for().await?))
    }
}

// === impl Waiter ===

impl Waiter {
    /// Waits, from the first answer on.
    async fn run(mut self, mut answer: oneshot::Receiver<Answer>) {
        loop {
            let answered = (&mut answer).await.unwrap_or(Err(LockError::ShuttingDown));
            let mut later = None;
            match answered {
                Ok(Done { outcome: Outcome::Waiting { place, may_close_circle, .. }, .. }) => {
                    self.place = Some(place);
                    if may_close_circle && let Some(circle) = self.circle().await {
                        return self.deadlocked(Arc::new(circle)).await;
                    }
                }
                Ok(Done { outcome: Outcome::Claimed { lock, place }, .. }) => {
                    let grant = Grant::new(&self.waiting, Some(place), lock);
                    self.tell_others(&News::Granted(Arc::clone(&grant)));
                    return self.granted(grant);
                }
                Ok(Done { outcome: Outcome::Cancelled { place }, .. }) => {
                    self.tell_others(&News::Cancelled(place));
                    return self.cancelled();
                }
                Ok(Done { outcome: Outcome::NotInLine { holds }, .. }) => {
                    let pause = if holds { SHORT_PAUSE } else { PAUSE };
                    later = Some((Instant::now() + pause, Next::AskAnew));
                }
                Ok(Done { outcome: Outcome::Granted { lock, reentrant: false }, .. }) => {
                    let grant = Grant::new(&self.waiting, None, lock);
                    return self.granted(grant);
                }
                // It has a place, and the store may be back before the wait is
                // over.
                Err(LockError::StoreUnavailable(_))
                    if self.place.is_some() && Instant::now() < self.until =>
                {
                    // The same question: not to miss that it was cancelled meanwhile.
                    later = Some((Instant::now() + PAUSE, Next::Ask));
                }
                // What became of the question is not known: it may be in line.
                Err(error) => {
                    let key = self.key();
                    self.waiting.callers.leave(&key, self.id, || self.waiting.leave(&key));
                    return self.finish(Err(error));
                }
                answered => return self.finish(answered),
            }
            match self.next(later).await {
                Next::Granted(grant) => return self.granted(grant),
                Next::Cancelled => return self.cancelled(),
                Next::Deadlock(circle) => return self.deadlocked(circle).await,
                Next::Ask => answer = self.ask(true),
                Next::AskAnew => answer = self.ask(false),
                Next::Gone => return self.gone(),
                Next::Over => return self.over().await,
                Next::Stopping => return self.stopping(),
            }
        }
    }

    /// Waits for what comes first; what is to be done later is given with when.
    async fn next(&mut self, later: Option<(Instant, Next)>) -> Next {
        let (at, then) = match later {
            Some((at, then)) if at < self.until => (at, then),
            _ => (self.until, Next::Over),
        };
        loop {
            tokio::select! {
                biased;
                // The registry has a sender for as long as this is there.
                Some(news) = self.news.recv() => match self.heard(news) {
                    Some(next) => return next,
                    None => continue,
                },
                // Before the going of the caller, which this server's stop brings
                // about as well: its place is kept then.
                () = self.waiting.stopping.cancelled() => return Next::Stopping,
                () = self.reply.closed() => return Next::Gone,
                () = tokio::time::sleep_until(at) => return then,
            }
        }
    }

    /// What news mean for this call, if they are about its place.
    fn heard(&self, news: News) -> Option<Next> {
        match news {
            News::Ask => Some(Next::Ask),
            News::Granted(grant) => (grant.place() == self.place).then_some(Next::Granted(grant)),
            News::Cancelled(place) => (Some(place) == self.place).then_some(Next::Cancelled),
            News::Deadlock(circle) => {
                let is_this = Some(circle.youngest().place) == self.place;
                is_this.then_some(Next::Deadlock(circle))
            }
        }
    }

    /// The same acquire for what is left of the wait: how its place stands
    /// (`again`), or for a new one.
    fn ask(&self, again: bool) -> oneshot::Receiver<Answer> {
        let left = self.until.saturating_duration_since(Instant::now());
        let wait = Wait { time: Span::from(left), again };
        self.waiting.ask(Acquire { wait: Some(wait), ..self.acquire.clone() }, Share::Free)
    }

    /// The circle that this wait has closed, if it has.
    async fn circle(&self) -> Option<Circle> {
        // Where the question fails, the tender asks again soon.
        let circles = self.waiting.circles().await.ok()?;
        circles.into_iter().find(|circle| Some(circle.youngest().place) == self.place)
    }

    async fn deadlocked(mut self, circle: Arc<Circle>) {
        match self.give_up().await {
            Some(grant) => self.granted(grant),
            None => self.finish(Err(LockError::Deadlock { circle })),
        }
    }

    /// The wait is over: what there is to say about it is what an acquire without
    /// one meets now.
    async fn over(mut self) {
        if let Some(grant) = self.give_up().await {
            return self.granted(grant);
        }
        let plain = Acquire { wait: None, ..self.acquire.clone() };
        match self.waiting.ask(plain, Share::Free).await {
            Ok(Ok(Done { outcome: Outcome::Granted { lock, reentrant: false }, .. })) => {
                let grant = Grant::new(&self.waiting, None, lock);
                self.granted(grant);
            }
            answer => self.finish(answer.unwrap_or(Err(LockError::ShuttingDown))),
        }
    }

    /// Leaves the line: the grant, where there is one all the same. Where other
    /// calls share the place, it stays.
    async fn give_up(&mut self) -> Option<Arc<Grant>> {
        let (resource, owner) = self.key();
        let leave = Command::Leave(Leave { resource, owner, there: There::Caller });
        let key = self.key();
        let left =
            self.waiting.callers.leave(&key, self.id, || self.waiting.send(leave, Share::Free));
        let granted = self.unread_grant();
        let Some(left) = left.filter(|_| granted.is_none()) else { return granted };
        match left.await {
            Ok(Ok(Done { outcome: Outcome::Left { granted: Some(lock) }, .. })) => {
                Some(Grant::new(&self.waiting, self.place, lock))
            }
            _ => None,
        }
    }

    /// Nobody is there any more. A grant that is among the news is handed on with
    /// them, unless other calls share it.
    fn gone(self) {
        let key = self.key();
        self.waiting.callers.leave(&key, self.id, || self.waiting.leave(&key));
    }

    /// This server stops, and the place stays for who asks elsewhere.
    fn stopping(mut self) {
        self.unregister();
        match self.unread_grant() {
            Some(grant) => self.granted(grant),
            None => self.finish(Err(LockError::ShuttingDown)),
        }
    }

    /// News come no more.
    fn unregister(&self) {
        self.waiting.callers.leave(&self.key(), self.id, || ());
    }

    /// The grant of this place, if it is among the news.
    fn unread_grant(&mut self) -> Option<Arc<Grant>> {
        while let Ok(news) = self.news.try_recv() {
            if let Some(Next::Granted(grant)) = self.heard(news) {
                return Some(grant);
            }
        }
        None
    }

    fn cancelled(self) {
        let Acquire { resource, owner, .. } = self.acquire.clone();
        self.finish(Err(LockError::WaitCancelled { resource, owner }));
    }

    fn granted(self, grant: Arc<Grant>) {
        let command = Command::Acquire(self.acquire.clone());
        let outcome = Outcome::Granted { lock: grant.lock().clone(), reentrant: false };
        self.finish(Ok(Done { command, outcome, grant: Some(grant) }));
    }

    /// Tells the caller. What it is not there to take goes with the answer.
    fn finish(self, answer: Answer) {
        self.unregister();
        self.reply.send_with(answer, self.permit);
    }

    fn tell_others(&self, news: &News) {
        self.waiting.callers.tell_others(&self.key(), self.id, news);
    }

    fn key(&self) -> Key {
        (self.acquire.resource.clone(), self.acquire.owner.clone())
    }
}
