//! The open loop: commands come at a fixed rate, whether or not those before are answered.
//!
//! Each command's latency counts from the moment at which it was due. So a target that stalls is
//! shown with all the commands that had to wait meanwhile ("coordinated omission" is leaving them
//! out), and a late start of this tool counts against the target, never for it.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use super::{Meter, Phase, Run, Span, Tally, closed::all, schedule::Schedule, script::granted};
use crate::{
    caller::Caller,
    trouble::{During, Result},
};

/// The clock of tokio is too coarse for microseconds: a thread of its own hands out what is due.
/// It sleeps at least this long, so that it does not take the machine for itself.
const REST: Duration = Duration::from_micros(100);

/// Lets the callers acquire and release in turns, so many pairs a second in all, and returns them.
/// Steps are pairs, and latencies those of both commands.
pub(crate) async fn open(
    callers: Vec<Caller>,
    pairs_per_second: f64,
    span: Span,
    meter: Meter,
) -> Result<(Vec<Caller>, Run)> {
    let phase = Phase::default();
    let start = Instant::now();
    let mut queues = Vec::with_capacity(callers.len());
    let mut tasks = JoinSet::new();
    for caller in callers {
        let (queue, due) = mpsc::unbounded_channel();
        queues.push(queue);
        tasks.spawn(follow(caller, due, start + span.warm_up, phase.clone()));
    }
    let schedule = Schedule::new(start, 2.0 * pairs_per_second, span.warm_up + span.time);
    let clock = thread::Builder::new().name("clock".to_owned());
    let clock = clock.spawn(move || hand_out(schedule, &queues)).during("start a thread")?;
    let (seconds, cpu) = phase.play(span, meter).await;
    let mut tally = Tally::default();
    let mut callers = Vec::with_capacity(tasks.len());
    for (caller, counted) in all(tasks).await? {
        tally.add(&counted);
        callers.push(caller);
    }
    // It has ended: the callers end when it drops their queues.
    let _ = clock.join();
    Ok((callers, Run { seconds, tally, each: Vec::new(), cpu }))
}

/// Tells the callers, one after the other, when their next command is due.
fn hand_out(schedule: Schedule, queues: &[mpsc::UnboundedSender<Instant>]) {
    for (number, queue) in (0..schedule.count()).zip(queues.iter().cycle()) {
        let due = schedule.due(number);
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait.max(REST));
        }
        if queue.send(due).is_err() {
            return;
        }
    }
}

async fn follow(
    mut caller: Caller,
    mut queue: mpsc::UnboundedReceiver<Instant>,
    counts_from: Instant,
    phase: Phase,
) -> (Caller, Tally) {
    let mut tally = Tally::default();
    let mut lock = 0;
    let mut held = false;
    while let Some(due) = queue.recv().await {
        let done = if held {
            caller.release(lock).await
        } else {
            caller.acquire(lock).await.and_then(granted)
        };
        if let Err(trouble) = done {
            tally.fail(&trouble);
            break;
        }
        held = !held;
        if !held {
            lock = (lock + 1) % caller.locks();
        }
        // Whatever was due counts, however late its answer; the rate is what was done in time.
        if due >= counts_from {
            tally.took(due.elapsed());
        }
        if phase.counting() {
            tally.steps += u64::from(!held);
        }
    }
    if held && let Err(trouble) = caller.release(lock).await {
        tally.fail(&trouble);
    }
    (caller, tally)
}
