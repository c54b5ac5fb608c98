//! Which commands are queued, which wait behind others for the same resource,
//! and which are under way. Only bookkeeping: nothing here waits.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState},
    time::Instant,
};

use super::{Answer, Done, Job, Reply};
use crate::{
    domain::{Command, Outcome},
    engine::Share,
    store::Batching,
};

/// The most commands of one line in a batch: the store may have to carry them out
/// one after the other, and all others in the batch wait for that.
const MOST_OF_A_LINE: usize = 64;

/// The queues and lines of one store.
#[derive(Debug)]
pub(super) struct Lines {
    batching: Batching,
    /// What the next batches are formed of: the first commands of lines.
    queues: [VecDeque<(u64, Job)>; Command::KINDS],
    /// Which of them were passed over for a younger one that had enough: the
    /// next batch may be of theirs, however few they are.
    passed_over: [bool; Command::KINDS],
    /// How many batches are under way, and how many commands in them.
    under_way: usize,
    commands_under_way: usize,
    /// How many commands the last batch had.
    last: usize,
    /// Somebody has been woken and is about to form one.
    woken: bool,
    /// A line for each resource with a command that is queued or under way:
    /// those that wait behind it.
    lines: HashMap<u64, VecDeque<Job>, BuildHasherDefault<Hashed>>,
    hasher: RandomState,
}

/// Commands that are under way together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Command>,
    /// For each command, its line and who waits for it.
    waiting: Vec<(u64, Waiting)>,
}

/// Who waits for a command that is under way.
#[derive(Debug)]
pub(super) struct Waiting {
    reply: Reply,
    _place: Share,
}

/// A command that is to be carried out alone, and its line.
pub(super) type Alone = (u64, Command, Waiting);

// === impl Lines ===

impl Lines {
    pub(super) fn new(batching: Batching) -> Self {
        Self {
            batching,
            queues: std::array::from_fn(|_| VecDeque::new()),
            passed_over: [false; Command::KINDS],
            under_way: 0,
            commands_under_way: 0,
            last: 0,
            woken: false,
            lines: HashMap::default(),
            hasher: RandomState::new(),
        }
    }

    /// Puts a command in its line.
    pub(super) fn submit(&mut self, job: Job) {
        let line = self.hasher.hash_one(job.command.resource());
        match self.lines.entry(line) {
            Entry::Occupied(mut behind) => behind.get_mut().push_back(job),
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                self.enqueue(line, job);
            }
        }
    }

    /// Whether somebody is to be woken who forms a batch: there is one to be
    /// formed, and nobody has been woken for it.
    pub(super) fn wakes(&mut self) -> bool {
        !self.woken && {
            self.woken = self.queues.iter().any(|queue| queue.len() >= self.enough());
            self.woken
        }
    }

    /// How many commands are enough for a batch: one, when none is under way;
    /// beside others, half as many as those have. Fewer wait for one of them to
    /// end, and are a larger batch then; but only once for a batch of others,
    /// or large ones that follow each other would keep them waiting for ever.
    fn enough(&self) -> usize {
        match self.under_way {
            0 => 1,
            batches => self.commands_under_way.div_ceil(2 * batches),
        }
    }

    /// Whether there is more than one caller: a batch is under way, or the last
    /// one had company.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way > 0 || self.last > 1
    }

    /// Whether nothing is queued, behind others or under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.queues.iter().all(VecDeque::is_empty)
    }

    fn enqueue(&mut self, line: u64, job: Job) {
        let queue = self.queue_of(&job.command);
        self.queues[queue].push_back((line, job));
    }

    fn queue_of(&self, command: &Command) -> usize {
        self.batching.queues[command.kind()]
    }

    /// The next batch, of the queue that has waited longest; none when nothing
    /// is ready, or not enough. Those whose callers have gone are dropped on the
    /// way. Who asks for more than one at least will ask again for fewer.
    pub(super) fn take(&mut self, at_least: usize) -> Option<Batch> {
        self.woken = false;
        loop {
            let Some(queue) = self.next_queue(at_least) else {
                self.woken = at_least > 1;
                return None;
            };
            let mut batch = Batch::default();
            while batch.len() < self.batching.most
                && let Some((line, job)) = self.queues[queue].pop_front()
            {
                self.take_line(queue, line, job, &mut batch);
            }
            if batch.len() > 0 {
                self.last = batch.len();
                self.under_way += 1;
                self.commands_under_way += batch.len();
                return Some(batch);
            }
        }
    }

    /// The queue that has waited longest, of those that have enough for a batch
    /// or were passed over before.
    fn next_queue(&mut self, at_least: usize) -> Option<usize> {
        let enough = self.enough().max(at_least);
        let oldest = |queue: usize| self.queues[queue].front().map(|(_, job)| job.since);
        let has_turn = |queue: &usize| {
            let waiting = self.queues[*queue].len();
            waiting >= enough || (waiting > 0 && self.passed_over[*queue])
        };
        let next = (0..Command::KINDS).filter(has_turn).min_by_key(|queue| oldest(*queue))?;
        self.passed_over = std::array::from_fn(|queue| {
            oldest(queue).is_some_and(|since| Some(since) < oldest(next))
        });
        Some(next)
    }

    /// Takes the first of a line, and those behind it that may share its batch.
    fn take_line(&mut self, queue: usize, line: u64, first: Job, batch: &mut Batch) {
        let taken_before = batch.len();
        let most = self.batching.most.min(taken_before + MOST_OF_A_LINE);
        batch.take(line, first);
        while batch.len() < most
            && let Some(behind) = self.lines.get_mut(&line)
            && let Some(next) =
                behind.pop_front_if(|next| self.batching.queues[next.command.kind()] == queue)
        {
            batch.take(line, next);
        }
        if batch.len() == taken_before {
            // Their callers have all gone.
            self.advance(line);
        }
    }

    /// The first of a line is done: the next one, if there is one, moves up into
    /// a queue.
    pub(super) fn advance(&mut self, line: u64) {
        let Entry::Occupied(mut behind) = self.lines.entry(line) else { return };
        match behind.get_mut().pop_front() {
            Some(next) => self.enqueue(line, next),
            None => drop(behind.remove()),
        }
    }

    /// Everything in a line is given up: what stood behind its first.
    pub(super) fn clear(&mut self, line: u64) -> Vec<Waiting> {
        let behind = self.lines.remove(&line).unwrap_or_default();
        behind.into_iter().map(|job| job.into_waiting().1).collect()
    }

    /// A batch has ended. Who carried it out is about to form the next one.
    fn ended(&mut self, batch: &Batch) {
        self.under_way -= 1;
        self.commands_under_way -= batch.len();
        self.woken = true;
    }

    /// A batch has been carried out: what was decided, and what is to be carried
    /// out alone, with the lines.
    pub(super) fn finish(
        &mut self,
        batch: Batch,
        outcomes: Vec<Option<Outcome>>,
    ) -> (Vec<(Waiting, Done)>, Vec<Alone>) {
        self.ended(&batch);
        let mut decided = Vec::with_capacity(outcomes.len());
        let mut alone = Vec::new();
        let mut of_line = batch.into_lines(outcomes).peekable();
        let now = Instant::now();
        while let Some((line, command, waiting, outcome)) = of_line.next() {
            match outcome {
                Some(outcome) => decided.push((waiting, Done { command, outcome, grant: None })),
                None => {
                    alone.push((line, command, waiting));
                    // Those of the same line that came along go back to its
                    // head, in their order.
                    let mut again = Vec::new();
                    while let Some((_, command, waiting, _)) =
                        of_line.next_if(|(next, ..)| *next == line)
                    {
                        again.push(waiting.into_job(command, now));
                    }
                    if let Some(behind) = self.lines.get_mut(&line) {
                        again.into_iter().rev().for_each(|job| behind.push_front(job));
                    }
                    continue;
                }
            }
            if of_line.peek().is_none_or(|(next, ..)| *next != line) {
                self.advance(line);
            }
        }
        (decided, alone)
    }

    /// A batch has failed, and with it, if `all`, what is queued: who is to be
    /// told.
    pub(super) fn fail(&mut self, batch: Batch, all: bool) -> Vec<Waiting> {
        self.ended(&batch);
        let mut failed = Vec::with_capacity(batch.len());
        let mut last = None;
        for (line, waiting) in batch.waiting {
            failed.push(waiting);
            if last.replace(line) == Some(line) {
                continue;
            }
            if all {
                failed.extend(self.clear(line));
            } else {
                self.advance(line);
            }
        }
        if all {
            let queued: Vec<_> = self.queues.iter_mut().flat_map(std::mem::take).collect();
            for (line, job) in queued {
                failed.push(job.into_waiting().1);
                failed.extend(self.clear(line));
            }
        }
        failed
    }
}

// === impl Batch ===

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Takes a command, unless nobody waits for it any more.
    fn take(&mut self, line: u64, job: Job) {
        if job.reply.is_closed() {
            return;
        }
        let (command, waiting) = job.into_waiting();
        self.commands.push(command);
        self.waiting.push((line, waiting));
    }

    fn into_lines(
        self,
        outcomes: Vec<Option<Outcome>>,
    ) -> impl Iterator<Item = (u64, Command, Waiting, Option<Outcome>)> {
        let parts = self.commands.into_iter().zip(self.waiting).zip(outcomes);
        parts.map(|((command, (line, waiting)), outcome)| (line, command, waiting, outcome))
    }
}

// === impl Job, Waiting ===

impl Job {
    fn into_waiting(self) -> (Command, Waiting) {
        (self.command, Waiting { reply: self.reply, _place: self.place })
    }
}

impl Waiting {
    /// Whether nobody waits any more.
    pub(super) fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    pub(super) fn send(self, answer: Answer) {
        // The place is given back first: who is answered may ask again at once.
        let Self { reply, _place: place } = self;
        drop(place);
        reply.send(answer);
    }

    fn into_job(self, command: Command, since: Instant) -> Job {
        Job { command, reply: self.reply, place: self._place, since }
    }
}

/// What is hashed already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only numbers are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
