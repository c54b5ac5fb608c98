//! Tends to those who wait: says that this server is there, passes on what the
//! store tells of them, and looks, twice a second, for what it could not tell.
//!
//! - A lock that others wait for and whose lease runs out soon is handed on when
//!   it does: one statement for each lease, at each server that waits for
//!   anything, and the first one does it.
//! - Who was granted a lock or taken out of line without hearing of it asks again.
//! - A circle of owners who wait for each other is broken at its youngest wait.
//! - The places of servers that are gone are dropped; also where nobody waits.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use service_kit::text::chain;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{News, Waiting};
use crate::{
    domain::{Command, HandOn, OwnerId, Resource},
    store::{StoreError, Wake},
};

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks are between two checks that all places are still there.
const LOOKS_A_CHECK: u32 = 10;
/// How many looks are between two searches for servers that are gone.
const LOOKS_A_SEARCH: u32 = 2;
/// The most places that one statement checks.
const CHECKED: usize = 1_000;
/// The most resources that are freed of gone servers' waiters at a time.
const MOST_DROPPED: u32 = 1_000;

/// When which resource is to be handed on.
type Due = (Instant, Resource);

/// Looks after those who wait at one server.
#[derive(Debug)]
pub(in crate::engine) struct Tender {
    waiting: Waiting,
    due: mpsc::UnboundedSender<Due>,
    grace: Duration,
    /// When this server last said that it was there.
    alive: Option<Instant>,
    looks: u32,
    /// News may have been missed: check all places.
    missed: Arc<AtomicBool>,
    /// When the store was away last.
    failed: Option<Instant>,
    /// Logged once for each time that the store is away.
    failing: bool,
}

/// Passes news on and hands on in time. It never waits for the store.
#[derive(Debug)]
pub(in crate::engine) struct Messenger {
    waiting: Waiting,
    wakes: mpsc::UnboundedReceiver<Wake>,
    from_tender: mpsc::UnboundedReceiver<Due>,
    due: BinaryHeap<Reverse<Due>>,
    is_due: HashSet<Resource>,
    missed: Arc<AtomicBool>,
}

/// Somebody who looks and somebody who tells; `wakes` as the store has them.
pub(in crate::engine) fn tend(
    waiting: Waiting,
    wakes: mpsc::UnboundedReceiver<Wake>,
    grace: Duration,
) -> (Tender, Messenger) {
    let (due, from_tender) = mpsc::unbounded_channel();
    let missed = Arc::new(AtomicBool::new(false));
    let messenger = Messenger {
        waiting: waiting.clone(),
        wakes,
        from_tender,
        due: BinaryHeap::new(),
        is_due: HashSet::new(),
        missed: Arc::clone(&missed),
    };
    (
        Tender { waiting, due, grace, alive: None, looks: 0, missed, failed: None, failing: false },
        messenger,
    )
}

// === impl Messenger ===

impl Messenger {
    /// Tells, for as long as the server runs.
    pub(in crate::engine) async fn run(mut self) {
        loop {
            let next = self.due.peek().map(|Reverse((at, _))| *at);
            tokio::select! {
                biased;
                Some(wake) = self.wakes.recv() => {
                    if wake == Wake::Missed {
                        self.missed.store(true, Ordering::Relaxed);
                    }
                    self.waiting.tell(wake);
                }
                Some((at, resource)) = self.from_tender.recv() => {
                    if self.is_due.insert(resource.clone()) {
                        self.due.push(Reverse((at, resource)));
                    }
                }
                () = at(next) => self.hand_on(),
            }
        }
    }

    /// Hands on what is due. Whoever has it then is told by a wake; if the store
    /// is away, the next look finds it again.
    fn hand_on(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
            && let Some(Reverse((_, resource))) = self.due.pop()
        {
            self.is_due.remove(&resource);
            self.waiting.tell_nobody(Command::HandOn(HandOn { resource }));
        }
    }
}

// === impl Tender ===

impl Tender {
    /// Looks, until the server stops. Then its places are for who comes for them
    /// elsewhere.
    pub(in crate::engine) async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.waiting.stopping.cancelled() => return,
                () = self.waiting.callers.begun.notified() => {}
                _ = ticks.tick() => {}
            }
            let looked = self.look().await;
            self.note(&looked);
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        self.looks = self.looks.wrapping_add(1);
        let waits = !self.waiting.callers.is_empty();
        if waits {
            self.say_alive().await?;
        }
        if self.looks.is_multiple_of(LOOKS_A_SEARCH) && self.may_judge() {
            let dropped = self.waiting.store.drop_gone_waiters(MOST_DROPPED).await?;
            if dropped > 0 {
                tracing::info!(resources = dropped, "dropped the places of servers that are gone");
            }
        }
        if !waits {
            return Ok(());
        }
        let look = self.waiting.store.look_after_waiters().await?;
        for settled in look.settled {
            self.waiting.settled(settled);
        }
        let now = Instant::now();
        for (resource, left) in look.due {
            // It ends with this task.
            drop(self.due.send((now + Duration::from(left), resource)));
        }
        for circle in self.waiting.circles().await? {
            let youngest = circle.youngest();
            let key = (youngest.resource.clone(), youngest.owner.clone());
            self.waiting.callers.tell(&key, &News::Deadlock(Arc::new(circle)));
        }
        let missed = self.missed.swap(false, Ordering::Relaxed);
        if missed || self.looks.is_multiple_of(LOOKS_A_CHECK) {
            self.check().await?;
        }
        Ok(())
    }

    /// Says that this server is there, when it has not for a while. Who was silent
    /// for too long has lost its places.
    async fn say_alive(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let silent = self.alive.map(|said| now - said);
        if silent.is_none_or(|silent| silent >= self.grace / 4) {
            self.waiting.store.say_alive().await?;
            self.alive = Some(now);
            if silent.is_some_and(|silent| silent >= self.grace / 2) {
                self.missed.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Has those ask again who have no place any more.
    async fn check(&self) -> Result<(), StoreError> {
        let waiters: Vec<(Resource, OwnerId)> = self.waiting.callers.keys();
        for waiters in waiters.chunks(CHECKED) {
            for at in self.waiting.store.without_place(waiters).await? {
                if let Some(waiter) = waiters.get(at) {
                    self.waiting.callers.tell(waiter, &News::Ask);
                }
            }
        }
        Ok(())
    }

    /// Whether it is for this server to say that others are gone: not when it
    /// could not reach the database itself not long ago. So could not they.
    fn may_judge(&self) -> bool {
        self.failed.is_none_or(|failed| failed.elapsed() > self.grace)
    }

    fn note(&mut self, looked: &Result<(), StoreError>) {
        match looked {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.failed = Some(Instant::now());
                self.missed.store(true, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(error = %chain(error), "could not look after who waits");
                }
            }
        }
    }
}

/// Ends at a moment; never, where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
