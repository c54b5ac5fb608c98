//! Keeps a supervisor: tells it what it must know, waits for it so that no
//! zombie is left, and cleans up if it is gone or stuck before its time.

use std::{collections::BTreeMap, thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin},
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::supervisor::{
    clock::Deadline,
    processes::{self, Process},
    protocol::{self, Command, Stop},
};

/// How long after a deadline a supervisor is looked at, whether somebody has
/// stopped it.
const LATE: Duration = Duration::from_millis(500);
/// How long a supervisor that nobody listens to any more may take. It needs no
/// more than a moment, unless it is stopped, or a process cannot be killed.
const LAST_MOMENTS: Duration = Duration::from_secs(12);
/// How often those who are left are looked for.
const ROUNDS: u32 = 200;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// Runs as a task until the supervisor has ended.
#[derive(Debug)]
pub(super) struct Keeper {
    supervisor: Child,
    id: Pid,
    input: Option<ChildStdin>,
    deadline: watch::Receiver<Deadline>,
    stops: mpsc::UnboundedReceiver<Stop>,
}

impl Keeper {
    pub(super) fn new(
        supervisor: Child,
        id: u32,
        input: ChildStdin,
        deadline: watch::Receiver<Deadline>,
        stops: mpsc::UnboundedReceiver<Stop>,
    ) -> Self {
        let id = Pid::from_raw(id.cast_signed());
        Self { supervisor, id, input: Some(input), deadline, stops }
    }

    /// Until the supervisor has ended, or nobody wants to hear of it any more;
    /// then it ends.
    pub(super) async fn keep(mut self) {
        let mut renewals = true;
        loop {
            let late = self.deadline.borrow().remaining() + LATE;
            tokio::select! {
                status = self.supervisor.wait() => {
                    if !status.is_ok_and(|status| status.success()) {
                        self.end_the_rest().await;
                    }
                    return;
                }
                stop = self.stops.recv() => {
                    let Some(how) = stop else { break };
                    if !self.tell(&Command::Stop(how)).await { break }
                }
                changed = self.deadline.changed(), if renewals => match changed {
                    Ok(()) => {
                        let deadline = *self.deadline.borrow_and_update();
                        if !self.tell(&Command::Deadline(deadline)).await { break }
                    }
                    Err(_) => renewals = false,
                },
                () = sleep(late) => if self.is_stopped() { break },
            }
        }
        self.part().await;
    }

    /// Whether the pipe has taken it: a few bytes, for which it has room even
    /// where nobody reads them for long.
    async fn tell(&mut self, command: &Command) -> bool {
        let Some(input) = &mut self.input else { return false };
        let message = protocol::message(command);
        // Where it fails, the supervisor has ended, which is seen elsewhere.
        timeout(LAST_MOMENTS, input.write_all(&message)).await.is_ok()
    }

    fn is_stopped(&self) -> bool {
        processes::look_at(self.id).is_some_and(|process| process.is_stopped())
    }

    /// Leaves the supervisor alone, at which it kills everything and ends. One
    /// that is stopped cannot, and so that is done here.
    async fn part(mut self) {
        self.input = None;
        let ended = timeout(LAST_MOMENTS, self.ended_unless_stopped()).await;
        if !ended.is_ok_and(|well| well) {
            self.end_the_rest().await;
            // After the others: they are found below it as long as it lives.
            let _ = self.supervisor.kill().await;
        }
    }

    /// Waits until it has ended, and well, or is stopped.
    async fn ended_unless_stopped(&mut self) -> bool {
        loop {
            if let Ok(status) = timeout(LATE, self.supervisor.wait()).await {
                return status.is_ok_and(|status| status.success());
            }
            if self.is_stopped() {
                return false;
            }
        }
    }

    /// Kills what is left of the step, in the supervisor's stead.
    async fn end_the_rest(&self) {
        let id = self.id;
        // It does not panic.
        let _ = spawn_blocking(move || end_session(id)).await;
    }
}

/// Kills all but the supervisor itself, until none is left. Those that cannot be
/// killed are given up after some rounds.
fn end_session(supervisor: Pid) {
    for _ in 0..ROUNDS {
        let left = left_of(supervisor);
        if left.is_empty() {
            return;
        }
        for process in left {
            // It may have ended just now.
            let _ = kill(process.id, Signal::SIGKILL);
        }
        thread::sleep(BETWEEN_ROUNDS);
    }
}

/// Everyone who is in the supervisor's session or descends from somebody there.
/// The session's number is not given to anybody else while one is in it.
fn left_of(supervisor: Pid) -> Vec<Process> {
    let all = processes::all().unwrap_or_default();
    let members = all.iter().filter(|process| process.session == supervisor);
    let mut roots: Vec<_> = members.clone().map(|process| process.id).collect();
    roots.push(supervisor);
    let descendants = processes::descendants(&all, &roots);
    let left: BTreeMap<_, _> =
        members.chain(&descendants).map(|process| (process.id, *process)).collect();
    let is_left = |process: &Process| process.id != supervisor && !process.is_zombie();
    left.into_values().filter(is_left).collect()
}
