//! A batcher in front of the scripted store, and its callers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::script::{Call, Scripted, command, outcome_of};
use crate::{
    domain::Command,
    engine::{
        admission::{Admission, Place, Share},
        batcher::{Answer, Batcher, Job, Reply},
    },
    error::LockError,
    store::Batching,
};

/// What nothing here takes as long as.
const DEADLINE: Duration = Duration::from_secs(20);

/// How many commands may be in line or under way.
const PLACES: usize = 1_000;

/// A caller that waits for its answer; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Caller {
    name: String,
    answer: oneshot::Receiver<Answer>,
}

impl Caller {
    async fn answer(self) -> (String, Answer) {
        let answer = tokio::time::timeout(DEADLINE, self.answer).await;
        let answer = answer.unwrap_or_else(|_| panic!("{} gets no answer", self.name));
        (self.name, answer.expect("an answer, whatever happens"))
    }

    /// Panics unless the answer is what the store said of this very command.
    pub(super) async fn expect_answer(self) {
        let (name, answer) = self.answer().await;
        let done = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(done.command, command(&name), "the answer is to what was asked");
        assert_eq!(done.outcome, outcome_of(&done.command), "{name} has its own outcome");
    }

    /// Panics unless it is told that nothing is known of its command.
    pub(super) async fn expect_refusal(self) {
        let (name, answer) = self.answer().await;
        let error = answer.err().unwrap_or_else(|| panic!("{name} was answered"));
        assert!(matches!(error, LockError::StoreUnavailable(_)), "{name}: {error:?}");
    }

    /// Whether there is an answer already.
    pub(super) fn has_answer(&self) -> bool {
        !self.answer.is_empty()
    }
}

/// A batcher in front of such a store.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) batcher: Batcher,
    calls: mpsc::UnboundedReceiver<Call>,
    admission: Admission,
}

/// How a store takes batches, in short.
pub(super) fn batching(at_a_time: usize, mixed: bool, most: usize) -> Batching {
    let queues = if mixed { [0; Command::KINDS] } else { [0, 1, 2, 3, 4] };
    Batching { at_a_time, most, queues }
}

impl Scene {
    /// One batch at a time, of all kinds, as large as it comes.
    pub(super) fn simple() -> Self {
        Self::set(batching(1, true, usize::MAX))
    }

    pub(super) fn set(batching: Batching) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let batcher = Batcher::new(Arc::new(Scripted { batching, calls: sender }));
        Self { batcher, calls, admission: Admission::new(PLACES, CancellationToken::new()) }
    }

    /// Submits a command.
    pub(super) fn ask(&self, name: &str) -> Caller {
        let (sender, answer) = oneshot::channel();
        self.batcher.line().submit(Job {
            command: command(name),
            reply: Reply::One(sender),
            place: Share::Whole { _place: self.admission.enter(1).unwrap() },
            since: Instant::now(),
        });
        Caller { name: name.to_owned(), answer }
    }

    /// Submits commands, one after the other.
    pub(super) fn ask_all<const N: usize>(&self, names: [&str; N]) -> [Caller; N] {
        names.map(|name| self.ask(name))
    }

    /// The next call to the store, which must be this one.
    pub(super) async fn call(&mut self, names: &[&str]) -> Call {
        let call = self.next().await;
        assert_eq!(call.names(), names);
        assert!(!call.alone, "{names:?} is sent as a batch");
        call
    }

    /// The next call to the store, which must be for this command alone.
    pub(super) async fn call_alone(&mut self, name: &str) -> Call {
        let call = self.next().await;
        assert_eq!(call.names(), [name]);
        assert!(call.alone, "{name} is sent alone");
        call
    }

    pub(super) async fn next(&mut self) -> Call {
        let call = tokio::time::timeout(DEADLINE, self.calls.recv()).await;
        call.expect("the store is called").expect("the batcher is there")
    }

    /// Keeps the store busy with a command that nothing else here is about.
    pub(super) async fn busy(&mut self) -> (Call, Caller) {
        let caller = self.ask("renew busy");
        (self.call(&["renew busy"]).await, caller)
    }

    /// The next call, where there is one without anything else happening.
    pub(super) async fn next_now(&mut self) -> Option<Call> {
        settle().await;
        self.calls.try_recv().ok()
    }

    /// Panics when the store is called.
    pub(super) async fn no_call(&mut self) {
        if let Some(call) = self.next_now().await {
            panic!("the store is called for {:?}", call.names());
        }
    }

    /// Everything that others ask at the same time.
    pub(super) fn all_places_but_one(&self) -> Place {
        self.admission.enter(PLACES - 1).unwrap()
    }

    /// Panics unless all is as if nothing had ever been asked.
    pub(super) async fn is_clean(&mut self) {
        self.no_call().await;
        assert!(
            self.batcher.line.shared.lines().is_empty(),
            "{:?}",
            self.batcher.line.shared.lines()
        );
        let all = self.admission.enter(PLACES);
        drop(all.expect("every place is back"));
    }
}

/// Gives every task its turn, until none has anything left to do.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
